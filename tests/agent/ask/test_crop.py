from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ask.crop import Margins, crop_around, scaled
from wire.messages import AskReason


def test_the_margin_is_a_share_of_the_box_on_each_side():
    crop = crop_around((0.4, 0.4, 0.5, 0.6), width=1000, height=1000, margin=0.6, min_px=16)
    assert crop == (340, 280, 560, 720)
    assert crop.region(1000, 1000) == (0.34, 0.28, 0.56, 0.72)


def test_a_small_object_is_shown_with_its_surroundings():
    assert crop_around((0.5, 0.5, 0.51, 0.51), width=1000, height=1000, margin=0.6, min_px=160) == (
        425,
        425,
        585,
        585,
    )


def test_at_the_edge_the_crop_is_shifted_rather_than_cut():
    assert crop_around((0.0, 0.9, 0.05, 1.0), width=1000, height=500, margin=0.5, min_px=160) == (0, 340, 160, 500)


def test_a_frame_smaller_than_the_least_crop_is_shown_whole():
    assert crop_around((0.5, 0.5, 0.6, 0.6), width=64, height=48, margin=0.0, min_px=160) == (0, 0, 64, 48)


unit = st.floats(-0.5, 1.5)


@given(unit, unit, unit, unit, st.integers(1, 4000), st.integers(1, 4000), st.floats(0, 10), st.integers(16, 640))
def test_a_crop_is_always_inside_the_frame_large_enough_and_around_the_object(a, b, c, d, width, height, margin, px):
    box = (min(a, b), min(c, d), max(a, b), max(c, d))
    crop = crop_around(box, width=width, height=height, margin=margin, min_px=px)
    assert 0 <= crop.left < crop.right <= width
    assert 0 <= crop.top < crop.bottom <= height
    assert crop.right - crop.left >= min(px, width)
    assert crop.bottom - crop.top >= min(px, height)
    x1, y1, x2, y2 = (min(1.0, max(0.0, v)) for v in box)
    assert crop.left <= x1 * width + 1
    assert crop.right >= x2 * width - 1
    assert crop.top <= y1 * height + 1
    assert crop.bottom >= y2 * height - 1
    assert all(0.0 <= v <= 1.0 for v in crop.region(width, height))


@pytest.mark.parametrize(
    ("size", "sent"),
    [((640, 480), (640, 480)), ((1280, 640), (640, 320)), ((10, 5000), (1, 640)), ((1, 641), (1, 640))],
)
def test_large_pictures_are_scaled_down_with_their_aspect_kept(size, sent):
    assert scaled(*size, 640) == sent


@pytest.mark.parametrize("reason", list(AskReason))
def test_what_the_device_does_not_see_itself_is_shown_among_what_is_around_it(reason):
    unseen = reason in {AskReason.LOST, AskReason.WEAK, AskReason.MOTION}
    assert Margins(seen=0.6, unseen=2.0).of(reason) == (2.0 if unseen else 0.6)
