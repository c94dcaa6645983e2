"""Handing back memory that only starting, or a model that was closed, needed.

Importing numpy, OpenCV and a runtime, and packing a model's weights, reads far more of their files than running
needs: some 35 MiB of 135 would stay resident until the kernel is short of memory. On a device whose memory is shared
with others it is better given back at once. Only clean pages of files are: program code, read-only shared mappings,
and the libraries' read-only data, much of which are names and relocations, read once when a library is loaded. The
kernel reads them again from its cache if they are wanted after all. What was ever written to is left alone.

A closed model's weights are freed, but stay with the C library in case they are wanted again: 50 MiB of 87 written
ones after NanoDet-g was closed.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

M_ARENA_MAX: Final = -8
"""Of glibc's malloc.h; other C libraries ignore it, or lack the call."""
MAPS: Final = Path("/proc/self/maps")
SMAPS: Final = Path("/proc/self/smaps")
NEVER_WRITTEN: Final = frozenset({"r-xp", "r--s"})
"""Program code and shared read-only files. Private data pages (`r--p`) may hold relocations, which no file has."""
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(/.*)")
"""A mapping of a file, as proc(5) has it in both lists."""
_ANY_MAPPING: Final = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")

Range = tuple[int, int]
"""First address, and the one after the last."""


def library_data(smaps: Path = SMAPS) -> frozenset[Range]:
    """The read-only data of the loaded libraries; none where the system does not tell.

    To be asked while no other thread may load a library: until they are relocated, that one's data look as if nobody
    ever wrote to them. Libraries stay loaded, so the answer can be used later.
    """
    try:
        with smaps.open(encoding="utf-8", errors="surrogateescape") as lines:  # half a megabyte, if read at once
            return frozenset(untouched_data(line.rstrip("\n") for line in lines))
    except OSError:
        return frozenset()


def hand_back(data: Collection[Range] = (), *, maps: Path = MAPS) -> int:
    """Let go of what can be read again; how many mappings that were. 0 where the system has no such list.

    Args:
        data: What `library_data` told; left alone where it was written to since.
        maps: This process's mappings.
    """
    gc.collect()
    if not maps.is_file():
        return 0
    still = library_data().intersection(data) if data else ()
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.madvise.restype = ctypes.c_int
    return sum(
        libc.madvise(start, end - start, mmap.MADV_DONTNEED) == 0
        for start, end in (*still, *clean_mappings(maps.read_text("utf-8", "surrogateescape")))
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


def clean_mappings(maps: str) -> Iterator[Range]:
    """The mappings of files that nobody can have written to."""
    for line in maps.splitlines():
        if (found := _MAPPING.fullmatch(line)) and found[3] in NEVER_WRITTEN:
            yield int(found[1], 16), int(found[2], 16)


def untouched_data(smaps: Iterable[str]) -> Iterator[Range]:
    """The private read-only mappings of libraries that hold no page but their file's, in memory or swapped out."""
    libraries: set[str] = set()
    untouched: dict[Range, str] = {}
    mapping: re.Match[str] | None = None
    for line in smaps:
        if _ANY_MAPPING.match(line):
            mapping = _MAPPING.fullmatch(line)
            if mapping and mapping[3] == "r-xp":
                libraries.add(mapping[4])
        elif mapping and mapping[3] == "r--p":
            where = int(mapping[1], 16), int(mapping[2], 16)
            name, *said = line.split()
            if name == "Anonymous:" and said[:1] == ["0"]:
                untouched[where] = mapping[4]
            elif name == "Swap:" and said[:1] != ["0"]:
                untouched.pop(where, None)
    return (where for where, path in untouched.items() if path in libraries)
