"""Average precision of `detect --jsonl` lines on a labelled video; the measure is that of `vision.accuracy`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cloud.registry.evaluation.document import Kind
from cloud.registry.evaluation.labels import RawBox
from cloud.registry.evaluation.mot import read_mot
from vision.accuracy import Accuracy, Floats, Tally, Truth

Found = tuple[Floats, Floats]
"""Scores (N,), and boxes (N, 4), x1 y1 x2 y2 in pixels."""


def read_truths(path: Path) -> dict[int, Truth]:
    """MOT's labels by the clip's own frame index."""
    return {frame: _truth(boxes) for frame, boxes in (read_mot(path).frames or {}).items()}


def read_detections(path: Path, label: str, width: int, height: int) -> dict[int, Found]:
    """What was found of one label, by frame."""
    scale = np.array([width, height, width, height], float)
    found: dict[int, Found] = {}
    for line in path.read_text("utf-8").splitlines():
        frame = json.loads(line)
        own = [each for each in frame["detections"] if each["label"] == label]
        boxes = np.array([each["box"] for each in own], float).reshape(-1, 4) * scale
        found[frame["frame"]] = np.array([each["score"] for each in own], float), boxes
    return found


def average_precision(
    truths: Mapping[int, Truth], detections: Mapping[int, Found], frames: Sequence[int]
) -> Accuracy:
    """AP over the given frames; one without labels shows nothing."""
    tally = Tally()
    for frame in frames:
        tally.add(truths.get(frame, _truth(())), *detections.get(frame, (np.zeros(0), np.zeros((0, 4)))))
    return tally.accuracy()


def _truth(boxes: Sequence[RawBox]) -> Truth:
    corners = np.array([box.corners for box in boxes], float).reshape(-1, 4)
    return Truth(corners, np.array([box.kind is Kind.OBJECT for box in boxes], np.bool_), np.zeros((0, 4)))
