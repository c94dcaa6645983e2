"""What the cloud placed goes where the picture shows that it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.domain import Box, Frame, Report
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
    than for one of them. What changes nothing, half of what is found, is not followed.
    """
    sorted_out = [(report, lane.tracker.sort(report)) for report in reports]
    if lane.flow is not None:
        for at in dict.fromkeys(report.at for report in reports):
            of_frame = [place for place, report in enumerate(reports) if report.at == at]
            boxes = [one.box for place in of_frame for one in sorted_out[place][1].placed]
            gone = iter(lane.flow.since(at, boxes))
            for place in of_frame:
                report, heard = sorted_out[place]
                sorted_out[place] = report, heard.gone_to(gone)
    for report, heard in sorted_out:
        lane.tracker.hear(report, heard)
