"""Heads of one row per anchor: box, objectness, classes. YOLOv5's is decoded; YOLOX builds on this one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.detections import FloatArray
from vision.outputs.reading import (
    Candidates,
    Indices,
    Labels,
    Scores,
    above,
    box_extent,
    check_finite,
    corners,
    real,
    unfit,
)
from vision.tensors import AnyArray, TensorInfo
from wire.model import Manifest

_FIRST_CLASS = 5


class YoloV5Decoder:
    """(1, A, 5 + C): centre x, centre y, width, height, objectness, classes."""

    def __init__(self, manifest: Manifest, outputs: Sequence[TensorInfo]) -> None:
        if len(outputs) != 1 or len(outputs[0].shape) != 3 or outputs[0].shape[2] <= _FIRST_CLASS:  # noqa: PLR2004
            raise unfit(manifest, outputs, "one output (1, A, 5 + C)")
        self._info = outputs[0]
        self._labels = Labels(manifest, self._info.shape[2] - _FIRST_CLASS)
        self._scores = Scores(self._info, manifest.output.scores)
        self._extent = box_extent(manifest.output, manifest.input.width, manifest.input.height)

    def decode(self, outputs: Sequence[AnyArray], min_score: float) -> Candidates:
        """See `Decoder`. The score is objectness times the best class, so neither may be below `min_score`."""
        rows = outputs[0][0]
        check_finite(rows, self._info)
        floor = self._scores.floor(min_score)
        likely = above(rows[:, 4], floor)
        if not len(likely):
            return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
        picked = rows[likely]
        best = picked[:, _FIRST_CLASS:].argmax(axis=1)
        class_scores = picked[np.arange(len(picked)), best + _FIRST_CLASS]
        scores = self._scores.real(picked[:, 4]) * self._scores.real(class_scores)
        classes, reported = self._labels.find(best)
        kept = reported & (scores >= np.float32(min_score))
        boxes = self._boxes(real(picked[kept, :4], self._info), likely[kept])
        return Candidates(boxes / self._extent, scores[kept], classes[kept])

    def readings(self, outputs: Sequence[AnyArray]) -> list[FloatArray]:
        """See `Decoder`."""
        rows = real(outputs[0][0], self._info)
        return [rows[:, :4], rows[:, 4], rows[:, _FIRST_CLASS:]]

    def _boxes(self, values: FloatArray, anchors: Indices) -> FloatArray:  # noqa: ARG002 - raw heads need them
        """Corners, in the units that the head speaks; `anchors` are the rows that the values stood in."""
        return corners(values[:, :2], values[:, 2:])
