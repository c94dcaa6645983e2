"""What the decoders share: stored and real values, labels, and the picking of candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from vision.detections import FloatArray, IntArray
from vision.errors import InferenceFailed, ModelRefused
from vision.tensors import AnyArray, TensorInfo
from wire.model import Manifest, Output

Indices = npt.NDArray[np.intp]

MAX_CANDIDATES: Final = 1000
"""Kept for suppression, best first: its cost grows with the square, and a crowd gives about 300."""
MAX_EXPONENT: Final = 80.0
"""e to this is finite in float32; no trained head comes near."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What an output says before suppression.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2, shares of the input tensor, not clipped.
        scores: float32 (N,), 0..1.
        classes: int32 (N,), index into the manifest's labels.
    """

    boxes: FloatArray
    scores: FloatArray
    classes: IntArray


class Decoder(Protocol):
    """Reads one kind of output."""

    def decode(self, outputs: Sequence[AnyArray], min_score: float) -> Candidates:
        """Candidates with a score of at least `min_score`, in any order.

        Raises:
            InferenceFailed: An output is not finite.
        """

    def readings(self, outputs: Sequence[AnyArray]) -> list[FloatArray]:
        """What the outputs mean, float32, in parts that each speak of one thing: boxes, scores.

        A small change of the outputs is a small change here, so nothing is chosen or suppressed.
        """


class Scores:
    """Reads the scores of one tensor, whether stored as floats or quantised, logits or probabilities."""

    def __init__(self, info: TensorInfo, kind: str = "probabilities") -> None:
        self._info = info
        self._logits = kind == "logits"

    def floor(self, min_score: float) -> float | None:
        """The least stored value that means `min_score`; None where no stored value means as much."""
        value = min_score
        if self._logits:
            if not 0.0 < min_score < 1.0:
                value = -math.inf if min_score <= 0.0 else math.inf
            else:
                value = math.log(min_score / (1.0 - min_score))
        if not np.issubdtype(self._info.dtype, np.integer):
            return value
        limits = np.iinfo(self._info.dtype)
        scale = self._info.scale or 1.0
        # A little less than the exact value, so that rounding never loses the step that means it.
        stored = value / scale + self._info.zero_point - 1e-4
        if stored > limits.max:
            return None
        return math.ceil(max(stored, float(limits.min)))

    def real(self, stored: AnyArray) -> FloatArray:
        """Scores float32, 0..1."""
        value = real(stored, self._info)
        if self._logits:
            value = np.float32(1.0) / (np.float32(1.0) + np.exp(-np.clip(value, -MAX_EXPONENT, MAX_EXPONENT)))
        return np.clip(value, np.float32(0.0), np.float32(1.0))


class Labels:
    """From a tensor's class index to the manifest's label."""

    def __init__(self, manifest: Manifest, count: int) -> None:
        """Prepare the table.

        Args:
            manifest: Its labels and class offset.
            count: How many classes the tensor speaks of.

        Raises:
            ModelRefused: There are not as many labels as that.
        """
        offset = manifest.output.class_offset
        if len(manifest.labels) != count + offset:
            raise ModelRefused(
                f"the manifest has {len(manifest.labels)} labels, the model's outputs speak of {count} classes"
                + (f" (class_offset {offset})" if offset else ""),
                "Give one label per class, empty for those never to be reported.",
            )
        self._of = np.full(count, -1, np.int32)
        for index in range(count):
            label = index + offset
            if label >= 0 and manifest.labels[label]:
                self._of[index] = label

    def find(self, classes: Indices) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Label indices, and which of the classes are reported at all."""
        found = self._of[classes]
        return found, found >= 0


def real(stored: AnyArray, info: TensorInfo) -> FloatArray:
    """What stored values mean, float32."""
    value = stored.astype(np.float32)
    if info.scale:
        value -= np.float32(info.zero_point)
        value *= np.float32(info.scale)
    return value


def check_finite(stored: AnyArray, info: TensorInfo) -> None:
    """Refuse NaN and infinity. Both show in the extremes, which are cheaper to find than each value is to check.

    Raises:
        InferenceFailed: Names the tensor.
    """
    if stored.size and stored.dtype.kind == "f" and not (math.isfinite(stored.max()) and math.isfinite(stored.min())):
        raise InferenceFailed(
            f"the output {info} holds values that are not finite", "Replace the model, or try another delegate."
        )


def strongest(places: Indices, values: AnyArray) -> Indices:
    """At most `MAX_CANDIDATES` of `places`, those with the highest `values` (one per place)."""
    if len(places) <= MAX_CANDIDATES:
        return places
    return places[np.argpartition(values, -MAX_CANDIDATES)[-MAX_CANDIDATES:]]


def above(values: AnyArray, floor: float | None) -> Indices:
    """Places in a flat array that hold at least `floor`; the strongest, if there are too many."""
    if floor is None:
        return np.zeros(0, np.intp)
    places = np.flatnonzero(values >= floor)
    return strongest(places, values[places]) if len(places) > MAX_CANDIDATES else places


def corners(centres: FloatArray, sizes: FloatArray) -> FloatArray:
    """Boxes x1 y1 x2 y2 from centres (N, 2) and widths and heights (N, 2)."""
    half = sizes * np.float32(0.5)
    return np.concatenate([centres - half, centres + half], axis=1)


def cell_centres(width: int, height: int, stride: int, shift: float) -> FloatArray:
    """Pixels float32 (cells, 2), x y, of each cell of a stride's feature map, row by row; `shift` in cells."""
    columns, rows = -(-width // stride), -(-height // stride)
    y, x = np.divmod(np.arange(columns * rows), columns)
    return ((np.stack([x, y], axis=1) + shift) * stride).astype(np.float32)


def box_extent(output: Output, width: int, height: int) -> FloatArray:
    """What a box's x y x y values are divided by to become shares of the input."""
    size = (1.0, 1.0) if output.boxes == "normalised" else (float(width), float(height))
    return np.array([*size, *size], np.float32)


def unfit(manifest: Manifest, outputs: Sequence[TensorInfo], wanted: str) -> ModelRefused:
    """The refusal of outputs that are not of the manifest's kind."""
    found = ", ".join(map(str, outputs)) or "none"
    return ModelRefused(
        f"the manifest says `{manifest.output.kind}`, which has {wanted}; the model's outputs are {found}",
        "Give the manifest that belongs to this model.",
    )
