"""Whether two models may be in memory at once, or one has to go before the other comes. Pure.

The need is what the proof measured: the most that was resident in a process of its own. That counts the libraries
too, which the agent has loaded already, so it errs on the side of the swap that takes less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MIB: Final = 2**20
MARGIN_MIB: Final = 32.0
"""Left over for what grows meanwhile: frames of 6 MiB each at full HD, pictures that wait to be sent (16 MiB)."""
UNPROVEN_MIB: Final = 160.0
"""Taken to be the need of a model that was not proven since the start: the proofs of the two default models take 108
and 147 MiB (x86-64, XNNPACK)."""
UNLIMITED_BYTES: Final = 2**60
"""Version 1 of control groups says "no limit" as the largest number of whole pages."""


class Swap(StrEnum):
    """How a model takes over from another; the setting `updates.swap`."""

    AUTO = "auto"
    BESIDE = "beside"
    IN_PLACE = "in-place"


@dataclass(frozen=True, slots=True)
class Manner:
    """What was decided, and why in words."""

    in_place: bool
    why: str


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """What the files of one control group say, as text; empty where there is no such file.

    Attributes:
        limit: `memory.max`, or `memory.limit_in_bytes` in version 1.
        used: `memory.current`, or `memory.usage_in_bytes`.
        stat: `memory.stat`.
    """

    limit: str
    used: str
    stat: str


def manner(swap: Swap, available_mib: float | None, needed_mib: float | None) -> Manner:
    """How to bring in a model.

    Args:
        swap: As the device is set.
        available_mib: See `available_mib`; None where nobody knows.
        needed_mib: By the model beside the current one; None where it was not proven since the start.
    """
    if swap is not Swap.AUTO:
        return Manner(swap is Swap.IN_PLACE, f'updates.swap is "{swap}"')
    if available_mib is None:
        return Manner(in_place=False, why="the system does not tell how much memory is available")
    needed = (UNPROVEN_MIB if needed_mib is None else needed_mib) + MARGIN_MIB
    in_place = available_mib < needed
    told = "are available where a second model may take"
    return Manner(in_place, f"{available_mib:.0f} MiB {told} {needed:.0f} MiB")


def available_mib(meminfo: str, groups: Iterable[GroupMemory]) -> float | None:
    """What could still be taken without swapping or being ended for it; None where nothing tells.

    Args:
        meminfo: The text of `/proc/meminfo`.
        groups: The control group of this process and all above it.
    """
    rooms = [room for room in (_system_room(meminfo), *map(_group_room, groups)) if room is not None]
    return max(0, min(rooms)) / MIB if rooms else None


def _system_room(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        fields = rest.split()
        if name == "MemAvailable" and fields and (kib := _number(fields[0])) is not None:
            return kib * 1024
    return None


def _group_room(group: GroupMemory) -> int | None:
    """Its limit less what it uses; the cache of files that were not read lately would be given up first."""
    limit, used = _number(group.limit), _number(group.used)
    if limit is None or used is None or limit >= UNLIMITED_BYTES:
        return None
    return limit - max(0, used - _idle_cache(group.stat))


def _idle_cache(stat: str) -> int:
    """`total_inactive_file` counts the groups below as well, as version 1's usage does; version 2 always does."""
    found = dict(line.partition(" ")[::2] for line in stat.splitlines())
    number = _number(found.get("total_inactive_file", found.get("inactive_file", "")))
    return 0 if number is None else number


def _number(text: str) -> int | None:
    stripped = text.strip()
    # More digits than any amount of memory has would only be slow to read.
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) <= 20 else None  # noqa: PLR2004


def groups_of(cgroup: str) -> tuple[str | None, str | None]:
    """The paths of this process's control groups that may limit memory: version 2's, and version 1's.

    Args:
        cgroup: The text of `/proc/self/cgroup`, lines of `number:controllers:path`.
    """
    second, first = None, None
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or not path.startswith("/"):
            continue
        if number == "0" and not controllers:
            second = path
        elif "memory" in controllers.split(","):
            first = path
    return second, first
