"""What a simulation needs of the machine: open files, a folder, and to hear when it shall stop."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from workbench.errors import SimOptionsInvalid

SPARE_FILES: Final = 256
"""Beside the devices' sockets."""


def raise_file_limit(devices: int) -> None:
    """Let this process open a socket for each device.

    Raises:
        SimOptionsInvalid: That is more than may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = devices + SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise SimOptionsInvalid(
            f"{devices} devices need {wanted} open files, and {hard} are allowed here",
            f"Simulate at most {hard - SPARE_FILES}, or raise the limit (`ulimit -Hn`).",
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else hard, hard))


@contextmanager
def folder_for(wanted: Path | None) -> Iterator[Path]:
    """Where everything is kept: the folder that is wanted, or a temporary one, which outlives a failure only."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="vedette-sim-"))
    try:
        yield made
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(made, ignore_errors=True)
        raise
    else:
        # After a failure the service's log is the only witness of what went wrong.
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def told_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first signal brings the simulation to its end in good order, the second one at once."""
    loop, running = asyncio.get_running_loop(), asyncio.current_task()

    def ask() -> None:
        if stop.is_set() and running is not None:
            running.cancel()
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
