"""From the values of a picture to those of an input tensor.

Every channel is affine in the byte it comes from, so integer tensors are filled by a table of 256 entries, or a plain
wrapping addition where that is all the table does, and float tensors by one multiplication and one addition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import cv2
import numpy as np

from vision.detections import FloatArray, Image
from vision.errors import ModelRefused
from vision.tensors import AnyArray, TensorInfo
from wire.model import Input

_BYTES: Final = np.arange(256, dtype=np.float64)
_FROM_BGR: Final = {"rgb": (2, 1, 0), "bgr": (0, 1, 2)}
_MEND: Final = "Export the model with a float32, uint8 or int8 input."


class Fill(Protocol):
    """Writes a picture of the tensor's size into the tensor."""

    def __call__(self, picture: Image) -> None:
        """`picture`: uint8 (H, W, 3), BGR."""


def fill(tensor: AnyArray, wanted: Input, info: TensorInfo) -> Fill:
    """The quickest way to write a picture into `tensor`, (1, H, W, 3) or (1, 3, H, W) as `wanted` says.

    Raises:
        ModelRefused: Its dtype is not one that pictures are written in.
    """
    gain = 1.0 / (wanted.scale * np.array(wanted.std, np.float64))
    bias = -np.array(wanted.mean, np.float64) / np.array(wanted.std, np.float64)
    if info.scale:
        gain, bias = gain / info.scale, bias / info.scale + info.zero_point
    order = _FROM_BGR[wanted.colour]
    if tensor.dtype == np.float32:
        make = _float_planes if wanted.layout == "nchw" else _float_rows
        return make(tensor[0], gain.astype(np.float32), bias.astype(np.float32), order)
    if tensor.dtype in {np.dtype(np.uint8), np.dtype(np.int8)}:
        tables = np.stack([_table(gain[c], bias[c], tensor.dtype) for c in range(3)])
        return (_integer_planes if wanted.layout == "nchw" else _integer_rows)(tensor[0], tables, order)
    raise ModelRefused(f"the input tensor is {info}", _MEND)


def _table(gain: float, bias: float, dtype: np.dtype[np.uint8 | np.int8]) -> AnyArray:
    """All 256 results. Halves go up, so that an offset of a half moves all steps alike instead of in pairs."""
    limits = np.iinfo(dtype)
    return np.clip(np.floor(_BYTES * gain + bias + 0.5), limits.min, limits.max).astype(dtype)


def _integer_rows(tensor: AnyArray, tables: AnyArray, order: tuple[int, ...]) -> Fill:
    swapped = np.empty(tensor.shape, np.uint8)
    reorder = _reorder(order)
    write: Callable[[Image], object]
    shift = np.uint8(int(tables[0, 0]) % 256)
    bytes_of_tensor = tensor.view(np.uint8)
    wrapping = np.arange(256, dtype=np.uint8) + shift
    if all(np.array_equal(table.view(np.uint8), wrapping) for table in tables):

        def write(picture: Image) -> object:
            return np.add(picture, shift, out=bytes_of_tensor)
    else:
        table = np.ascontiguousarray(tables.T[None])

        def write(picture: Image) -> object:
            return cv2.LUT(picture, table, dst=tensor)

    def into(picture: Image) -> None:
        write(reorder(picture, swapped))

    return into


def _integer_planes(tensor: AnyArray, tables: AnyArray, order: tuple[int, ...]) -> Fill:
    plane = np.empty(tensor.shape[1:], np.uint8)

    def into(picture: Image) -> None:
        for channel, source in enumerate(order):
            cv2.LUT(cv2.extractChannel(picture, source, dst=plane), tables[channel], dst=tensor[channel])

    return into


def _float_rows(tensor: AnyArray, gain: FloatArray, bias: FloatArray, order: tuple[int, ...]) -> Fill:
    height, width, _ = tensor.shape
    swapped = np.empty(tensor.shape, np.uint8)
    reorder = _reorder(order)
    # A whole row's factors: three-wide broadcasting would leave numpy's vector loops.
    gains, biases = np.tile(gain, width), np.tile(bias, width)
    rows = tensor.reshape(height, width * 3)

    def into(picture: Image) -> None:
        np.multiply(reorder(picture, swapped).reshape(height, width * 3), gains, out=rows)
        if biases.any():
            np.add(rows, biases, out=rows)

    return into


def _float_planes(tensor: AnyArray, gain: FloatArray, bias: FloatArray, order: tuple[int, ...]) -> Fill:
    plane = np.empty(tensor.shape[1:], np.uint8)

    def into(picture: Image) -> None:
        for channel, source in enumerate(order):
            np.multiply(cv2.extractChannel(picture, source, dst=plane), gain[channel], out=tensor[channel])
            np.add(tensor[channel], bias[channel], out=tensor[channel])

    return into


def _reorder(order: tuple[int, ...]) -> Callable[[Image, Image], Image]:
    if order == _FROM_BGR["bgr"]:
        return lambda picture, _: picture
    return lambda picture, swapped: cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=swapped)  # type: ignore[return-value]
