"""What the cloud placed goes where the picture shows that it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.domain import Found, Frame
from agent.judging.lane import Lane


def ride(lane: Lane, frame: Frame) -> None:
    """Tell the tracker where such objects are in this frame; ahead of whatever else it is told or asked of it."""
    if lane.flow is None:
        return
    riding = lane.tracker.riding()
    if not riding and not lane.flow.awaits(frame.at):
        return
    lane.flow.see(frame.image, frame.at)
    moved = lane.flow.moved(list(riding.values()))
    lane.tracker.ride({number: box for number, box in zip(riding, moved, strict=True) if box is not None}, frame.at)


def gone(lane: Lane, found: Sequence[Found], at: float) -> tuple[Found, ...]:
    """What the cloud found in an earlier frame, each with where it is in the latest, as far as that shows."""
    if lane.flow is None:
        return tuple(found)
    moved = lane.flow.since(at, [one.box for one in found])
    return tuple(replace(one, gone=box) for one, box in zip(found, moved, strict=True))
