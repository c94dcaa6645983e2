"""Which setting to use for a budget, out of what the runs came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

AS_GOOD: Final = 0.006
"""A difference in F1 that may be chance: with frames drawn at random at 5 % of the bytes, eight seeds differ with a
standard deviation of .003, on either half of PETS09-S2L1."""


@dataclass(frozen=True, slots=True)
class Point:
    """A setting, its cost and its catch.

    Attributes:
        name: As the command line has it, such as `ours 5%`.
        share: Of what sending every frame would take.
        f1: Against whatever was measured against.
    """

    name: str
    share: float
    f1: float


def best_within(points: Sequence[Point], share: float) -> Point | None:
    """The setting to use where so much may be sent: of those that catch the most, or nearly, the cheapest.

    None where every setting takes more.
    """
    affordable = [point for point in points if point.share <= share]
    if not affordable:
        return None
    most = max(point.f1 for point in affordable)
    return min(
        (point for point in affordable if point.f1 >= most - AS_GOOD), key=lambda point: (point.share, -point.f1)
    )
