"""A child process that does not outlive us, whatever ends us."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
# A line longer than this is cut by asyncio's reader, which then fails; the broker's are a few hundred bytes.
_LINE_LIMIT: Final = 256 * 1024


def _dies_with(parent: int) -> Callable[[], None]:
    """What the child runs before its program: the kernel shall kill it when the thread that made it ends.

    The library is loaded here, before the fork, because nothing but system calls is safe after it.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It ended in between.
            os._exit(1)

    return in_child


async def start(program: Sequence[str]) -> asyncio.subprocess.Process:
    """Start `program`; its standard error can be read, a signal at our terminal does not reach it.

    Raises:
        OSError: It can't be started.
    """
    return await asyncio.create_subprocess_exec(
        *program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        start_new_session=True,
        preexec_fn=_dies_with(os.getpid()),
    )


async def stop(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """Ask it to end, and end it if it does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(patience_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
