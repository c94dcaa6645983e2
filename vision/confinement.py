"""Limits that a process puts on itself before it touches what it does not trust. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000
PR_SET_PDEATHSIG: Final = 1
OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
FIRST_TO_GO: Final = "1000"
"""See proc_pid_oom_score_adj(5); raising it takes no privilege."""
NICENESS: Final = 10
"""Cameras and service come first."""
MAX_FILES: Final = 64


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which started it, ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


def limit(*, memory_mib: float, cpu_s: float) -> None:
    """Bound memory, processor time, files and priority.

    Memory is bounded as data (private writable pages), not as address space: the runtimes map far more than they ever
    touch. Reaching that bound makes allocations fail, which ends most native code by SIGABRT.
    Where memory is short all the same, of the machine or the control group, the kernel kills this process first.
    """
    with contextlib.suppress(OSError):
        OOM_SCORE.write_text(FIRST_TO_GO)
    memory = int(memory_mib * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    seconds = max(1, int(cpu_s) + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    os.nice(NICENESS)


def leave_the_network() -> bool:
    """Move into a network namespace of its own, which has none; False where the system does not permit it.

    Without root this takes a user namespace as well, which some systems and service managers forbid. Such a process
    is only as far from the network as its user is.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET))
