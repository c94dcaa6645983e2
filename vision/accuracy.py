"""How good detections are, held against labels: average precision, and recall and precision at a score.

The measure is PASCAL VOC's with all points, at IoU ≥ .5: the detections of a label over all pictures, best score
first, each claiming the free object that it overlaps most. mAP50 is the mean over labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

IOU: Final = 0.5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """The objects of one label in one picture, in whatever unit detections are given in.

    Attributes:
        boxes: float64 (N, 4), x1 y1 x2 y2.
        counts: bool (N,). One that does not count is neither right nor wrong to find.
        crowds: float64 (K, 4). Regions of many; a detection mostly inside is neither right nor wrong.
    """

    boxes: Floats
    counts: npt.NDArray[np.bool_]
    crowds: Floats


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good the detections of one label are.

    Attributes:
        ap50: Average precision.
        best_f1: The best F1 over all thresholds; 0 where nothing was found.
        best_score: The score at which it is reached.
        labelled: Objects that count.
        pictures: Pictures that were looked at.
    """

    ap50: float
    best_f1: float
    best_score: float
    labelled: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What the detections from a score up come to: right ones, wrong ones, and the objects there were."""

    right: int
    wrong: int
    labelled: int

    @property
    def recall(self) -> float | None:
        """The share of the objects that was found; None where there are none."""
        return self.right / self.labelled if self.labelled else None

    @property
    def precision(self) -> float | None:
        """The share of the detections that is right; None where there are none."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None


class Tally:
    """Detections of one label, picture by picture."""

    def __init__(self) -> None:
        self._outcomes: list[tuple[float, bool]] = []
        self._labelled = 0
        self._pictures = 0

    def add(self, truth: Truth, scores: npt.NDArray[np.floating], boxes: npt.NDArray[np.floating]) -> None:
        """Hold one picture's detections against its objects.

        Args:
            truth: The objects.
            scores: (M,).
            boxes: (M, 4), x1 y1 x2 y2, in the unit of `truth`.
        """
        self._pictures += 1
        self._labelled += int(truth.counts.sum())
        taken = np.zeros(len(truth.boxes), np.bool_)
        for place in np.argsort(-scores, kind="stable"):
            score, box = float(scores[place]), np.asarray(boxes[place], np.float64)
            overlap = np.where(taken, 0.0, iou(box, truth.boxes))
            best = int(overlap.argmax()) if len(overlap) else -1
            if best < 0 or overlap[best] < IOU:
                if not _inside_any(box, truth.crowds):
                    self._outcomes.append((score, False))
                continue
            taken[best] = True
            if truth.counts[best]:
                self._outcomes.append((score, True))

    def accuracy(self) -> Accuracy:
        """Over every picture so far."""
        if not self._outcomes or not self._labelled:
            return Accuracy(0.0, 0.0, 0.0, self._labelled, self._pictures)
        ranked = sorted(self._outcomes, key=lambda outcome: -outcome[0])
        right = np.cumsum([ok for _, ok in ranked])
        recall = right / self._labelled
        precision = right / np.arange(1, len(ranked) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        ap = float(np.sum(np.diff(recall, prepend=0.0) * envelope))
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        best = int(f1.argmax())
        return Accuracy(ap, float(f1[best]), ranked[best][0], self._labelled, self._pictures)

    def counts(self, min_score: float) -> Counts:
        """Of the detections with at least that score."""
        outcomes = [right for score, right in self._outcomes if score >= min_score]
        return Counts(sum(outcomes), len(outcomes) - sum(outcomes), self._labelled)


def iou(box: Floats, boxes: Floats) -> Floats:
    """How much a box, float64 (4,), overlaps each of others, float64 (N, 4): intersection over union, (N,)."""
    shared = _shared(box, boxes)
    areas = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def _shared(box: Floats, boxes: Floats) -> Floats:
    inner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.asarray(np.clip(inner, 0, None).prod(axis=1))


def _inside_any(box: Floats, regions: Floats) -> bool:
    area = max(float((box[2:] - box[:2]).prod()), 1e-9)
    return bool((_shared(box, regions) / area >= IOU).any())
