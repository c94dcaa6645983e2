from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.infer.tiles import TiledDetector, tile_windows
from vision.detections import Detections, no_detections

LABELS = ("person", "car")


class Spots:
    """Finds bright blobs: a detector whose answer depends on the pixels that it is shown, and on nothing else."""

    labels = LABELS

    def __init__(self, *, blind_below_share: float = 0.0, score: float = 0.8):
        self.blind_below_share = blind_below_share
        self.score = score
        self.shown: list[tuple[int, int]] = []

    def detect(self, image, min_score):
        height, width = image.shape[:2]
        self.shown.append((width, height))
        ys, xs = np.nonzero(image[:, :, 0] > 128)
        if len(xs) == 0 or self.score < min_score:
            return no_detections(LABELS)
        box = np.array([xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height])
        if box[2] - box[0] < self.blind_below_share:
            return no_detections(LABELS)
        return Detections(
            box[None].astype(np.float32), np.array([self.score], np.float32), np.array([0], np.int32), LABELS
        )


def picture_with(x1, y1, x2, y2, width=400, height=300):
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    return image


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    tiles=st.integers(1, 5),
    overlap=st.floats(0, 0.8),
)
def test_tiles_are_of_one_size_inside_the_picture_and_cover_it(width, height, tiles, overlap):
    windows = tile_windows(width, height, tiles, overlap)
    assert len(windows) == tiles * tiles
    assert len({(w.x2 - w.x1, w.y2 - w.y1) for w in windows}) == 1
    covered_x = np.zeros(width, bool)
    covered_y = np.zeros(height, bool)
    for w in windows:
        assert 0 <= w.x1 < w.x2 <= width
        assert 0 <= w.y1 < w.y2 <= height
        covered_x[w.x1 : w.x2] = True
        covered_y[w.y1 : w.y2] = True
    assert covered_x.all()
    assert covered_y.all()


def test_two_tiles_overlap_by_the_share_asked_for():
    left, right = tile_windows(700, 100, 2, 0.25)[:2]
    assert (left.x1, left.x2, right.x1, right.x2) == (0, 400, 300, 700)


def test_what_is_too_small_in_the_whole_picture_is_found_in_a_tile_and_placed_right():
    image = picture_with(20, 30, 40, 60)
    inner = Spots(blind_below_share=0.06)
    assert len(inner.detect(image, 0.1)) == 0

    found = TiledDetector(inner).detect(image, 0.1)

    assert len(found) == 1
    assert found.boxes[0] == pytest.approx([20 / 400, 30 / 300, 40 / 400, 60 / 300], abs=1e-6)


def test_an_object_seen_whole_and_in_several_tiles_is_one_object():
    image = picture_with(180, 130, 220, 170)  # in the part that all four tiles share
    found = TiledDetector(Spots()).detect(image, 0.1)
    assert len(found) == 1


@pytest.mark.parametrize(
    "pixels",
    [(20, 100, 260, 140), (140, 100, 380, 140), (100, 10, 140, 190), (100, 110, 140, 290)],
    ids=["right", "left", "bottom", "top"],
)
def test_a_part_cut_off_by_an_inner_edge_is_no_object(pixels):
    found = TiledDetector(Spots()).detect(picture_with(*pixels), 0.1)
    assert len(found) == 1
    assert found.boxes[0] * [400, 300, 400, 300] == pytest.approx(pixels, abs=1e-3)


def test_an_object_at_the_pictures_own_edge_is_kept():
    found = TiledDetector(Spots(blind_below_share=0.06)).detect(picture_with(0, 0, 20, 30), 0.1)
    assert len(found) == 1


def test_one_tile_looks_once():
    inner = Spots()
    TiledDetector(inner, tiles=1).detect(picture_with(1, 1, 5, 5), 0.1)
    assert inner.shown == [(400, 300)]


def test_an_empty_picture_gives_an_empty_result():
    found = TiledDetector(Spots()).detect(np.zeros((60, 80, 3), np.uint8), 0.1)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_results_are_ordered_by_score_and_of_the_ports_types():
    class Two(Spots):
        def detect(self, image, min_score):
            width = image.shape[1]
            score = 0.9 if width < 400 else 0.4
            boxes = np.array([[0.1, 0.1, 0.4, 0.4]], np.float32)
            return Detections(boxes, np.array([score], np.float32), np.array([1], np.int32), LABELS)

    found = TiledDetector(Two()).detect(np.zeros((300, 400, 3), np.uint8), 0.1)

    assert len(found) > 1
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (np.float32, np.float32, np.int32)
