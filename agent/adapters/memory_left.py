"""How much memory this process could still take, by the kernel's own files; what is missing limits nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from agent.update.swap import GroupMemory, available_mib, groups_of

PROC: Final = Path("/proc")
GROUPS: Final = Path("/sys/fs/cgroup")
SECOND: Final = ("memory.max", "memory.current", "memory.stat")
KILLS_SECOND: Final = "memory.events"
KILLS_FIRST: Final = "memory.oom_control"
FIRST: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")


def memory_left_mib(proc: Path = PROC, groups: Path = GROUPS) -> float | None:
    """See `agent.update.swap.available_mib`."""
    second, first = groups_of(_text(proc / "self" / "cgroup"))
    limits = [
        *_limits((groups, groups / "unified"), second, SECOND),
        *_limits((groups / "memory",), first, FIRST),
    ]
    return available_mib(_text(proc / "meminfo"), limits)


def oom_kills(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """How many processes the kernel has killed so far for want of memory; None where it does not tell.

    Of this process's own control group, version 2 or 1, with those below it; of the machine where that can't be seen.
    The kernel counts before it kills (`__oom_kill_process` in mm/oom_kill.c): who saw a process end finds it counted.
    """
    second, first = groups_of(_text(proc / "self" / "cgroup"))
    for roots, path, name in (
        ((groups, groups / "unified"), second, KILLS_SECOND),
        ((groups / "memory",), first, KILLS_FIRST),
    ):
        for group in _groups(roots, path):
            if (count := _kills(group / name)) is not None:
                return count
    return _kills(proc / "vmstat")


def _kills(file: Path) -> int | None:
    for line in _text(file).splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.isdecimal():
            return int(count)
    return None


def _limits(roots: tuple[Path, ...], path: str | None, names: tuple[str, str, str]) -> Iterator[GroupMemory]:
    """Of the group and of each above it; in a container the path may name groups that only the host sees."""
    for group in _groups(roots, path):
        limit, used, stat = (_text(group / name) for name in names)
        if limit:
            yield GroupMemory(limit, used, stat)


def _groups(roots: tuple[Path, ...], path: str | None) -> Iterator[Path]:
    """The folders of the group and of each above it."""
    if path is None:
        return
    within = PurePosixPath(path).relative_to("/")
    if ".." in within.parts:
        within = PurePosixPath()
    for root in roots:
        for group in (within, *within.parents):
            yield root / group


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
