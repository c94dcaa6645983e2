"""What a detector says about one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
Image = npt.NDArray[np.uint8]
"""A picture: uint8 (height, width, 3), BGR."""


@dataclass(frozen=True, slots=True)
class Detections:
    """The objects in one picture, highest score first.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2, shares of the picture's width and height, clipped to 0..1.
        scores: float32 (N,), 0..1, finite.
        classes: int32 (N,), index into `labels`.
        labels: One name per class index, shared by all results of a detector.
    """

    boxes: FloatArray
    scores: FloatArray
    classes: IntArray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def label(self, index: int) -> str:
        """The class name of the detection at `index`."""
        return self.labels[int(self.classes[index])]


def no_detections(labels: tuple[str, ...]) -> Detections:
    """An empty result."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), labels)


class Detector(Protocol):
    """The port behind which any model stands. Not safe for use from two threads at once."""

    @property
    def labels(self) -> tuple[str, ...]:
        """One name per class index."""

    def detect(self, image: Image, min_score: float) -> Detections:
        """The objects in `image` (uint8 (H, W, 3), BGR) with a score of at least `min_score`.

        Raises:
            vision.errors.InferenceFailed: The runtime refused, or an output was not finite.
        """
