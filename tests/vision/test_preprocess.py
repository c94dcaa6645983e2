"""The quick fills against the definition, spelled out in floats."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.errors import InferenceFailed, ModelRefused
from vision.preprocess import Preprocessor
from vision.tensors import TensorInfo
from wire.model import Input


def definition(image: np.ndarray, wanted: Input, info: TensorInfo) -> np.ndarray:
    if wanted.resize == "stretch":
        canvas = cv2.resize(image, (wanted.width, wanted.height))
    else:
        ratio = min(wanted.width / image.shape[1], wanted.height / image.shape[0])
        w = min(wanted.width, max(1, round(image.shape[1] * ratio)))
        h = min(wanted.height, max(1, round(image.shape[0] * ratio)))
        canvas = np.full((wanted.height, wanted.width, 3), wanted.pad, np.uint8)
        x, y = ((wanted.width - w) // 2, (wanted.height - h) // 2) if wanted.centred else (0, 0)
        canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h))
    if wanted.colour == "rgb":
        canvas = canvas[:, :, ::-1]
    value = (canvas.astype(np.float64) / wanted.scale - np.array(wanted.mean)) / np.array(wanted.std)
    if info.scale:
        value = value / info.scale + info.zero_point
    if info.dtype != np.float32:
        limits = np.iinfo(info.dtype)
        value = np.clip(np.floor(value + 0.5), limits.min, limits.max)
    if wanted.layout == "nchw":
        value = value.transpose(2, 0, 1)
    return value[None]


inputs = st.builds(
    Input,
    width=st.integers(16, 40),
    height=st.integers(16, 40),
    layout=st.sampled_from(["nhwc", "nchw"]),
    colour=st.sampled_from(["rgb", "bgr"]),
    resize=st.sampled_from(["letterbox", "stretch"]),
    pad=st.sampled_from([0, 114, 255]),
    centred=st.booleans(),
    scale=st.sampled_from([1.0, 255.0]),
    mean=st.sampled_from([(0.0, 0.0, 0.0), (127.5, 127.5, 127.5), (103.53, 116.28, 123.675)]),
    std=st.sampled_from([(1.0, 1.0, 1.0), (127.5, 127.5, 127.5), (57.375, 57.12, 58.395)]),
)
types = st.sampled_from(
    [("float32", 0.0, 0), ("uint8", 0.0, 0), ("uint8", 1 / 128, 128), ("int8", 1 / 255, -128), ("int8", 1.0, -128)]
)


@settings(max_examples=120, deadline=None)
@given(wanted=inputs, kind=types, size=st.tuples(st.integers(1, 90), st.integers(1, 90)), seed=st.integers(0, 9))
def test_every_fill_is_its_definition(
    wanted: Input, kind: tuple[str, float, int], size: tuple[int, int], seed: int
) -> None:
    shape = (1, wanted.height, wanted.width, 3) if wanted.layout == "nhwc" else (1, 3, wanted.height, wanted.width)
    info = TensorInfo("input", shape, np.dtype(kind[0]), kind[1], kind[2])
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    preprocess = Preprocessor(wanted, info)
    preprocess(np.zeros((33, 20, 3), np.uint8))  # a picture of another size before it leaves nothing behind
    tensor, _ = preprocess(image)
    assert tensor.dtype == info.dtype
    expected = definition(image, wanted, info)
    if info.dtype == np.float32:
        np.testing.assert_allclose(tensor, expected, rtol=1e-5, atol=1e-4)
    else:
        # Where a value falls on a half but for the last bit of a float, either neighbour is right.
        assert np.abs(tensor.astype(np.float64) - expected).max() <= 1
        assert (tensor == expected).mean() > 0.98


def test_the_ssd_shortcut_is_a_plain_shift() -> None:
    wanted = Input(width=16, height=16, resize="stretch", colour="bgr", scale=127.5, mean=(1.0,) * 3)
    info = TensorInfo("input", (1, 16, 16, 3), np.dtype(np.int8), 2 / 255, -1)
    image = np.arange(768, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    tensor, _ = Preprocessor(wanted, info)(image)
    assert (tensor[0].astype(int) == image.astype(int) - 128).all()


@settings(max_examples=60, deadline=None)
@given(
    wanted=inputs,
    size=st.tuples(st.integers(8, 400), st.integers(8, 400)),
    box=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.5, 1), st.floats(0.5, 1)),
)
def test_boxes_find_back_to_the_picture(
    wanted: Input, size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    shape = (1, wanted.height, wanted.width, 3) if wanted.layout == "nhwc" else (1, 3, wanted.height, wanted.width)
    info = TensorInfo("input", shape, np.dtype(np.float32))
    _, placement = Preprocessor(wanted, info)(np.zeros((*size, 3), np.uint8))
    x, y, w, h = placement.pixels
    there = np.array([[x + box[0] * w, y + box[1] * h, x + box[2] * w, y + box[3] * h]])
    there /= [wanted.width, wanted.height, wanted.width, wanted.height]
    np.testing.assert_allclose(placement.to_picture(there.astype(np.float32)), [box], atol=1e-4)


def test_nothing_large_is_allocated_per_picture() -> None:
    info = TensorInfo("input", (1, 300, 300, 3), np.dtype(np.int8), 2 / 255, -1)
    preprocess = Preprocessor(Input(width=300, height=300), info)
    first, _ = preprocess(np.zeros((400, 300, 3), np.uint8))
    second, _ = preprocess(np.full((300, 400, 3), 9, np.uint8))
    assert first is second


def test_an_input_that_is_not_the_models() -> None:
    info = TensorInfo("image", (1, 320, 320, 3), np.dtype(np.float32))
    with pytest.raises(ModelRefused, match="an input of 1×300×300×3, the model's is 'image' 1×320×320×3 float32"):
        Preprocessor(Input(width=300, height=300), info)


def test_an_input_type_that_pictures_are_not_written_in() -> None:
    with pytest.raises(ModelRefused, match="int32"):
        Preprocessor(Input(width=16, height=16), TensorInfo("image", (1, 16, 16, 3), np.dtype(np.int32)))


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_picture(image: np.ndarray) -> None:
    preprocess = Preprocessor(Input(width=16, height=16), TensorInfo("i", (1, 16, 16, 3), np.dtype(np.float32)))
    with pytest.raises(InferenceFailed, match="not H×W×3 uint8"):
        preprocess(image)
