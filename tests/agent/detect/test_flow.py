"""Where a place has gone, by the pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.boxes import overlap
from agent.detect.flow import KEPT_S, LONGEST_GAP_S, MOST_BOXES, Flow
from agent.domain import Rider

HEIGHT, WIDTH = 288, 384
BOX = (0.25, 0.3, 0.35, 0.6)
NOISE = np.random.default_rng(3).integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)


def scene(dx=0, dy=0, hidden=False):
    """A patterned person before a plain wall, moved from BOX by so many pixels."""
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    left, top, right, bottom = (round(share * side) for share, side in zip(BOX, (WIDTH, HEIGHT) * 2, strict=True))
    person = np.kron(NOISE, np.ones((4, 4, 1), np.uint8))[top:bottom, left:right]
    if not hidden:
        image[top + dy : bottom + dy, left + dx : right + dx] = person
    return image


def moved(dx, dy=0, box=BOX):
    return (box[0] + dx / WIDTH, box[1] + dy / HEIGHT, box[2] + dx / WIDTH, box[3] + dy / HEIGHT)


def followed(flow, boxes, ahead=(0.0, 0.0)):
    """Where each has gone, None where that does not show."""
    there = flow.moved({number: Rider(box, ahead) for number, box in enumerate(boxes)})
    return [there.get(number) for number in range(len(boxes))]


def test_a_box_goes_with_what_it_shows():
    flow = Flow()
    flow.see(scene(), 5.0)
    flow.see(scene(6, -2), 5.1)
    (there,) = followed(flow, [BOX])
    assert there == pytest.approx(moved(6, -2), abs=0.002)


def test_each_of_several_goes_its_own_way():
    flow = Flow()
    wall = (0.6, 0.3, 0.7, 0.6)
    flow.see(scene(), 5.0)
    flow.see(scene(5), 5.1)
    person, still = followed(flow, [BOX, wall])
    assert person == pytest.approx(moved(5), abs=0.002)
    # A plain wall shows nothing by which to tell that it moved.
    assert still is None or still == pytest.approx(wall, abs=0.002)


@pytest.mark.parametrize("many", [5, 9, MOST_BOXES])
def test_in_a_crowd_each_is_followed_by_fewer_points_and_arrives_all_the_same(many):
    before = np.kron(NOISE, np.ones((4, 4, 1), np.uint8))
    flow = Flow()
    flow.see(before, 5.0)
    flow.see(np.roll(before, (3, 5), axis=(0, 1)), 5.1)
    people = [(0.1 + 0.05 * k, 0.3, 0.15 + 0.05 * k, 0.6) for k in range(many)]
    for there, box in zip(followed(flow, people), people, strict=True):
        assert there == pytest.approx(moved(5, 3, box), abs=0.004)


def test_of_more_than_a_frame_has_time_for_the_last_are_not_followed():
    flow = Flow()
    flow.see(scene(), 5.0)
    flow.see(scene(6, -2), 5.1)
    first, *_, last = followed(flow, [BOX] * (MOST_BOXES + 1))
    assert first is not None
    assert last is None


def test_some_points_that_are_lost_do_not_take_the_box_along():
    """The lower half is hidden by something that stands still: the median of what is left goes with the person."""
    after = scene(6)
    top, bottom = (round(share * HEIGHT) for share in (0.5, 0.62))
    before = scene()
    for image in (before, after):
        image[top:bottom] = np.kron(NOISE, np.ones((4, 4, 1), np.uint8))[top:bottom, ::-1]
    flow = Flow()
    flow.see(before, 5.0)
    flow.see(after, 5.1)
    (there,) = followed(flow, [BOX])
    assert there == pytest.approx(moved(6), abs=0.004)


def test_who_is_not_to_be_seen_any_more_is_not_found_elsewhere():
    flow = Flow()
    flow.see(scene(), 5.0)
    flow.see(scene(hidden=True), 5.1)
    assert followed(flow, [BOX]) == [None]


def test_what_was_found_in_a_frame_that_was_asked_about_is_carried_to_the_newest():
    flow = Flow()
    flow.asked(scene(), 5.0)
    for k in range(1, 8):
        flow.see(scene(4 * k), 5.0 + k / 10)
    (there,) = flow.since(5.0, [BOX])
    assert there is not None
    assert overlap(there, moved(28)) > 0.85
    assert overlap(BOX, moved(28)) < 0.3


@pytest.mark.parametrize("ahead", [18, 24, 29])
def test_who_goes_fast_is_found_where_its_speed_leads_to(ahead):
    flow = Flow()
    flow.see(scene(), 5.0)
    flow.see(scene(24), 5.2)
    assert followed(flow, [BOX]) == [None]
    (there,) = followed(flow, [BOX], ahead=(ahead / WIDTH, 0.0))
    assert there == pytest.approx(moved(24), abs=0.002)


def test_a_picture_is_made_small_once_whoever_asks():
    flow = Flow()
    small = flow.small(scene(), 5.0)
    flow.see(scene(), 5.0)
    assert flow.small(scene(), 5.0) is small
    assert flow.small(scene(), 5.1) is not small


def test_a_fast_camera_s_boxes_go_from_each_picture_to_the_next():
    flow = Flow()
    flow.see(scene(), 0.0)
    box = BOX
    for k in range(1, 16):
        flow.see(scene(2 * k), k / 30)
        (box,) = followed(flow, [box])
        assert box == pytest.approx(moved(2 * k), abs=0.004)


def test_a_frame_that_nobody_asked_about_or_that_is_too_old_carries_nothing():
    flow = Flow()
    assert flow.since(5.0, [BOX]) == [None]
    flow.asked(scene(), 5.0)
    flow.see(scene(1), 5.1)
    assert flow.since(5.1, [BOX]) == [None]
    for k in range(2, 20):
        flow.see(scene(1), 5.0 + k / 10)
    assert flow.since(5.0, [BOX]) == [None]


def test_it_is_awaited_only_while_an_answer_is_of_use():
    flow = Flow()
    assert not flow.awaits(5.0)
    flow.asked(scene(), 5.0)
    assert flow.awaits(5.0 + KEPT_S)
    assert not flow.awaits(5.1 + KEPT_S)


@pytest.mark.parametrize("at", [5.1 + LONGEST_GAP_S, 4.9])
def test_after_a_gap_or_a_clock_that_went_back_it_begins_anew(at):
    flow = Flow()
    flow.see(scene(), 5.0)
    flow.see(scene(2), at)
    assert followed(flow, [BOX]) == [None]


def test_another_size_of_the_picture_begins_anew():
    flow = Flow()
    flow.see(scene(), 5.0)
    flow.see(scene()[::2, ::2], 5.1)
    assert followed(flow, [BOX]) == [None]


@pytest.mark.parametrize("times", [2, 5, 8])
def test_a_large_picture_is_compared_at_a_fraction_of_its_size(times):
    flow = Flow()
    large = np.kron(scene(), np.ones((times, times, 1), np.uint8))
    assert 256 < max(flow.small(large, 5.0).shape) <= 512
    flow.see(large, 5.0)
    flow.see(np.roll(large, 5 * times, axis=1), 5.1)
    (there,) = followed(flow, [BOX])
    assert there == pytest.approx(moved(5), abs=0.003)


wild = st.floats(-3, 3)
boxes = st.lists(st.tuples(wild, wild, wild, wild), max_size=6)


@given(boxes, st.sampled_from([(2, 2), (1, 300), (1300, 1), (90, 120), (517, 1031)]))
def test_boxes_beside_the_picture_and_pictures_of_any_size_are_survived(places, size):
    flow = Flow()
    flow.asked(np.zeros((*size, 3), np.uint8), 1.0)
    flow.see(np.full((*size, 3), 9, np.uint8), 1.1)
    for there in (followed(flow, places), flow.since(1.0, places)):
        assert len(there) == len(places)
        assert all(box is None or all(map(math.isfinite, box)) for box in there)
