"""Where something moves: places worth a second look though the detector shows nothing there.

Of what a small model misses, more than a third leaves no box at all, not even one with a low score; but it moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.boxes import covered_by_any
from agent.detect.motion import LIGHT_SHARE, WIDTH, Planes
from agent.detect.passing import PassersBy
from agent.detect.regions import Target
from agent.domain import Box
from vision.detections import Image

THRESHOLD: Final = 20.0
"""Grey levels of 255 above which a place differs from the background: twice the gate's, which must miss nothing."""
SMALLEST: Final = 1 / 550
"""Of the picture: a person of 20 by 60 pixels in a frame of 768 by 576 is one and a half times as large."""
BACKGROUND_S: Final = 8.0
"""The time constant of the background's average, as the gate's."""
WORTH: Final = 0.3
"""As much as a detection of that score: less than most that the detector shows, so it takes what is left over."""
AGAIN_S: Final = 0.5
"""So long after a look that found nothing, the place is worth another one: leaves in the wind move all day."""
EXPLAINED: Final = 0.3
"""Movement of which this much (of the smaller box) lies in a target is that target's."""
EVERY: Final = 3
"""In so many judged frames movement is looked for once: it costs as much as all the rest of choosing, and what moves
unseen still does a moment later."""
EVERY_TURN: Final = 2
"""The same where pictures come as seldom as questions are chosen."""
FEWER_CELLS: Final = 96
"""Across, where movement only leads to questions, and is looked for in a picture that is small anyway: a person of 20
by 60 pixels in a frame of 768 by 576 is still two and a half cells wide, for a quarter of the time."""
STAYS: Final = 0.5
"""Movement of which this much (of the smaller box) is left without those who pass by is not theirs alone."""
PATCHES: Final = 12
"""A look is remembered for patches of the picture, so many across and down."""


class Movement:
    """What moves before one camera.

    Args:
        cells: Into how many a picture is divided across, about.
        every: In so many pictures that it is shown, movement is looked for once.

    Attributes:
        passers: Who passes by: where they are, nothing moves that is worth anything. To be told of frames.
        passed: Where movement was theirs alone, in shares of the frame; of the picture that `targets` was given last.
    """

    def __init__(self, cells: int = WIDTH, every: int = EVERY) -> None:
        self.cells = cells
        self._every = every
        self._planes: Planes | None = None
        self._seen_at = 0.0
        self._turn = 0
        self._looked_at: dict[tuple[int, int], float] = {}
        self.passers: Final = PassersBy()
        self.passed: Sequence[Box] = ()
        # Heads, trunks and legs of one person move apart from each other, above one another.
        self._joined = np.ones((5, 3), np.uint8)

    def targets(self, image: Image, known: Sequence[Target], now: float) -> list[Target]:
        """Where something moves that neither a known target nor who passes by explains; once for each judged frame.

        Most frames get no answer, see EVERY.

        Args:
            image: uint8 (H, W, 3), BGR, or (H, W), grey; any size, and a new one begins anew.
            known: What is worth a look anyway.
            now: When it was captured, in seconds.
        """
        self.passed = ()
        self._turn = (self._turn + 1) % self._every
        if self._turn:
            return []
        explained = [target.box for target in known]
        return [
            Target(box, WORTH * min(1.0, (now - self._looked_at.get(_patch(box), now - AGAIN_S)) / AGAIN_S))
            for box in self._moving(image, now)
            if not covered_by_any(box, explained, EXPLAINED)
        ]

    def looked(self, moving: Sequence[Target], places: Sequence[Box], now: float) -> None:
        """Take note of which of them lie in places that were looked at."""
        for target in moving:
            x, y = (target.box[0] + target.box[2]) / 2, (target.box[1] + target.box[3]) / 2
            if any(place[0] <= x <= place[2] and place[1] <= y <= place[3] for place in places):
                self._looked_at[_patch(target.box)] = now

    def _moving(self, image: Image, now: float) -> list[Box]:
        planes = self._planes
        if planes is None or planes.shape != image.shape:
            self._planes = Planes(image, self.cells)
            self._seen_at = now
            return []
        planes.load(image)
        boxes: list[Box] = []
        if planes.differing(THRESHOLD) > LIGHT_SHARE:
            planes.begin_anew()
        else:
            boxes = self._unexplained(planes)
            planes.blend(1.0 - np.exp(-max(0.0, now - self._seen_at) / BACKGROUND_S))
        self._seen_at = now
        return boxes

    def _unexplained(self, planes: Planes) -> list[Box]:
        boxes = planes.blobs(SMALLEST, self._joined)
        passers = self.passers.boxes() if boxes else []
        if not passers:
            return boxes
        planes.clear(passers)
        left = planes.blobs(SMALLEST, self._joined)
        self.passed = [box for box in boxes if not covered_by_any(box, left, STAYS)]
        return left


def movement(*, looks_closer: bool, asks: bool) -> Movement | None:
    """What a device needs: second looks go by the whole picture, questions alone by a small one; else none."""
    if looks_closer:
        return Movement()
    return Movement(FEWER_CELLS, EVERY_TURN) if asks else None


def movement_with_model(present: Movement | None, *, looks_closer: bool, asks: bool) -> Movement | None:
    """As `movement`, for another model: the present one stays where it would be chosen, since it knows the scene."""
    chosen = movement(looks_closer=looks_closer, asks=asks)
    return present if present is not None and chosen is not None and present.cells == chosen.cells else chosen


def _patch(box: Box) -> tuple[int, int]:
    return (int(PATCHES * (box[0] + box[2]) / 2), int(PATCHES * (box[1] + box[3]) / 2))
