"""Who passes by: what the device's detector is sure of, that goes about, and that no rule looks for. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from agent.boxes import covered_by_any, overlap
from agent.domain import Box
from vision.detections import Detections

JUST_NOW_S: Final = 0.25
"""A detector misses an object in a frame now and then: where it saw one so long ago, that still explains movement."""
STANDS_S: Final = 1.0
"""What lay in the same place so long ago stands there."""
KEPT_S: Final = 1.5
"""So the frames of half a second say what stands, since a detector misses an object in one of them now and then."""
SAME: Final = 0.7
"""Overlap (intersection over union) from which a place is the same."""
DOUBTED: Final = 0.3
"""Where a label that a rule looks for covers so much of it (of the smaller box), however weakly, it may be that."""


class _Noted(NamedTuple):
    at: float
    sure: list[Box]
    others: list[Box]


class PassersBy:
    """Those before one camera.

    What stands is none: it explains no movement, since somebody who walks past a parked car is not the car.
    """

    def __init__(self) -> None:
        self._frames: deque[_Noted] = deque()

    def note(self, detections: Detections, labels: frozenset[str], sure_from: float, now: float) -> None:
        """Take in a frame.

        Args:
            detections: All that the model says of it, of any label.
            labels: What rules look for.
            sure_from: The score from which on the model is sure.
            now: When it was captured, in seconds.
        """
        while self._frames and not 0.0 <= now - self._frames[0].at <= KEPT_S:
            self._frames.popleft()
        wanted: list[Box] = []
        others: list[Box] = []
        sure: list[Box] = []
        rows = zip(detections.boxes.tolist(), detections.classes.tolist(), detections.scores.tolist(), strict=True)
        for (x1, y1, x2, y2), name, score in rows:
            box = (x1, y1, x2, y2)
            if detections.labels[name] in labels:
                wanted.append(box)
            else:
                others.append(box)
                if score >= sure_from:
                    sure.append(box)
        self._frames.append(_Noted(now, [box for box in sure if not covered_by_any(box, wanted, DOUBTED)], others))

    def boxes(self) -> list[Box]:
        """Where they are or were just now; none until some frame is so old that it says what stands."""
        now = self._frames[-1].at if self._frames else 0.0
        before = [frame for frame in self._frames if now - frame.at >= STANDS_S]
        sure = [box for frame in self._frames if now - frame.at <= JUST_NOW_S for box in frame.sure]
        if not before or not sure:
            return []
        stood = [box for frame in before for box in frame.others]
        return [box for box in sure if not any(overlap(box, other) >= SAME for other in stood)]
