"""Average precision of detections on a labelled video.

Labels are in MOT15's form: `frame,id,x,y,width,height,confidence,…`, frames from 1, pixels. Rows with confidence 0
mark what is neither right nor wrong to find. The measure is PASCAL VOC's AP with all points, at IoU ≥ .5.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

IOU: Final = 0.5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of one frame.

    Attributes:
        boxes: float64 (N, 4), x1 y1 x2 y2 in pixels.
        counts: bool (N,), whether each counts.
        ids: int64 (N,), who each is; the same in all frames.
    """

    boxes: Floats
    counts: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good detections are.

    Attributes:
        ap50: Average precision.
        best_f1: The best F1 over all thresholds, and the score at which it is reached.
    """

    ap50: float
    best_f1: float
    best_score: float
    labelled: int
    frames: int


def read_mot(path: Path) -> dict[int, Truth]:
    """Labels by the clip's own frame index, which is one less than MOT's."""
    rows: dict[int, list[tuple[list[float], bool, int]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.reader(file):
            x, y, w, h = map(float, row[2:6])
            rows[int(row[0]) - 1].append(([x, y, x + w, y + h], float(row[6]) > 0, int(row[1])))
    return {
        frame: Truth(
            np.array([box for box, _, _ in found]),
            np.array([counts for _, counts, _ in found]),
            np.array([who for _, _, who in found]),
        )
        for frame, found in rows.items()
    }


def read_detections(path: Path, label: str, width: int, height: int) -> dict[int, list[tuple[float, Floats]]]:
    """`detect --jsonl` lines as (score, box in pixels) by frame."""
    scale = np.array([width, height, width, height], float)
    found: dict[int, list[tuple[float, Floats]]] = {}
    for line in path.read_text("utf-8").splitlines():
        frame = json.loads(line)
        found[frame["frame"]] = [
            (d["score"], np.array(d["box"]) * scale) for d in frame["detections"] if d["label"] == label
        ]
    return found


def average_precision(
    truths: dict[int, Truth], detections: dict[int, list[tuple[float, Floats]]], frames: Sequence[int]
) -> Accuracy:
    """AP over the given frames; a detection may claim one label, the best that is free."""
    outcomes, labelled = _outcomes(truths, detections, frames)
    return _summary(outcomes, labelled, len(frames))


def _outcomes(
    truths: dict[int, Truth], detections: dict[int, list[tuple[float, Floats]]], frames: Sequence[int]
) -> tuple[list[tuple[float, bool]], int]:
    """The score of each detection that counts and whether it is right; and how many labels count."""
    outcomes: list[tuple[float, bool]] = []
    labelled = 0
    for frame in frames:
        truth = truths.get(frame)
        if truth is None:
            outcomes += [(score, False) for score, _ in detections.get(frame, [])]
            continue
        labelled += int(truth.counts.sum())
        taken = np.zeros(len(truth.boxes), bool)
        for score, box in sorted(detections.get(frame, []), key=lambda found: -found[0]):
            overlap = np.where(taken, 0.0, iou(box, truth.boxes))
            best = int(overlap.argmax())
            if overlap[best] < IOU:
                outcomes.append((score, False))
                continue
            taken[best] = True
            if truth.counts[best]:
                outcomes.append((score, True))
    return outcomes, labelled


@dataclass(frozen=True, slots=True)
class Standing:
    """How good boxes are that come without a score to choose by."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


def precision_and_recall(
    truths: dict[int, Truth], found: dict[int, list[tuple[float, Floats]]], frames: Sequence[int]
) -> Standing:
    """Of everything that is found, as it is; labels are claimed as in `average_precision`."""
    outcomes, labelled = _outcomes(truths, found, frames)
    right = sum(ok for _, ok in outcomes)
    return Standing(right / max(len(outcomes), 1), right / max(labelled, 1))


def iou(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of one box (4,) with each of `boxes` (N, 4)."""
    inner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(inner, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(area - shared, 1e-9))


def _summary(outcomes: list[tuple[float, bool]], labelled: int, frames: int) -> Accuracy:
    if not outcomes or not labelled:
        return Accuracy(0.0, 0.0, 0.0, labelled, frames)
    outcomes.sort(key=lambda outcome: -outcome[0])
    right = np.cumsum([ok for _, ok in outcomes])
    recall = right / labelled
    precision = right / np.arange(1, len(outcomes) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    return Accuracy(ap, float(f1[best]), outcomes[best][0], labelled, frames)
