"""Handing back memory that only starting, or a model that was closed, needed.

Importing numpy, OpenCV and a runtime, and packing a model's weights, reads far more of their files than running
needs: about 25 MiB of 125 stay resident until the kernel is short of memory. On a device whose memory is shared with
others it is better given back at once. Only clean pages of files are: program code and read-only shared mappings,
which the kernel reads again from its cache if they are wanted after all. What was ever written to is left alone.

A closed model's weights are freed, but stay with the C library in case they are wanted again: 50 MiB of 87 written
ones after NanoDet-g was closed.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

M_ARENA_MAX: Final = -8
"""Of glibc's malloc.h; other C libraries ignore it, or lack the call."""
MAPS: Final = Path("/proc/self/maps")
NEVER_WRITTEN: Final = frozenset({"r-xp", "r--s"})
"""Program code and shared read-only files. Private data pages (`r--p`) may hold relocations, which no file has."""


def hand_back(maps: Path = MAPS) -> int:
    """Let go of what can be read again; how many mappings that were. 0 where the system has no such list."""
    gc.collect()
    if not maps.is_file():
        return 0
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.madvise.restype = ctypes.c_int
    return sum(
        libc.madvise(start, end - start, mmap.MADV_DONTNEED) == 0
        for start, end in clean_mappings(maps.read_text("utf-8", "surrogateescape"))
    )


def one_heap() -> None:
    """Have all threads share one heap, where the C library would give each its own; ahead of the threads.

    A dozen threads that each free what another allocated keep some 2 MiB more, and these threads rarely meet: one
    judges, the others wait.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Give what was freed back to the system, where the C library is one that keeps it."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def clean_mappings(maps: str) -> Iterator[tuple[int, int]]:
    """First and last address of each mapping of a file that nobody can have written to."""
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("/") and fields[1] in NEVER_WRITTEN:  # noqa: PLR2004 - proc(5)
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16)
