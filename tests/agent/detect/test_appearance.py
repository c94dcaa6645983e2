import numpy as np
import pytest

from agent.detect.appearance import BANDS, appearances
from vision.detections import Detections

LABELS = ("person", "car")


def one(box, label="person"):
    return Detections(
        np.array([box], np.float32), np.ones(1, np.float32), np.array([LABELS.index(label)], np.int32), LABELS
    )


@pytest.fixture
def image():
    """Red above, green in the middle, blue below; white left and right."""
    drawn = np.full((90, 100, 3), 255, np.uint8)
    drawn[:30, 30:70], drawn[30:60, 30:70], drawn[60:, 30:70] = (0, 0, 200), (0, 200, 0), (200, 0, 0)
    return drawn


def test_the_parts_of_a_box_from_above_to_below_without_its_sides(image):
    (seen,) = appearances(image, one((0.2, 0.0, 0.8, 1.0)), {"person"})
    assert seen == (0, 0, 200, 0, 200, 0, 200, 0, 0)


def test_the_picture_is_only_read(image):
    before = image.copy()
    appearances(image, one((0.0, 0.0, 1.0, 1.0)), {"person"})
    assert (image == before).all()


def test_what_no_rule_looks_for_is_not_looked_at(image):
    assert appearances(image, one((0.2, 0.0, 0.8, 1.0), "car"), {"person"}) == [None]


@pytest.mark.parametrize(
    "box", [(0.5, 0.5, 0.5, 0.5), (0.2, 0.5, 0.8, 0.5 + (BANDS - 1) / 90), (0.5, 0.1, 0.501, 0.9)]
)
def test_what_is_too_small_has_no_looks(image, box):
    assert appearances(image, one(box), {"person"}) == [None]
