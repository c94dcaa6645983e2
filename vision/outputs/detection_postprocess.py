"""Models that end in TFLite_Detection_PostProcess: decoded, suppressed and counted already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from vision.detections import FloatArray
from vision.outputs.reading import Candidates, check_finite, real, unfit
from vision.tensors import AnyArray, TensorInfo
from wire.model import Manifest

_OUTPUTS: Final = "boxes (1, N, 4), classes (1, N), scores (1, N) and a count (1)"


class DetectionPostprocessDecoder:
    """Boxes y1 x1 y2 x2 in shares, classes, scores, count."""

    def __init__(self, manifest: Manifest, outputs: Sequence[TensorInfo], order: tuple[int, ...] | None) -> None:
        """Find out which tensor is which.

        Args:
            manifest: Its labels and class offset.
            outputs: In any order.
            order: Where boxes, classes, scores and count stand, as the file's graph says; None where it does not.
        """
        self._order = order or _order(outputs)
        if self._order is None or len(self._order) != 4 or len(outputs) != 4:  # noqa: PLR2004
            raise unfit(manifest, outputs, _OUTPUTS)
        boxes, classes, scores, count = (outputs[index] for index in self._order)
        many = boxes.shape[1] if len(boxes.shape) == 3 else -1  # noqa: PLR2004
        shapes_fit = boxes.shape == (1, many, 4) and classes.shape == scores.shape == (1, many)
        if not shapes_fit or count.shape not in {(), (1,), (1, 1)}:
            raise unfit(manifest, outputs, _OUTPUTS)
        self._infos = (boxes, classes, scores, count)
        self._offset = manifest.output.class_offset
        self._reported = np.array([bool(label) for label in manifest.labels])

    def decode(self, outputs: Sequence[AnyArray], min_score: float) -> Candidates:
        """See `Decoder`."""
        tensors = [outputs[index] for index in self._order or ()]
        for tensor, info in zip(tensors, self._infos, strict=True):
            check_finite(tensor, info)
        boxes, classes, scores, count = (
            real(tensor, info) for tensor, info in zip(tensors, self._infos, strict=True)
        )
        many = int(np.clip(count.reshape(-1)[0], 0, scores.shape[1]))
        # One place beyond either end, before and after the offset, is as unknown as any other.
        beyond = len(self._reported) + 1
        labels = np.clip(classes[0, :many], -2, beyond).astype(np.int32) + np.int32(self._offset)
        known = (labels >= 0) & (labels < len(self._reported))
        kept = known & self._reported[np.where(known, labels, 0)] & (scores[0, :many] >= np.float32(min_score))
        return Candidates(
            boxes[0, :many][kept][:, [1, 0, 3, 2]], np.clip(scores[0, :many][kept], 0.0, 1.0), labels[kept]
        )

    def readings(self, outputs: Sequence[AnyArray]) -> list[FloatArray]:
        """See `Decoder`. The scores alone, in order: which of two boxes was suppressed is decided by a hair."""
        scores = (self._order or ())[2]
        return [np.sort(real(outputs[scores], self._infos[2]).reshape(-1))]


def _order(outputs: Sequence[TensorInfo]) -> tuple[int, ...] | None:
    """By shape, then by the order in which the operator gives them: classes before scores."""
    boxes = [index for index, info in enumerate(outputs) if len(info.shape) == 3]  # noqa: PLR2004
    pairs = [index for index, info in enumerate(outputs) if len(info.shape) == 2 and info.shape != (1, 1)]  # noqa: PLR2004
    counts = [index for index, info in enumerate(outputs) if info.shape in {(), (1,), (1, 1)}]
    return (*boxes, *pairs, *counts) if (len(boxes), len(pairs), len(counts)) == (1, 2, 1) else None
