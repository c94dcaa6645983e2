"""From a picture of any size to a filled input tensor, without allocating on the way."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vision.detections import FloatArray, Image
from vision.errors import InferenceFailed, ModelRefused
from vision.normalise import fill
from vision.tensors import AnyArray, TensorInfo, shape_text
from wire.model import Input


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the input tensor.

    Attributes:
        x, y, width, height: In shares of the tensor's width and height.
        pixels: The same in pixels.
    """

    x: float
    y: float
    width: float
    height: float
    pixels: tuple[int, int, int, int]

    def to_picture(self, boxes: FloatArray) -> FloatArray:
        """Boxes float32 (N, 4), x1 y1 x2 y2: from shares of the tensor to shares of the picture, clipped to 0..1."""
        offset = np.array([self.x, self.y, self.x, self.y], np.float32)
        extent = np.array([self.width, self.height, self.width, self.height], np.float32)
        placed: FloatArray = np.clip((boxes - offset) / extent, np.float32(0.0), np.float32(1.0))
        return placed


def place(width: int, height: int, wanted: Input) -> Placement:
    """Where a picture of that size goes."""
    if wanted.resize == "stretch":
        x, y, w, h = 0, 0, wanted.width, wanted.height
    else:
        ratio = min(wanted.width / width, wanted.height / height)
        w = min(wanted.width, max(1, round(width * ratio)))
        h = min(wanted.height, max(1, round(height * ratio)))
        x, y = ((wanted.width - w) // 2, (wanted.height - h) // 2) if wanted.centred else (0, 0)
    return Placement(x / wanted.width, y / wanted.height, w / wanted.width, h / wanted.height, (x, y, w, h))


class Preprocessor:
    """Fills one model's input tensor. Not safe for use from two threads at once."""

    def __init__(self, wanted: Input, info: TensorInfo) -> None:
        """Prepare the buffers.

        Raises:
            ModelRefused: The manifest's input is not the tensor's; says both.
        """
        size = (wanted.height, wanted.width)
        shape = (1, *size, 3) if wanted.layout == "nhwc" else (1, 3, *size)
        if info.shape != shape:
            raise ModelRefused(
                f"the manifest describes an input of {shape_text(shape)}, the model's is {info}",
                "Give the manifest that belongs to this model.",
            )
        self._wanted = wanted
        self._canvas: Image = np.full((*size, 3), wanted.pad, np.uint8)
        self._tensor: AnyArray = np.zeros(shape, info.dtype)
        self._fill = fill(self._tensor, wanted, info)
        self._source: tuple[int, ...] = ()
        self._placement = place(wanted.width, wanted.height, wanted)

    def __call__(self, image: Image) -> tuple[AnyArray, Placement]:
        """Fill the tensor with a picture, uint8 (H, W, 3), BGR.

        Returns:
            The tensor, which the next call overwrites, and where the picture lies in it.

        Raises:
            InferenceFailed: It is no such picture.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:  # noqa: PLR2004
            raise InferenceFailed(f"the picture is {shape_text(image.shape)} {image.dtype}, not H×W×3 uint8")
        if image.shape != self._source:
            self._source = image.shape
            self._placement = place(image.shape[1], image.shape[0], self._wanted)
            self._canvas[:] = self._wanted.pad
        x, y, width, height = self._placement.pixels
        cv2.resize(image, (width, height), dst=self._canvas[y : y + height, x : x + width])
        self._fill(self._canvas)
        return self._tensor, self._placement
