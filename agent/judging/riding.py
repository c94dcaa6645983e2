"""What the cloud placed goes where the picture shows that it went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat

from agent.domain import Box, Found, Frame, Report
from agent.judging.lane import Lane


def follow(lane: Lane, frame: Frame) -> Mapping[int, Box] | None:
    """Where such objects are in this frame, by number; None where no picture was needed for that."""
    if lane.flow is None:
        return None
    riding = lane.tracker.riding()
    if not riding and not lane.flow.awaits(frame.at):
        return None
    lane.flow.see(frame.image, frame.at)
    return lane.flow.moved(riding)


def tell(lane: Lane, reports: Sequence[Report]) -> None:
    """Tell the tracker what the cloud found in earlier frames, and where that is in the latest, as far as it shows.

    What was found in one frame is followed at once, by however many answers it was told: that takes little longer
    than for one of them.
    """
    there: dict[float, Iterator[Box | None]] = {}
    if lane.flow is not None:
        for at in dict.fromkeys(report.at for report in reports):
            boxes = [one.box for report in reports if report.at == at for one in report.found]
            there[at] = iter(lane.flow.since(at, boxes))
    for report in reports:
        places = there.get(report.at, repeat(None))
        found = tuple([Found(one.label, one.score, one.box, next(places)) for one in report.found])
        lane.tracker.hear(replace(report, found=found))
