"""The transposed head of Ultralytics' YOLOv8 and later: no objectness, one column per anchor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.detections import FloatArray
from vision.outputs.reading import Candidates, Labels, Scores, above, box_extent, check_finite, corners, real, unfit
from vision.tensors import AnyArray, TensorInfo
from wire.model import Manifest

_FIRST_CLASS = 4


class YoloV8Decoder:
    """(1, 4 + C, A): centre x, centre y, width, height, classes."""

    def __init__(self, manifest: Manifest, outputs: Sequence[TensorInfo]) -> None:
        if len(outputs) != 1 or len(outputs[0].shape) != 3 or outputs[0].shape[1] <= _FIRST_CLASS:  # noqa: PLR2004
            raise unfit(manifest, outputs, "one output (1, 4 + C, A)")
        self._info = outputs[0]
        self._labels = Labels(manifest, self._info.shape[1] - _FIRST_CLASS)
        self._scores = Scores(self._info, manifest.output.scores)
        self._extent = box_extent(manifest.output, manifest.input.width, manifest.input.height)

    def decode(self, outputs: Sequence[AnyArray], min_score: float) -> Candidates:
        """See `Decoder`. The best class alone speaks for an anchor."""
        columns = outputs[0][0]
        check_finite(columns, self._info)
        class_columns = columns[_FIRST_CLASS:]
        strongest_class = class_columns.max(axis=0)
        hits = above(strongest_class, self._scores.floor(min_score))
        classes, reported = self._labels.find(class_columns[:, hits].argmax(axis=0))
        hits = hits[reported]
        values = real(columns[:_FIRST_CLASS, hits].T, self._info)
        boxes = corners(values[:, :2], values[:, 2:]) / self._extent
        return Candidates(boxes.astype(np.float32), self._scores.real(strongest_class[hits]), classes[reported])

    def readings(self, outputs: Sequence[AnyArray]) -> list[FloatArray]:
        """See `Decoder`."""
        columns = real(outputs[0][0], self._info)
        return [columns[:_FIRST_CLASS], columns[_FIRST_CLASS:]]
