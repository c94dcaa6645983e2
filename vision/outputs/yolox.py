"""YOLOX heads, decoded or raw (Ge et al. 2021; `yolox/utils/demo_utils.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.detections import FloatArray
from vision.outputs.reading import MAX_EXPONENT, Indices, cell_centres, corners, unfit
from vision.outputs.yolov5 import YoloV5Decoder
from vision.tensors import TensorInfo
from wire.model import Manifest


class YoloxDecoder(YoloV5Decoder):
    """(1, A, 5 + C). A raw box is the offset from its cell's corner and the logarithm of its size, both in cells."""

    def __init__(self, manifest: Manifest, outputs: Sequence[TensorInfo]) -> None:
        super().__init__(manifest, outputs)
        self._raw = manifest.output.boxes == "raw"
        width, height, strides = manifest.input.width, manifest.input.height, manifest.output.strides
        grids = [cell_centres(width, height, stride, 0.0) for stride in strides]
        self._corners = np.concatenate(grids)
        self._strides = np.repeat(np.array(strides, np.float32), [len(grid) for grid in grids])[:, None]
        if self._raw and self._info.shape[1] != len(self._corners):
            raise unfit(manifest, outputs, f"one output (1, {len(self._corners)}, 5 + C) for its strides")

    def _boxes(self, values: FloatArray, anchors: Indices) -> FloatArray:
        if not self._raw:
            return corners(values[:, :2], values[:, 2:])
        strides = self._strides[anchors]
        sizes = np.exp(np.minimum(values[:, 2:], MAX_EXPONENT)) * strides
        return corners(values[:, :2] * strides + self._corners[anchors], sizes)
