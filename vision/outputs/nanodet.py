"""NanoDet and other GFL heads: each side of a box is the mean of a distribution over bins (Li et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vision.detections import FloatArray, IntArray
from vision.guess import cells
from vision.outputs.reading import (
    Candidates,
    Labels,
    Scores,
    above,
    cell_centres,
    check_finite,
    real,
    unfit,
)
from vision.tensors import AnyArray, TensorInfo
from wire.model import Manifest

_SIDES = 4


class _Level(NamedTuple):
    """One stride: where its tensors stand among the outputs, how they are read, and its cells' centres in pixels."""

    scores_at: int
    bins_at: int
    scores: Scores
    stride: int
    centres: FloatArray


class NanodetDecoder:
    """For each stride scores (1, A, C) and bins (1, A, 4 × B), in any order: left, top, right, bottom in strides."""

    def __init__(self, manifest: Manifest, outputs: Sequence[TensorInfo]) -> None:
        self._infos = tuple(outputs)
        self._classes = len(manifest.labels) - manifest.output.class_offset
        self._labels = Labels(manifest, self._classes)
        self._size = np.array([manifest.input.width, manifest.input.height] * 2, np.float32)
        width, height, strides = manifest.input.width, manifest.input.height, manifest.output.strides
        wanted = f"scores (1, A, {self._classes}) and bins (1, A, 4 × B) for each of the strides {strides}"
        self._levels = []
        for stride, count in zip(strides, cells(width, height, strides), strict=True):
            of_stride = [at for at, info in enumerate(outputs) if info.shape[:-1] == (1, count)]
            scores = [at for at in of_stride if outputs[at].shape[2] == self._classes]
            # Where both are equally wide, scores come first, as GFL's own head gives them.
            bins = [at for at in of_stride if at != scores[0]] if scores else []
            if len(of_stride) != 2 or not bins or outputs[bins[0]].shape[2] % _SIDES:  # noqa: PLR2004
                raise unfit(manifest, outputs, wanted)
            reader = Scores(outputs[scores[0]], manifest.output.scores)
            centres = cell_centres(width, height, stride, 0.5)
            self._levels.append(_Level(scores[0], bins[0], reader, stride, centres))
        if len(outputs) != 2 * len(self._levels):
            raise unfit(manifest, outputs, wanted)

    def decode(self, outputs: Sequence[AnyArray], min_score: float) -> Candidates:
        """See `Decoder`. The best class alone speaks for an anchor."""
        for tensor, info in zip(outputs, self._infos, strict=True):
            check_finite(tensor, info)
        parts = [self._level(level, outputs, min_score) for level in self._levels]
        boxes, scores, classes = zip(*parts, strict=True)
        shares = np.concatenate(boxes, dtype=np.float32) / self._size
        return Candidates(shares, np.concatenate(scores), np.concatenate(classes))

    def readings(self, outputs: Sequence[AnyArray]) -> list[FloatArray]:
        """See `Decoder`."""
        return [real(tensor, info) for tensor, info in zip(outputs, self._infos, strict=True)]

    def _level(
        self, level: _Level, outputs: Sequence[AnyArray], min_score: float
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        table = outputs[level.scores_at][0]
        hits = above(table.reshape(-1), level.scores.floor(min_score))
        rows = np.unique(hits // self._classes)
        picked = table[rows]
        best = picked.argmax(axis=1)
        classes, reported = self._labels.find(best)
        rows, best, classes = rows[reported], best[reported], classes[reported]
        scores = level.scores.real(picked[reported, best])
        sides = self._sides(outputs[level.bins_at][0][rows], self._infos[level.bins_at]) * np.float32(level.stride)
        centres = level.centres[rows]
        return np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1), scores, classes

    @staticmethod
    def _sides(stored: AnyArray, info: TensorInfo) -> FloatArray:
        """Distances float32 (N, 4), left top right bottom, in strides."""
        bins = real(stored, info).reshape(len(stored), _SIDES, info.shape[2] // _SIDES)
        weights = np.exp(bins - bins.max(axis=2, keepdims=True))
        steps = np.arange(bins.shape[2], dtype=np.float32)
        sides: FloatArray = weights @ steps / weights.sum(axis=2)
        return sides
