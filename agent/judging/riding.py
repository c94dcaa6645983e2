"""What the cloud placed goes where the pictures show that it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.boxes import shifted
from agent.domain import Box, Frame, Report, Shift
from agent.judging.lane import Lane
from agent.track.carrying import Heard


def follow(lane: Lane, frame: Frame) -> Mapping[int, Box] | None:
    """Where such objects are in this frame, by number; None where no picture was needed for that."""
    if lane.flow is None:
        return None
    riding = lane.tracker.riding(frame.at)
    if not riding and not lane.flow.awaits(frame.at):
        return None
    lane.flow.see(frame.image, frame.at)
    return lane.flow.moved(riding)


def tell(lane: Lane, reports: Sequence[Report]) -> None:
    """Tell the tracker what the cloud found in earlier frames, and where that is in the latest, as far as it shows.

    What is an object's that has ridden since that frame goes as far as that. The rest of what was found in one frame
    is followed at once, by however many answers it was told: that takes little longer than for one of them. What
    changes nothing, half of what is found, is not followed.
    """
    sorted_out = [(report, lane.tracker.sort(report)) for report in reports]
    if lane.flow is not None:
        for at in dict.fromkeys(report.at for report in reports):
            of_frame = [place for place, report in enumerate(reports) if report.at == at]
            placed = [one for place in of_frame for one in _placed(lane, at, sorted_out[place][1])]
            followed = iter(lane.flow.since(at, [box for box, rode in placed if rode is None]))
            gone = iter([next(followed) if rode is None else shifted(box, rode) for box, rode in placed])
            for place in of_frame:
                report, heard = sorted_out[place]
                sorted_out[place] = report, heard.gone_to(gone)
    for report, heard in sorted_out:
        lane.tracker.hear(report, heard)


def _placed(lane: Lane, at: float, heard: Heard) -> list[tuple[Box, Shift | None]]:
    """The boxes of what was found, as in `Heard.placed`, and how far the object of each has ridden since."""
    words = [(said.box, lane.tracker.rode(number, at)) for number, said in heard.words.items() if said is not None]
    return [*words, *((said.box, None) for said in heard.news)]
