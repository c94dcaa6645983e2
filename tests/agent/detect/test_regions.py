import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.detect.regions import LARGEST_SHARE, SHARE, Region, Target, choose

FRAME = (768, 576)
MODEL = (300, 300)


def target(x, y, width=30, height=80, worth=1.0, frame=FRAME):
    """A box by its upper left corner and size, in pixels."""
    return Target((x / frame[0], y / frame[1], (x + width) / frame[0], (y + height) / frame[1]), worth)


def shows(region, one, frame=FRAME):
    x1, y1, x2, y2 = np.array(one.box) * (*frame, *frame)
    return region.x <= x1 and region.y <= y1 and x2 <= region.x + region.width and y2 <= region.y + region.height


def test_one_target_is_looked_at_from_around_its_middle():
    assert choose([target(385, 260)], FRAME, MODEL, 2) == (Region(265, 165, 270, 270),)


def test_two_that_fit_together_take_one_look_and_two_that_do_not_take_two():
    near, far = [target(100, 200), target(300, 250)], [target(100, 200), target(600, 250)]
    (one,) = choose(near, FRAME, MODEL, 3)
    assert all(shows(one, person) for person in near)
    assert len(choose(far, FRAME, MODEL, 3)) == 2


def test_the_most_worth_comes_first_and_the_budget_ends_it():
    crowd = [target(40, 40, worth=0.4), target(80, 40, worth=0.4), target(700, 400, worth=0.7)]
    first, second = choose(crowd, FRAME, MODEL, 2)
    assert shows(first, crowd[0])
    assert shows(first, crowd[1])
    assert shows(second, crowd[2])
    assert choose(crowd, FRAME, MODEL, 1) == (first,)


def test_in_the_corner_there_is_no_margin_to_be_had():
    corner = target(0, 496)
    assert choose([corner], FRAME, MODEL, 1) == (Region(0, 306, 270, 270),)


def test_what_is_expected_beyond_the_edge_is_looked_for_at_the_edge():
    assert choose([target(750, 300)], FRAME, MODEL, 1) == (Region(498, 205, 270, 270),)


def test_what_is_large_in_the_frame_needs_no_closer_look():
    assert choose([target(100, 50, 200, 450)], FRAME, MODEL, 3) == ()


def test_in_a_large_frame_a_large_target_gets_a_larger_region():
    frame = (1920, 1080)
    small, large = target(300, 300, frame=frame), target(1200, 300, 120, 260, frame=frame)
    regions = choose([small, large], frame, MODEL, 3)
    assert sorted(region.width for region in regions) == [270, 540]
    assert all(any(shows(region, one, frame) for region in regions) for one in (small, large))


def test_a_frame_that_the_model_sees_whole_is_not_looked_at_again():
    assert choose([target(100, 100, frame=(320, 240))], (320, 240), MODEL, 3) == ()


@pytest.mark.parametrize("looks", [0, -1])
def test_without_a_budget_there_is_no_look(looks):
    assert choose([target(100, 100)], FRAME, MODEL, looks) == ()


def test_what_is_worth_nothing_is_not_looked_at():
    assert choose([target(100, 100, worth=0.0)], FRAME, MODEL, 3) == ()
    assert choose([], FRAME, MODEL, 3) == ()


side = st.floats(-0.1, 1.1)
boxes = st.tuples(side, side, side, side).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
many = st.lists(st.builds(Target, boxes, st.floats(0, 2)), max_size=40)
sizes = st.tuples(st.integers(64, 4000), st.integers(64, 3000))
models = st.tuples(st.integers(32, 640), st.integers(32, 640))


@settings(max_examples=150, deadline=None)
@given(many, sizes, models, st.integers(0, 5))
def test_regions_lie_in_the_frame_and_are_worth_it(found, frame, model, looks):
    regions = choose(found, frame, model, looks)
    assert len(regions) <= looks
    for region in regions:
        assert 0 <= region.x <= frame[0] - region.width
        assert 0 <= region.y <= frame[1] - region.height
        assert region.width * region.height <= LARGEST_SHARE * frame[0] * frame[1] * 1.001
        # A region that would be larger than the frame along one side is cut there.
        own = [side for side in (0, 1) if (region.width, region.height)[side] < frame[side]]
        zooms = [(region.width, region.height)[side] / round(SHARE * model[side]) for side in own]
        assert all(zoom == pytest.approx(2 ** round(np.log2(zoom))) for zoom in zooms)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 738), st.integers(0, 496)), min_size=1, max_size=8), st.randoms())
def test_no_other_place_shows_more(corners, random):
    people = [target(x, y) for x, y in corners]
    (region,) = choose(people, FRAME, MODEL, 1)
    best = sum(shows(region, one) for one in people)
    for _ in range(30):
        # Well inside, so that the margin that a chosen region keeps does not count against it.
        x, y = random.randint(0, 498), random.randint(0, 306)
        inner = Region(x + 10, y + 10, 250, 250)
        assert best >= sum(shows(inner, one) for one in people)
