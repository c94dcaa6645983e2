"""What the device stands behind in a frame: what a person would be shown."""

from __future__ import annotations

from collections.abc import Iterable

from agent.domain import Track


def standing(tracks: Iterable[Track]) -> tuple[Track, ...]:
    """The objects that are there by now, whether this frame shows them or not.

    Precision and recall are computed from them as they are: there is no threshold left to choose.
    """
    return tuple(track for track in tracks if track.stands)
