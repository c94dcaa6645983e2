"""What is painted over is gone: no picture of the frame tells what was there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.adapters.crops import encode_jpeg
from agent.ask.crop import crop_around
from agent.decide.zones import contains, crossing, signed_area
from agent.domain import Box, Frame, Track
from agent.errors import PictureWithheld
from agent.redact.door import PictureDoor, Redacted
from agent.redact.paint import HIDDEN, Polygon, grown, head
from tests.agent.redact.doors import door, plain_door
from vision.detections import Detections, Image, no_detections
from wire.messages import Hide

LABELS = ("person", "car")
WIDE, HIGH = 96, 64
NOISE = np.random.default_rng(7)
UNIT = st.floats(0, 1, allow_subnormal=False)


def noise(wide: int = WIDE, high: int = HIGH) -> Image:
    return NOISE.integers(0, 256, (high, wide, 3), dtype=np.uint8)


def frame(image: Image, index: int = 0, camera: str = "gate") -> Frame:
    return Frame(camera, index, image, float(index))


def found(*boxes: Box, label: int = 0) -> Detections:
    count = len(boxes)
    places = np.array(boxes, np.float32).reshape(count, 4)
    return Detections(places, np.full(count, 0.2, np.float32), np.full(count, label, np.int32), LABELS)


def track(box: Box, label: str = "person") -> Track:
    return Track(1, label, 0.5, 0.5, box, 0.0, 0.0, 3, False)


def inside(polygon: Polygon, wide: int, high: int) -> np.ndarray:
    """bool (high, wide): pixels whose middle lies in the polygon, by another way than the painter's."""
    return np.array(
        [[contains(tuple(polygon), ((x + 0.5) / wide, (y + 0.5) / high)) for x in range(wide)] for y in range(high)]
    )


polygons = st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=6, unique=True)


@st.composite
def drawn_boxes(draw: st.DrawFn) -> Box:
    """Within the frame, and larger than a pixel."""
    x1, y1 = draw(st.floats(0, 0.95)), draw(st.floats(0, 0.95))
    return (x1, y1, draw(st.floats(x1 + 0.05, 1)), draw(st.floats(y1 + 0.05, 1)))


boxes = drawn_boxes()


@settings(max_examples=60, deadline=None)
@given(polygon=polygons, about=boxes, margin=st.floats(0, 2), quality=st.integers(20, 95), max_px=st.integers(16, 96))
def test_no_picture_tells_what_is_in_a_mask(
    polygon: list[tuple[float, float]], about: Box, margin: float, quality: int, max_px: int
) -> None:
    """Frames that differ only in a mask give the same bytes, whatever part is shown at whatever size and quality."""
    assume(abs(signed_area(tuple(polygon))) > 1e-4 and crossing(tuple(polygon)) is None)
    one, other = noise(), noise()
    within = inside(polygon, WIDE, HIGH)
    other[~within] = one[~within]
    part = crop_around(about, width=WIDE, height=HIGH, margin=margin, min_px=16)
    shown = [
        encode_jpeg(plain_door(polygon).cut(frame(image), part), quality=quality, max_px=max_px)
        for image in (one, other)
    ]
    assert shown[0] == shown[1]


@settings(max_examples=60, deadline=None)
@given(
    people=st.lists(boxes, max_size=4), hide=st.sampled_from([Hide.PEOPLE, Hide.HEADS]), quality=st.integers(20, 95)
)
def test_no_picture_tells_what_somebody_looks_like(people: list[Box], hide: Hide, quality: int) -> None:
    one, other = noise(), noise()
    within = np.zeros((HIGH, WIDE), bool)
    for x1, y1, x2, y2 in people:
        lowest = y2 if hide is Hide.PEOPLE else y1 + 0.2 * (y2 - y1)
        within[int(y1 * HIGH) : int(np.ceil(lowest * HIGH)), int(x1 * WIDE) : int(np.ceil(x2 * WIDE))] = True
    other[~within] = one[~within]
    shown = []
    for image in (one, other):
        opened = door(hide)
        opened.seen(frame(image), found(*people), ())
        shown.append(encode_jpeg(opened.cut(frame(image)), quality=quality, max_px=96))
    assert shown[0] == shown[1]


@settings(max_examples=40, deadline=None)
@given(asked=boxes)
def test_no_picture_tells_what_is_around_the_object_in_question(asked: Box) -> None:
    one, other = noise(), noise()
    x1, y1, x2, y2 = grown(asked)
    rows = slice(max(0, int(np.floor(y1 * HIGH))), int(np.ceil(y2 * HIGH)))
    columns = slice(max(0, int(np.floor(x1 * WIDE))), int(np.ceil(x2 * WIDE)))
    other[rows, columns] = one[rows, columns]
    opened = door(Hide.ALL_BUT_ASKED)
    pictures = [opened.cut(frame(image), None, asked).image for image in (one, other)]
    assert np.array_equal(*pictures)


def test_the_middle_of_a_mask_is_black_after_encoding() -> None:
    white = np.full((480, 640, 3), 255, np.uint8)
    square = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    jpeg = encode_jpeg(plain_door(square).cut(frame(white)), quality=60, max_px=640)
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown[136:344, 176:464].max() <= 2, "sixteen pixels, one block, from the edge on"
    assert shown[:100].min() >= 253
    assert white.min() == 255, "the frame is the judging thread's, too"


