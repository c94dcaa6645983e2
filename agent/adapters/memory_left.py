"""How much memory this process could still take, by the kernel's own files; what is missing limits nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from agent.update.swap import GroupMemory, available_mib, groups_of

PROC: Final = Path("/proc")
GROUPS: Final = Path("/sys/fs/cgroup")
SECOND: Final = ("memory.max", "memory.current", "memory.stat")
FIRST: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")


def memory_left_mib(proc: Path = PROC, groups: Path = GROUPS) -> float | None:
    """See `agent.update.swap.available_mib`."""
    second, first = groups_of(_text(proc / "self" / "cgroup"))
    limits = [
        *_limits((groups, groups / "unified"), second, SECOND),
        *_limits((groups / "memory",), first, FIRST),
    ]
    return available_mib(_text(proc / "meminfo"), limits)


def _limits(roots: tuple[Path, ...], path: str | None, names: tuple[str, str, str]) -> Iterator[GroupMemory]:
    """Of the group and of each above it; in a container the path may name groups that only the host sees."""
    if path is None:
        return
    within = PurePosixPath(path).relative_to("/")
    if ".." in within.parts:
        within = PurePosixPath()
    for root in roots:
        for group in (within, *within.parents):
            limit, used, stat = (_text(root / group / name) for name in names)
            if limit:
                yield GroupMemory(limit, used, stat)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
