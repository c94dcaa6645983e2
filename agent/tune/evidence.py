"""What is known of one label before one camera under one model: the cloud's answers, and what the device counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

BINS: Final = 100
"""Scores are told apart to a hundredth, here and in the bands."""
DAY_S: Final = 86_400.0


class Scene(NamedTuple):
    """What a band is for."""

    camera: str
    label: str
    model_digest: str


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """A frame drawn for audit, in which the reference sees objects of the label.

    Attributes:
        at: When the answer came, in seconds of the epoch.
        probability: With which it was drawn.
        there: How many the reference sees.
        found: The device's scores of those of them that it followed.
    """

    at: float
    probability: float
    there: int
    found: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ObjectAnswer:
    """An object that was drawn, and what the cloud said of it.

    Attributes:
        at: When it had gone, in seconds of the epoch.
        probability: With which it was drawn.
        certain_to: The highest upper end with which the device would have been sure of it.
        wrong: The cloud does not see it.
    """

    at: float
    probability: float
    certain_to: float
    wrong: bool


@dataclass(frozen=True, slots=True)
class Census:
    """All objects that were followed, drawn or not.

    Attributes:
        watched_s: For how long.
        objects: How many, by the hundredth to which they were certain, `int(certain_to * 100)`.
    """

    watched_s: float = 0.0
    objects: Mapping[int, int] = field(default_factory=dict)

    def certain(self, upper: float) -> int:
        """How many the device would have been sure of."""
        return sum(count for hundredth, count in self.objects.items() if hundredth >= hundredths(upper))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one scene, as far as it is not too old."""

    frames: tuple[FrameAnswer, ...] = ()
    objects: tuple[ObjectAnswer, ...] = ()
    census: Census = field(default_factory=Census)


def hundredths(score: float) -> int:
    """The score, rounded down as bands are compared; what is .29 stays so whatever binary fractions make of it."""
    return int(score * BINS + 1e-9)
