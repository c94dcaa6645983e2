from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.resident import clean_mappings, hand_back, library_data, trim, untouched_data

MAPS = """\
55d0c0a00000-55d0c0a01000 r--p 00000000 fe:01 123 /usr/bin/python3.11
55d0c0a01000-55d0c0c5a000 r-xp 00001000 fe:01 123 /usr/bin/python3.11
55d0c0c5a000-55d0c0d00000 rw-p 00259000 fe:01 123 /usr/bin/python3.11
7f0000000000-7f0000001000 rwxp 00000000 fe:01 124 /usr/lib/odd.so
7f1000000000-7f1000002000 r--s 00000000 fe:01 125 /srv/my models/a model.tflite
7f1000002000-7f1000003000 rw-s 00000000 fe:01 126 /srv/shared
7f2000000000-7f2000001000 r-xp 00000000 00:00 0
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0                          [vdso]
a line that is cut
"""


def test_only_what_nobody_can_have_written_to() -> None:
    assert list(clean_mappings(MAPS)) == [
        (0x55D0C0A01000, 0x55D0C0C5A000),
        (0x7F1000000000, 0x7F1000002000),
    ]


ADDRESSES = st.tuples(st.integers(0, 2**47), st.integers(1, 2**30))
RIGHTS = st.builds("".join, st.tuples(*(st.sampled_from(f"{right}-") for right in "rwx"), st.sampled_from("ps")))
PATHS = st.one_of(st.just(""), st.just("[heap]"), st.from_regex(r"/[a-z /().]{0,20}[a-z]", fullmatch=True))


@given(st.lists(st.tuples(ADDRESSES, RIGHTS, PATHS), max_size=20))
def test_writable_anonymous_and_private_data_mappings_are_never_named(
    mappings: list[tuple[tuple[int, int], str, str]],
) -> None:
    text = "".join(
        f"{start:x}-{start + size:x} {rights} 00000000 fe:01 12 {path}\n" for (start, size), rights, path in mappings
    )
    wanted = [
        (start, start + size)
        for (start, size), rights, path in mappings
        if "w" not in rights and path.startswith("/") and rights[0] == "r" and rights[2:] in {"xp", "-s"}
    ]
    assert list(clean_mappings(text)) == wanted


def counted(start: int, end: int, rights: str, path: str, *, own: int | None = 0, swapped: int = 0) -> str:
    """A mapping as the kernel tells it in `smaps`; `own` is None on one that does not count pages of its own."""
    told = "" if own is None else f"Anonymous:      {own:9d} kB\n"
    return (
        f"{start:x}-{end:x} {rights} 00000000 fe:01 123                        {path}\n"
        f"Rss:                  64 kB\n{told}AnonHugePages:         0 kB\nSwap:           {swapped:9d} kB\n"
        "VmFlags: rd mr mw me \n"
    )


LIBRARY = "/usr/lib/x/libone more.so.1"


def test_a_library_s_constants_are_told_from_what_was_relocated() -> None:
    smaps = "".join(
        (
            counted(0x1000, 0x3000, "r--p", LIBRARY),
            counted(0x3000, 0x5000, "r-xp", LIBRARY),
            counted(0x5000, 0x6000, "r--p", LIBRARY),
            counted(0x6000, 0x7000, "r--p", LIBRARY, own=4),
            counted(0x7000, 0x8000, "r--p", LIBRARY, swapped=4),
            counted(0x8000, 0x9000, "rw-p", LIBRARY),
            counted(0xA000, 0xB000, "r--p", "/srv/a file that is no library"),
            counted(0xC000, 0xD000, "r--p", ""),
            counted(0xE000, 0xF000, "r--p", "[vvar]"),
            counted(0x10000, 0x11000, "r--p", LIBRARY, own=None),
        )
    )
    assert list(untouched_data(smaps.splitlines())) == [(0x1000, 0x3000), (0x5000, 0x6000)]


@given(
    st.lists(
        st.tuples(
            RIGHTS, st.sampled_from([LIBRARY, "/srv/data", "", "[heap]"]), st.integers(0, 9), st.integers(0, 9)
        ),
        max_size=20,
    )
)
def test_what_was_ever_written_to_is_never_named(mappings: list[tuple[str, str, int, int]]) -> None:
    smaps = "".join(
        counted(place << 12, (place + 1) << 12, rights, path, own=own, swapped=swapped)
        for place, (rights, path, own, swapped) in enumerate(mappings, start=1)
    )
    for start, _ in untouched_data(smaps.splitlines()):
        rights, path, own, swapped = mappings[(start >> 12) - 1]
        assert (rights, path, own, swapped) == ("r--p", LIBRARY, 0, 0)


def test_this_process_s_libraries_lose_their_constants_and_find_them_again() -> None:
    script = """
import sys, numpy as np, cv2
from agent.adapters.resident import hand_back, library_data
from agent.app.figures import rss_mib
data = library_data()
hand_back()
touched = rss_mib()
assert hand_back(data) > hand_back()
assert touched - rss_mib() > 5, (touched, rss_mib())
import sqlite3, ssl, ctypes, decimal
assert sqlite3.connect(":memory:").execute("SELECT sqlite_version()").fetchone()
assert cv2.GaussianBlur(np.full((90, 120, 3), 7, np.uint8), (5, 5), 0).mean() == 7
assert library_data() > data
print("working")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("working\n", 0), done.stderr


def test_data_that_was_written_to_since_is_left_alone() -> None:
    # A range that is the heap's, which nothing would bring back.
    script = """
import re
from agent.adapters.resident import hand_back
heap = re.search(r"^([0-9a-f]+)-([0-9a-f]+) rw-p .*\\[heap\\]$", open("/proc/self/maps").read(), re.M)
before = hand_back()
assert hand_back([(int(heap[1], 16), int(heap[2], 16))]) == before
print("working")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("working\n", 0), done.stderr


def test_memory_is_handed_back_and_the_process_goes_on_working(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"x" * (8 << 20))
    script = f"""
import mmap, numpy as np, cv2
from agent.adapters.resident import hand_back
from agent.app.figures import rss_mib
with open({str(file)!r}, "rb") as file:
    weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
assert weights[:].count(b"x") == {8 << 20}
before = rss_mib()
count = hand_back()
after = rss_mib()
assert count > 1
assert before - after > 8, (before, after)
assert weights[:].count(b"x") == {8 << 20}
image = cv2.resize(np.full((90, 120, 3), 7, np.uint8), (30, 20))
assert image.mean() == 7
print("working")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("working\n", 0), done.stderr


def test_where_there_is_no_such_list_nothing_happens(tmp_path: Path) -> None:
    assert hand_back(maps=tmp_path / "maps") == 0
    assert library_data(tmp_path / "smaps") == frozenset()


def test_a_mapping_that_is_not_ours_is_refused_by_the_system_and_not_counted(tmp_path: Path) -> None:
    # The page before the first that user space may have: madvise refuses it.
    maps = tmp_path / "maps"
    maps.write_text(f"1-{mmap.PAGESIZE:x} r-xp 00000000 fe:01 1 /usr/lib/nothing\n")
    assert hand_back(maps=maps) == 0


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this libc has no malloc_trim")
def test_what_was_freed_below_something_that_lives_is_given_back() -> None:
    # Below the size from which glibc maps each piece by itself.
    pieces = [np.ones(64 * 1024, np.uint8) for _ in range(1000)]
    held = pieces.pop()
    before = psutil.Process().memory_info().rss
    del pieces
    trim()
    assert before - psutil.Process().memory_info().rss > 40 * 2**20
    assert held.all()
