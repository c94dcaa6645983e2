import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detect.appearance import BANDS, appearances
from vision.detections import Detections, no_detections


def boxes(*found):
    return Detections(
        np.array(found, np.float32), np.ones(len(found), np.float32), np.zeros(len(found), np.int32), ("person",)
    )


@pytest.fixture
def image():
    """Red above, green in the middle, blue below; white left and right."""
    drawn = np.full((90, 100, 3), 255, np.uint8)
    drawn[:30, 30:70], drawn[30:60, 30:70], drawn[60:, 30:70] = (0, 0, 200), (0, 200, 0), (200, 0, 0)
    return drawn


def test_the_parts_of_a_box_from_above_to_below_without_its_sides(image):
    (seen,) = appearances(image, boxes((0.2, 0.0, 0.8, 1.0)))
    assert seen == (0, 0, 200, 0, 200, 0, 200, 0, 0)


def test_each_detection_has_its_own(image):
    upper, lower = appearances(image, boxes((0.2, 0.0, 0.8, 0.3), (0.2, 0.7, 0.8, 1.0)))
    assert upper == (0, 0, 200) * BANDS
    assert lower == (200, 0, 0) * BANDS
    assert appearances(image, no_detections(("person",))) == []


side = st.floats(0, 1, width=32)
any_box = st.tuples(side, side, side, side).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(st.lists(any_box, min_size=1, max_size=4), st.integers(1, 40), st.integers(1, 40))
def test_any_box_of_any_picture_has_one(found, height, width):
    image = np.full((height, width, 3), 7, np.uint8)
    assert appearances(image, boxes(*found)) == [(7.0,) * 3 * BANDS] * len(found)
