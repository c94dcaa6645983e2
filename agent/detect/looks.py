"""Second looks: parts of a frame judged again at the model's own resolution, and all of it put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.boxes import overlap
from agent.detect.budget import LookBudget
from agent.detect.regions import Region, Target, choose
from agent.domain import Box, Expected, Frame
from vision.detections import Detections, Detector, FloatArray, Image
from vision.outputs.nms import suppress
from vision.outputs.reading import Candidates

# From searches over the first half of PETS09-S2L1, in closed loop with the tracker.
STALE_S: Final = 0.3
"""After so long a known object is worth as much as it ever will be: its box drifts, its score tells of the past."""
KNOWN: Final = 0.3
"""What the place of a known object is worth at the least, once it is stale; the rest comes with its belief."""
DOUBTED: Final = 0.5
"""What is added where the belief is low: whether it is there at all is the question that a look answers."""
UNSURE_BELOW: Final = 0.5
SAME: Final = 0.3
"""Overlap from which a detection is of an object that is expected there anyway."""
CUT_PX: Final = 4
"""A detector's box of what a region cuts off ends within so many pixels of its edge."""
SEEN_NO_MORE: Final = 0.3
"""What is left of the whole frame's score where a closer look did not see the same: of such boxes with a score from
.4 on, 74 in 100 were false; of those that the closer look saw as well, 15."""
MERGE_IOU: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a frame shows, after its second looks.

    Attributes:
        detections: Of the whole frame and of the looks, each object once.
        looked: The places that were looked at closely, in shares of the frame; what lies inside was not cut off. One
            that ends at the frame's edge reaches beyond it.
        close: All that the looks alone show, however weak or cut off.
    """

    detections: Detections
    looked: tuple[Box, ...] = ()
    close: Detections | None = None


def only(detections: Detections, labels: frozenset[str]) -> Detections:
    """Those of the labels that matter: what no rule looks for is neither looked at again nor followed."""
    wanted = _among(detections.labels, labels)[detections.classes]
    return Detections(
        detections.boxes[wanted], detections.scores[wanted], detections.classes[wanted], detections.labels
    )


@lru_cache(maxsize=8)
def _among(labels: tuple[str, ...], wanted: frozenset[str]) -> npt.NDArray[np.bool_]:
    """For each label, whether it is wanted: the same from frame to frame, until model or rules change."""
    return np.array([label in wanted for label in labels], np.bool_)


def targets(detections: Detections, expected: Sequence[Expected], now: float) -> list[Target]:
    """What is worth a second look.

    That is where an object is expected, the more so the longer its place was not looked at and the less sure it is;
    and where the whole frame shows something new, by its score.

    Args:
        detections: Of the whole frame.
        expected: By the tracker.
        now: When the frame was captured.
    """
    found = [Target(one.box, _worth(one, now)) for one in expected]
    taken = [one.box for one in expected]
    for (x1, y1, x2, y2), score in zip(detections.boxes.tolist(), detections.scores.tolist(), strict=True):
        box = (x1, y1, x2, y2)
        if not any(overlap(box, other) > SAME for other in taken):
            taken.append(box)
            found.append(Target(box, score))
    return found


def _worth(one: Expected, now: float) -> float:
    stale = 1.0 if one.looked_at is None else min(1.0, (now - one.looked_at) / STALE_S)
    return stale * (KNOWN + (1.0 - KNOWN) * one.belief) + (DOUBTED if one.belief < UNSURE_BELOW else 0.0)


class SecondLooks:
    """Looks closer, as far as the budget goes. Not safe for use from two threads at once.

    Args:
        budget: Of all cameras together.
        size: Width and height of the model's input, in pixels.
    """

    def __init__(self, budget: LookBudget, size: tuple[int, int]) -> None:
        self._budget = budget
        self._size = size

    @property
    def are_made(self) -> bool:
        """Whether any are, with this model."""
        return self._budget.per_frame > 0.0

    def follow_model(self, size: tuple[int, int], pay: float) -> None:
        """Go on with a model of this input size, for which so many looks a frame pay."""
        self._size = size
        self._budget.follow_model(pay)

    def choose(self, frame: Frame, wanted: Sequence[Target]) -> tuple[Region, ...]:
        """Where to look, best first."""
        granted = self._budget.grant(frame.camera, frame.index, frame.at)
        height, width = frame.image.shape[:2]
        regions = choose(wanted, (width, height), self._size, granted)
        self._budget.took(frame.camera, len(regions))
        return regions

    def spent(self, walk_s: float, looks: int, looks_s: float) -> None:
        """What a frame cost: all but its looks, how many those were, and what they took together."""
        self._budget.spent(walk_s, looks, looks_s)


def look(detector: Detector, image: Image, regions: Sequence[Region], min_score: float) -> list[Detections]:
    """What each region shows, in shares of the region.

    Args:
        detector: The one that judged the whole frame.
        image: uint8 (H, W, 3), BGR.
        regions: Inside of it.
        min_score: The lowest score that matters.

    Raises:
        vision.errors.InferenceFailed: As `Detector.detect`.
    """
    return [detector.detect(image[at.y : at.y + at.height, at.x : at.x + at.width], min_score) for at in regions]


def merged(
    whole: Detections,
    regions: Sequence[Region],
    close: Sequence[Detections],
    frame: tuple[int, int],
    min_score: float,
) -> Seen:
    """What the whole frame and its second looks say together, on one scale.

    A box that a region cuts off is left to whoever sees all of it. A box of the whole frame inside a region keeps
    a part of its score only: if it is right, the closer look says so itself.

    Args:
        whole: Of the whole frame.
        regions: What was looked at.
        close: What each of them showed, in shares of the region.
        frame: Width and height, in pixels.
        min_score: What falls below it is dropped.
    """
    if not regions:
        return Seen(whole)
    places = np.array([_trusted(region, frame) for region in regions], np.float32)
    scores = whole.scores.copy()
    scores[_inside(whole.boxes, places[:, None]).any(axis=0)] *= np.float32(SEEN_NO_MORE)

    counts = [len(found) for found in close]
    scale, offset = (np.repeat(values, counts, axis=0) for values in _placements(regions, frame))
    placed = np.concatenate([found.boxes for found in close]) * scale + offset
    shown = Detections(
        placed,
        np.concatenate([found.scores for found in close]),
        np.concatenate([found.classes for found in close]),
        whole.labels,
    )
    uncut = _inside(placed, np.repeat(places, counts, axis=0))
    together = Candidates(
        np.concatenate([whole.boxes, placed[uncut]]),
        np.concatenate([scores, shown.scores[uncut]]),
        np.concatenate([whole.classes, shown.classes[uncut]]),
    )
    kept = suppress(together, MERGE_IOU)
    kept = kept[together.scores[kept] >= min_score]
    detections = Detections(together.boxes[kept], together.scores[kept], together.classes[kept], whole.labels)
    return Seen(detections, tuple(map(_box, places.tolist())), shown)


def _placements(regions: Sequence[Region], frame: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Scales and offsets, float32 (R, 4), that take boxes from shares of a region to shares of the frame."""
    width, height = frame
    scales = [[at.width / width, at.height / height] * 2 for at in regions]
    offsets = [[at.x / width, at.y / height] * 2 for at in regions]
    return np.array(scales, np.float32), np.array(offsets, np.float32)


def _trusted(region: Region, frame: tuple[int, int]) -> Box:
    """Inside of what a box must lie so that the region did not cut it off; the frame's own edge cuts nothing anew."""
    width, height = frame
    right, bottom = region.x + region.width, region.y + region.height
    return (
        (region.x + CUT_PX) / width if region.x > 0 else -1.0,
        (region.y + CUT_PX) / height if region.y > 0 else -1.0,
        (right - CUT_PX) / width if right < width else 2.0,
        (bottom - CUT_PX) / height if bottom < height else 2.0,
    )


def _inside(boxes: FloatArray, places: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether boxes (…, 4) lie in places (…, 4); the shapes are broadcast."""
    return np.asarray(
        (boxes[..., 0] >= places[..., 0])
        & (boxes[..., 1] >= places[..., 1])
        & (boxes[..., 2] <= places[..., 2])
        & (boxes[..., 3] <= places[..., 3])
    )


def _box(place: Sequence[float]) -> Box:
    x1, y1, x2, y2 = place
    return (x1, y1, x2, y2)
