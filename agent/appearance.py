"""How much two sightings look alike."""

from __future__ import annotations

from typing import Final

from agent.domain import Appearance

FRESH: Final = 0.2
"""How much of a new sighting is taken over: someone who passes in front for a frame or two leaves no trace."""


def difference(one: Appearance | None, other: Appearance | None) -> float:
    """How different they look, 0..1; 0 where nothing is known of either."""
    if one is None or other is None:
        return 0.0
    return sum(map(abs, map(float.__sub__, one, other))) / (255.0 * len(one))


def blended(before: Appearance, now: Appearance) -> Appearance:
    """What an object looks like by now."""
    # A list first: a generator's turns would take longer than the sums.
    return tuple([old + FRESH * (new - old) for old, new in zip(before, now, strict=True)])
