from __future__ import annotations

import numpy as np
import pytest

from cloud.offload.squaring import LARGEST_PX, in_picture, squared
from vision.detections import Detections


def seen(*boxes):
    return Detections(
        np.array(boxes, np.float32), np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int32), ("person",)
    )


def test_a_small_picture_gets_its_edges_repeated():
    picture = np.zeros((200, 100, 3), np.uint8)
    picture[:, 0], picture[:, -1] = 10, 20
    made = squared(picture)
    assert made.image.shape == (300, 300, 3)
    assert (made.left, made.top) == (100, 50)
    assert made.image[5, 0, 0] == 10
    assert made.image[5, -1, 0] == 20
    assert np.array_equal(made.image[50:250, 100:200], picture)


@pytest.mark.parametrize(("height", "width"), [(200, 100), (90, 300), (120, 110), (1, 40)])
def test_what_is_seen_in_the_square_is_put_back_in_place(height, width):
    made = squared(np.zeros((height, width, 3), np.uint8))
    high, wide = made.image.shape[:2]
    box = np.array([0.25, 0.1, 0.75, 0.6])
    pixels = box * [width, height, width, height] + [made.left, made.top] * 2
    back = in_picture(seen(pixels / [wide, high, wide, high]), made)
    assert back.boxes[0] == pytest.approx(box, abs=1e-5)


def test_what_lies_in_the_repeated_edge_alone_is_left_out_and_the_rest_is_cut():
    made = squared(np.zeros((200, 100, 3), np.uint8))
    beside, reaching = (0.0, 0.4, 0.3, 0.6), (0.2, 0.5, 0.5, 0.6)
    back = in_picture(seen(beside, reaching), made)
    assert len(back) == 1
    assert back.boxes[0] == pytest.approx((0.0, 0.5, 0.5, 0.65))


def test_large_pictures_stay_as_they_are():
    picture = np.zeros((LARGEST_PX, 100, 3), np.uint8)
    assert squared(picture).image is picture
