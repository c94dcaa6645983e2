from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.errors import PictureUnreadable
from vision.pictures import decode_jpeg, encode_jpeg, is_cut_off, jpeg_size

IMAGE = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
JPEG = encode_jpeg(IMAGE)


def test_there_and_back() -> None:
    smooth = np.full((48, 64, 3), (200, 30, 90), np.uint8)
    assert np.abs(decode_jpeg(encode_jpeg(smooth, 95)).astype(int) - smooth).max() <= 3
    assert jpeg_size(JPEG) == (64, 48)
    assert len(encode_jpeg(IMAGE, 20)) < len(encode_jpeg(IMAGE, 90))


def with_size(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


def test_the_header_is_checked_before_decoding() -> None:
    with pytest.raises(PictureUnreadable, match="65000×65000 pixels, over the limit of 25000000"):
        decode_jpeg(with_size(65000, 65000))
    with pytest.raises(PictureUnreadable, match="over the limit of 100"):
        decode_jpeg(JPEG, max_pixels=100)


def test_a_second_header_can_not_enlarge_it() -> None:
    """The decoder may believe a later frame header; the size is held against the first."""
    at = JPEG.index(b"\xff\xc0")
    frame = JPEG[at : at + 2 + int.from_bytes(JPEG[at + 2 : at + 4], "big")]
    small = frame[:5] + struct.pack(">HH", 8, 8) + frame[9:]
    with pytest.raises(PictureUnreadable):
        decode_jpeg(JPEG[:at] + small + JPEG[at:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\x89PNG\r\n\x1a\n",
        JPEG[:40],
        with_size(0, 48),
        b"\xff\xd8" + b"\xff" * 99,
    ],
)
def test_what_is_no_jpeg(data: bytes) -> None:
    with pytest.raises(PictureUnreadable):
        decode_jpeg(data)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(JPEG) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(JPEG)))
def test_damage_raises_nothing_else(at: int, byte: int, cut: int) -> None:
    try:
        image = decode_jpeg((JPEG[:at] + bytes([byte]) + JPEG[at + 1 :])[: cut or None], max_pixels=10_000)
    except PictureUnreadable:
        return
    assert image.dtype == np.uint8
    assert image.shape[0] * image.shape[1] <= 10_000


def test_what_can_not_be_written() -> None:
    with pytest.raises(PictureUnreadable):
        encode_jpeg(np.zeros((0, 0, 3), np.uint8))


@pytest.mark.parametrize("data", [JPEG, JPEG + b"\0" * 40, encode_jpeg(np.zeros((9, 9, 3), np.uint8))])
def test_a_whole_picture_is_not_cut_off(data: bytes) -> None:
    assert not is_cut_off(data)


@given(st.integers(4, len(JPEG) - 1))
def test_a_picture_without_its_end_is_cut_off_although_it_decodes(size: int) -> None:
    assert is_cut_off(JPEG[:size])


def test_the_end_of_a_thumbnail_is_not_the_picture_s() -> None:
    thumbnail = encode_jpeg(np.zeros((9, 9, 3), np.uint8))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert is_cut_off(JPEG[:2] + segment + JPEG[2:-2])
    assert not is_cut_off(JPEG[:2] + segment + JPEG[2:])
