"""SSD heads whose boxes are still relative to their anchors.

Anchors and box coding follow TensorFlow's Object Detection API (`multiple_grid_anchor_generator`,
`faster_rcnn_box_coder`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from vision.detections import FloatArray
from vision.outputs.reading import (
    MAX_EXPONENT,
    Candidates,
    Labels,
    Scores,
    above,
    check_finite,
    corners,
    real,
    unfit,
)
from vision.tensors import AnyArray, TensorInfo
from wire.model import Manifest, SsdAnchors

_LOWEST_REDUCED: Final = ((0.1, 1.0), (None, 2.0), (None, 0.5))
"""Scale and aspect ratio of the reduced first map; None is that map's own scale."""


def make_anchors(rule: SsdAnchors) -> FloatArray:
    """Anchors float32 (A, 4): centre x, centre y, width, height, shares of the picture."""
    maps = len(rule.feature_maps)
    step = (rule.max_scale - rule.min_scale) / (maps - 1) if maps > 1 else 0.0
    scales = [rule.min_scale + step * index for index in range(maps)] + [1.0]
    grids = []
    for index, ((rows, columns), (scale, following)) in enumerate(
        zip(rule.feature_maps, pairwise(scales), strict=True)
    ):
        if index == 0 and rule.reduce_lowest:
            shapes = [(own or scale, ratio) for own, ratio in _LOWEST_REDUCED]
        else:
            shapes = [(scale, ratio) for ratio in rule.aspect_ratios]
            if rule.interpolated_scale_aspect_ratio > 0:
                shapes.append((math.sqrt(scale * following), rule.interpolated_scale_aspect_ratio))
        sizes = np.array([(size * math.sqrt(ratio), size / math.sqrt(ratio)) for size, ratio in shapes])
        y, x = np.divmod(np.arange(rows * columns), columns)
        centres = np.stack([(x + 0.5) / columns, (y + 0.5) / rows], axis=1)
        grids.append(np.hstack([np.repeat(centres, len(shapes), axis=0), np.tile(sizes, (rows * columns, 1))]))
    return np.concatenate(grids).astype(np.float32)


class SsdDecoder:
    """Boxes (1, A, 4) as y x height width against anchors, and scores (1, A, C)."""

    def __init__(self, manifest: Manifest, outputs: Sequence[TensorInfo]) -> None:
        anchors = make_anchors(manifest.output.anchors or SsdAnchors(feature_maps=((1, 1),)))
        wide = [index for index, info in enumerate(outputs) if info.shape[-1:] == (4,)]
        if len(outputs) != 2 or not wide or outputs[wide[0]].shape != (1, len(anchors), 4):  # noqa: PLR2004
            raise unfit(manifest, outputs, f"boxes (1, {len(anchors)}, 4) and scores (1, {len(anchors)}, C)")
        self._box_index, self._score_index = wide[0], 1 - wide[0]
        self._box_info, self._score_info = outputs[self._box_index], outputs[self._score_index]
        if self._score_info.shape[:2] != (1, len(anchors)) or len(self._score_info.shape) != 3:  # noqa: PLR2004
            raise unfit(manifest, outputs, f"boxes (1, {len(anchors)}, 4) and scores (1, {len(anchors)}, C)")
        self._class_count = self._score_info.shape[2]
        self._labels = Labels(manifest, self._class_count)
        self._scores = Scores(self._score_info, manifest.output.scores)
        self._anchors = anchors
        coders = manifest.output.anchors.coders if manifest.output.anchors else (10.0, 10.0, 5.0, 5.0)
        self._coders = np.array(coders, np.float32)

    def decode(self, outputs: Sequence[AnyArray], min_score: float) -> Candidates:
        """See `Decoder`. An anchor may speak for several classes."""
        boxes, scores = outputs[self._box_index], outputs[self._score_index]
        check_finite(scores, self._score_info)
        check_finite(boxes, self._box_info)
        flat = scores.reshape(-1)
        hits = above(flat, self._scores.floor(min_score))
        rows, columns = np.divmod(hits, self._class_count)
        classes, reported = self._labels.find(columns)
        rows, hits, classes = rows[reported], hits[reported], classes[reported]
        return Candidates(self._boxes(boxes[0], rows), self._scores.real(flat[hits]), classes)

    def readings(self, outputs: Sequence[AnyArray]) -> list[FloatArray]:
        """See `Decoder`."""
        return [
            real(outputs[self._box_index], self._box_info),
            real(outputs[self._score_index], self._score_info),
        ]

    def _boxes(self, stored: AnyArray, rows: AnyArray) -> FloatArray:
        coded = real(stored[rows], self._box_info) / self._coders
        anchors = self._anchors[rows]
        centres = coded[:, 1::-1] * anchors[:, 2:] + anchors[:, :2]
        sizes = np.exp(np.minimum(coded[:, :1:-1], MAX_EXPONENT)) * anchors[:, 2:]
        return corners(centres, sizes)