def test_of_a_picture_in_which_nothing_is_asked_about_nothing_is_left() -> None:
    picture = door(Hide.ALL_BUT_ASKED).cut(frame(noise()))
    assert (picture.image == HIDDEN).all()
    assert picture.said is not None
    assert (picture.said.hide, picture.said.hidden) == (Hide.ALL_BUT_ASKED, 1.0)


def test_with_nothing_to_hide_a_picture_is_an_untouched_copy() -> None:
    image = noise()
    picture = plain_door().cut(frame(image))
    assert np.array_equal(picture.image, image)
    assert not np.shares_memory(picture.image, image)
    assert picture.said is None


def test_a_picture_says_how_much_was_painted_over() -> None:
    opened = door(Hide.PEOPLE, ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    opened.seen(frame(noise(200, 100)), found((0.6, 0.2, 0.8, 0.7)), ())
    said = opened.cut(frame(noise(200, 100))).said
    assert said is not None
    assert said.masked == pytest.approx(0.5, abs=0.02)
    assert said.hidden == pytest.approx(0.24 * 0.6, abs=0.01)


def test_people_are_hidden_where_detector_or_tracker_has_them_and_cars_are_not() -> None:
    opened = door(Hide.PEOPLE)
    image = np.full((100, 100, 3), 255, np.uint8)
    both = Detections(
        np.array([(0.1, 0.1, 0.2, 0.2), (0.8, 0.8, 0.9, 0.9)], np.float32), np.array([0.1, 0.9], np.float32),
        np.array([0, 1], np.int32), LABELS,
    )  # fmt: skip
    opened.seen(frame(image), both, (track((0.4, 0.4, 0.5, 0.5)), track((0.6, 0.1, 0.7, 0.2), "car")))
    shown = opened.cut(frame(image)).image
    assert [tuple(shown[y, x]) for x, y in ((15, 15), (45, 45))] == [HIDDEN, HIDDEN]
    assert shown[85, 85].min() == shown[15, 65].min() == 255


def test_a_still_frame_hides_whom_the_one_before_showed() -> None:
    opened = door(Hide.PEOPLE)
    opened.seen(frame(noise(), 1), found((0.2, 0.2, 0.4, 0.9)), ())
    opened.seen(frame(noise(), 2), None, ())
    assert (opened.cut(frame(noise(), 2)).image == HIDDEN).all(axis=2).mean() > 0.1


def test_each_frame_is_hidden_by_what_was_in_itself() -> None:
    opened = door(Hide.PEOPLE)
    opened.seen(frame(noise(), 1), found((0.0, 0.0, 0.3, 1.0)), ())
    opened.seen(frame(noise(), 2), no_detections(LABELS), ())
    assert (opened.cut(frame(noise(), 1)).image == HIDDEN).all(axis=2).mean() > 0.25
    assert opened.cut(frame(noise(), 2)).said is not None
    assert (opened.cut(frame(noise(), 2)).image == HIDDEN).all(axis=2).mean() < 0.01


@pytest.mark.parametrize("hide", [Hide.PEOPLE, Hide.HEADS])
def test_a_frame_that_nobody_judged_stays_here(hide: Hide) -> None:
    with pytest.raises(PictureWithheld, match="was not judged"):
        door(hide).cut(frame(noise()))


def test_a_frame_that_was_forgotten_stays_here() -> None:
    opened = door(Hide.PEOPLE)
    for index in range(300):
        opened.seen(frame(noise(2, 2), index), no_detections(LABELS), ())
    opened.cut(frame(noise(2, 2), 299))
    with pytest.raises(PictureWithheld, match="was not judged"):
        opened.cut(frame(noise(2, 2), 0))


def test_with_a_model_that_has_no_word_for_people_nothing_leaves() -> None:
    opened = door(Hide.HEADS)
    opened.seen(frame(noise()), no_detections(("car", "dog")), ())
    with pytest.raises(PictureWithheld, match="no word for person"):
        opened.cut(frame(noise()))


def test_an_object_that_is_mostly_painted_over_is_not_asked_about() -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    with pytest.raises(PictureWithheld, match="of the object in question"):
        plain_door(left).cut(frame(noise()), None, (0.2, 0.2, 0.6, 0.8))
    assert plain_door(left).cut(frame(noise()), None, (0.45, 0.2, 0.9, 0.8)).said is not None


def test_a_head_is_the_upper_part_of_a_person() -> None:
    assert head((0.2, 0.1, 0.4, 0.9)) == pytest.approx((0.2, 0.06, 0.4, 0.26))


def test_the_masks_are_those_of_the_moment() -> None:
    masks: list[Polygon] = []
    opened = PictureDoor({"gate": door(Hide.NOTHING)._settings["gate"]}, lambda _camera: masks)
    image = np.full((20, 20, 3), 255, np.uint8)
    assert opened.cut(frame(image)).image.min() == 255
    masks.append(((0, 0), (1, 0), (1, 1), (0, 1)))
    assert opened.cut(frame(image)).image.max() == 0


def test_a_resized_picture_says_what_the_large_one_said() -> None:
    picture = door(Hide.ALL_BUT_ASKED).cut(frame(noise()))
    small = picture.resized(48, 32)
    assert small.image.shape == (32, 48, 3)
    assert small.said == picture.said
    assert isinstance(picture.resized(WIDE, HIGH), Redacted)
