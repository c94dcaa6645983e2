from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.picture_size import picture_size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("size", [(1, 1), (63, 40), (640, 2)])
def test_the_declared_size_is_what_is_decoded(suffix: str, size: tuple[int, int]) -> None:
    data = encoded(suffix, *size)
    assert picture_size(data) == size


@pytest.mark.parametrize("quality", [50, 101])
def test_webp_lossy_and_lossless(quality: int) -> None:
    done, data = cv2.imencode(".webp", np.zeros((30, 50, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    assert picture_size(data.tobytes()) == (50, 30)


def test_a_progressive_jpeg_and_one_with_a_long_head() -> None:
    done, data = cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert done
    plain = data.tobytes()
    comment = b"\xff\xfe" + (60_002).to_bytes(2, "big") + bytes(60_000)
    assert picture_size(plain) == picture_size(plain[:2] + comment + plain[2:]) == (50, 30)


@given(st.sampled_from([".jpg", ".png", ".bmp", ".webp"]), st.integers(0, 80), st.binary(max_size=40))
def test_damaged_heads_give_a_size_or_none(suffix: str, cut: int, tail: bytes) -> None:
    size = picture_size(encoded(suffix, 20, 10)[:cut] + tail)
    assert size is None or min(size) > 0


@given(st.binary(max_size=60))
def test_anything_else_gives_none_or_a_size(data: bytes) -> None:
    assert picture_size(b"GIF89a" + data) is None
    picture_size(b"\xff\xd8" + data)


def encoded(suffix: str, width: int, height: int) -> bytes:
    done, data = cv2.imencode(suffix, np.zeros((height, width, 3), np.uint8))
    assert done
    return data.tobytes()
