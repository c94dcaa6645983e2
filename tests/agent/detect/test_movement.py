import numpy as np
import pytest

from agent.detect.flow import Flow
from agent.detect.movement import AGAIN_S, EVERY, FEWER_CELLS, WORTH, Movement, movement
from agent.detect.regions import Target
from vision.detections import Detections

SIZE = (576, 768)
STEP_S = 0.1


@pytest.fixture
def empty():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    grey = 120 + 40 * np.sin(rows / 31) + 30 * np.cos(columns / 47)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def with_person(image, x, y=300, width=30, height=80):
    drawn = image.copy()
    drawn[y : y + height, x : x + width] = 230
    return drawn


class Scene:
    """Shows one picture after another, and only tells of the frames in which movement is looked for."""

    def __init__(self, movement=None):
        self.movement = movement or Movement()
        self.now = 100.0

    def show(self, *images, known=()):
        found = []
        for image in images:
            for _ in range(EVERY):
                self.now += STEP_S
                got = self.movement.targets(image, known, self.now)
                found.append(got)
        return [got for i, got in enumerate(found) if i % EVERY == EVERY - 1]


def test_who_walks_in_is_worth_a_look_where_they_are(empty):
    scene = Scene()
    assert scene.show(*[empty] * 5) == [[]] * 5
    ((target,),) = scene.show(with_person(empty, 200))
    assert target.worth == WORTH
    x1, y1, x2, y2 = np.array(target.box) * (768, 576, 768, 576)
    # The planes' cells, the blur and the joining widen it by a few cells of five by two pixels.
    assert (x1, y1, x2, y2) == pytest.approx((200, 300, 230, 380), abs=18)
    assert x1 <= 200
    assert y1 <= 300
    assert x2 >= 230
    assert y2 >= 380


def test_in_a_small_grey_picture_a_person_is_found_as_well(empty):
    scene, flow = Scene(movement(looks_closer=False, asks=True)), Flow()
    before, after = flow.small(empty, 1.0), flow.small(with_person(empty, 200), 2.0)
    assert scene.show(*[before] * 5) == [[]] * 5
    ((target,),) = scene.show(after)
    cell = 768 / FEWER_CELLS
    x1, y1, x2, y2 = np.array(target.box) * (768, 576, 768, 576)
    assert (x1, y1, x2, y2) == pytest.approx((200, 300, 230, 380), abs=4 * cell)
    assert x1 <= 200
    assert y1 <= 300
    assert x2 >= 230
    assert y2 >= 380
    scene.show(*[before] * 5)
    assert scene.show(flow.small(with_person(empty, 200, width=8, height=8), 3.0)) == [[]]


def test_a_device_that_neither_looks_closer_nor_asks_needs_none():
    assert movement(looks_closer=False, asks=False) is None
    assert movement(looks_closer=True, asks=False) is not None


def test_what_is_known_already_explains_its_own_movement(empty):
    scene = Scene()
    scene.show(*[empty] * 5)
    known = [Target((190 / 768, 290 / 576, 240 / 768, 390 / 576), 0.1)]
    assert scene.show(with_person(empty, 200), known=known) == [[]]


PEOPLE = ("person",)


def tell(movement, *boxes, now):
    """Of people, surely seen, in pixels; no rule looks for them."""
    found = np.array(boxes, np.float32).reshape(-1, 4) / (768, 576, 768, 576)
    seen = Detections(
        found.astype(np.float32), np.full(len(found), 0.9, np.float32), np.zeros(len(found), np.int32), PEOPLE
    )
    movement.passers.note(seen, frozenset({"car"}), 0.65, now)


def passing(empty, picture, *boxes):
    """What moves, and what of it passes by, where these boxes are of somebody who does."""
    scene = Scene()
    tell(scene.movement, now=scene.now)
    scene.show(*[empty] * 5)
    tell(scene.movement, *boxes, now=scene.now)
    (moving,) = scene.show(picture)
    return moving, scene.movement.passed


def test_who_passes_by_explains_his_own_movement(empty):
    moving, passed = passing(empty, with_person(empty, 200), (200, 300, 230, 380))
    assert moving == []
    assert np.array(passed) * (768, 576, 768, 576) == pytest.approx(np.array([[200, 300, 230, 380]]), abs=18)


def test_but_neither_anybody_elses_nor_that_of_something_larger_behind_him(empty):
    two = with_person(with_person(empty, 200), 400)
    ((other,), passed) = passing(empty, two, (200, 300, 230, 380))
    assert other.box[0] * 768 == pytest.approx(400, abs=18)
    assert len(passed) == 1
    car = with_person(empty, 150, width=150)
    ((behind, *_), passed) = passing(empty, car, (200, 300, 230, 380))
    assert behind.worth == WORTH
    assert passed == []


def test_who_passes_by_is_told_of_the_picture_at_hand_alone(empty):
    scene = Scene()
    tell(scene.movement, now=scene.now)
    scene.show(*[empty] * 5)
    tell(scene.movement, (200, 300, 230, 380), now=scene.now)
    scene.show(with_person(empty, 200))
    assert scene.movement.passed
    scene.movement.targets(with_person(empty, 200), (), scene.now)
    assert not scene.movement.passed, "movement was not looked for in it"


def test_small_things_are_passed_over(empty):
    scene = Scene()
    scene.show(*[empty] * 5)
    assert scene.show(with_person(empty, 200, width=8, height=8)) == [[]]


def test_a_place_that_was_looked_at_is_worth_nothing_for_a_while(empty):
    scene = Scene()
    scene.show(*[empty] * 5)
    person = with_person(empty, 200)
    ((first,),) = scene.show(person)
    scene.movement.looked([first], [(0.2, 0.4, 0.5, 0.8)], scene.now)
    ((again,),) = scene.show(person)
    assert again.worth == pytest.approx(WORTH * EVERY * STEP_S / AGAIN_S)
    ((later,),) = scene.show(person)
    assert later.worth == WORTH


def test_a_look_elsewhere_changes_nothing(empty):
    scene = Scene()
    scene.show(*[empty] * 5)
    person = with_person(empty, 200)
    ((first,),) = scene.show(person)
    scene.movement.looked([first], [(0.6, 0.4, 0.9, 0.8)], scene.now)
    assert scene.show(person)[0][0].worth == WORTH


def test_a_light_that_goes_on_moves_nothing(empty):
    scene = Scene()
    scene.show(*[empty] * 5)
    bright = np.clip(empty.astype(int) + 60, 0, 255).astype(np.uint8)
    assert scene.show(bright, bright) == [[], []]


def test_a_camera_that_changes_its_size_begins_anew(empty):
    scene = Scene()
    scene.show(*[empty] * 5)
    assert scene.show(with_person(empty, 200)[:480, :640].copy()) == [[]]


@pytest.mark.parametrize("size", [(1, 1), (9, 16), (1080, 1920), (577, 771), (1, 192), (300, 2)])
@pytest.mark.parametrize("colours", [(3,), ()])
def test_any_size_of_picture_is_taken(size, colours):
    scene = Scene(None if colours else Movement(FEWER_CELLS))
    dark = np.zeros((*size, *colours), np.uint8)
    lit = dark.copy()
    lit[: size[0] // 2, : size[1] // 2] = 200
    tell(scene.movement, now=98.0)
    tell(scene.movement, (-90, -90, 0, 0), (700, 500, 900, 700), (100, 100, 101, 101), now=99.5)
    for (found,) in (scene.show(dark), scene.show(lit)):
        for target in found:
            assert all(0 <= side <= 1 for side in target.box)
