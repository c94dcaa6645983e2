from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.offload.decide import FAMILIES, DecideSettings, View, decide, in_frame, look_at, overlap, with_article
from vision.detections import Detections, no_detections
from wire.codec import decode, encode
from wire.messages import MAX_FOUND, AskReason, Decision, Hide, Question, Redaction, Verdict

LABELS = ("person", "car", "truck", "dog", "chair")
SETTINGS = DecideSettings(min_score=0.4, min_iou=0.4)
REGION = (0.2, 0.2, 0.6, 0.6)
BOX = (0.3, 0.3, 0.5, 0.5)
IN_PICTURE = (0.25, 0.25, 0.75, 0.75)
"""`BOX` in shares of the picture of `REGION`."""


def question(label="person", box=BOX, region=REGION):
    return Question(
        message_id="0" * 32,
        device="cam-1",
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        boot_id="1" * 32,
        boot_seq=1,
        alert_id="2" * 32,
        camera="yard",
        track=1,
        label=label,
        score=0.5,
        box=box,
        region=region,
        reason=AskReason.UNCERTAIN,
        seen_at=datetime(2026, 1, 1, tzinfo=UTC),
        deadline_ms=1000,
        model_digest="sha256:" + "0" * 64,
    )


def verdict_on(asked, *objects, settings=SETTINGS):
    return decide(asked, detections(*objects), asked.region, settings)


def detections(*objects):
    if not objects:
        return no_detections(LABELS)
    return Detections(
        np.array([box for _, _, box in objects], np.float32),
        np.array([score for _, score, _ in objects], np.float32),
        np.array([LABELS.index(label) for label, _, _ in objects], np.int32),
        LABELS,
    )


def test_the_same_label_in_the_same_place_confirms():
    got = verdict_on(question(), ("person", 0.87, IN_PICTURE))
    assert got.decision is Decision.CONFIRMED
    assert (got.label, got.score, got.box) == ("person", pytest.approx(0.87), pytest.approx(BOX))
    assert got.reason == "the cloud sees a person (0.87) too"


def test_nothing_there_retracts():
    got = verdict_on(question())
    assert got.decision is Decision.RETRACTED
    assert (got.label, got.score, got.box) == (None, None, None)
    assert got.reason == "the cloud sees nothing where the device saw a person"


def test_what_was_painted_over_was_not_looked_at():
    alone = question().model_copy(update={"redaction": Redaction(hide=Hide.ALL_BUT_ASKED, hidden=0.7)})
    assert verdict_on(alone).looked == pytest.approx((0.28, 0.28, 0.52, 0.52))
    at_the_edge = question(box=(0.2, 0.2, 0.6, 0.6)).model_copy(update={"redaction": alone.redaction})
    assert verdict_on(at_the_edge).looked == REGION
    # As the wire lets any device ask: a box that its picture does not show.
    beside_it = question(box=(0.8, 0.0, 0.9, 0.1)).model_copy(update={"redaction": alone.redaction})
    x1, y1, x2, y2 = verdict_on(beside_it).looked
    assert x1 <= x2
    assert y1 <= y2
    for hide in (Hide.NOTHING, Hide.HEADS):
        beside = question().model_copy(update={"redaction": Redaction(hide=hide, masked=0.1)})
        assert verdict_on(beside).looked == REGION


def test_an_object_elsewhere_in_the_picture_says_nothing_about_this_one():
    got = verdict_on(question(), ("person", 0.99, (0.0, 0.0, 0.2, 0.2)))
    assert got.decision is Decision.RETRACTED
    assert got.label is None


def test_a_weak_object_does_not_confirm():
    assert verdict_on(question(), ("person", 0.39, IN_PICTURE)).decision is Decision.RETRACTED


def test_a_label_of_the_same_family_confirms_under_the_better_name():
    got = verdict_on(question("truck"), ("car", 0.7, IN_PICTURE))
    assert (got.decision, got.label) == (Decision.CONFIRMED, "car")
    assert got.reason == "the cloud sees a car (0.70) where the device saw a truck"


def test_another_thing_retracts_and_is_named():
    got = verdict_on(question(), ("chair", 0.9, IN_PICTURE))
    assert (got.decision, got.label) == (Decision.RETRACTED, "chair")
    assert got.reason == "the cloud sees a chair (0.90) where the device saw a person"


def test_the_asked_label_goes_before_a_surer_other_one():
    got = verdict_on(question(), ("dog", 0.9, IN_PICTURE), ("person", 0.5, IN_PICTURE))
    assert (got.decision, got.label) == (Decision.CONFIRMED, "person")
    got = verdict_on(question("truck"), ("car", 0.9, IN_PICTURE), ("truck", 0.5, IN_PICTURE))
    assert got.label == "truck"


def test_a_label_that_no_model_here_knows_is_retracted_by_name():
    got = verdict_on(question("umbrella"))
    assert got.reason == "the cloud sees nothing where the device saw an umbrella"


def test_articles():
    assert [with_article(label) for label in ("person", "apple", "Elephant")] == [
        "a person",
        "an apple",
        "an Elephant",
    ]


def test_no_label_is_in_two_families():
    every = [label for family in FAMILIES for label in family]
    assert len(every) == len(set(every))


units = st.floats(0, 1, width=32)
any_boxes = st.tuples(units, units, units, units).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
anything = st.lists(st.tuples(st.sampled_from(LABELS), units, any_boxes), max_size=8)


@given(box=any_boxes, region=any_boxes)
def test_a_mapped_box_lies_in_its_region_and_is_in_order(box, region):
    x1, y1, x2, y2 = in_frame(box, region)
    assert region[0] <= x1 <= x2 <= region[2]
    assert region[1] <= y1 <= y2 <= region[3]


@given(region=any_boxes)
def test_the_whole_picture_is_its_region(region):
    assert in_frame((0.0, 0.0, 1.0, 1.0), region) == pytest.approx(region, abs=1e-12)


@given(one=any_boxes, other=any_boxes)
def test_overlap_is_a_share_and_the_same_both_ways(one, other):
    assert 0 <= overlap(one, other) <= 1 + 1e-9
    assert overlap(one, other) == pytest.approx(overlap(other, one))


@given(box=any_boxes)
def test_a_box_overlaps_itself_fully(box):
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert overlap(box, box) == (pytest.approx(1.0) if area > 0 else 0.0)


@given(asked=st.sampled_from(LABELS), box=any_boxes, region=any_boxes, objects=anything, data=st.data())
def test_a_verdict_follows_from_what_was_seen(asked, box, region, objects, data):
    ask = question(asked, box, region)
    got = verdict_on(ask, *objects)
    if got.label is None:
        assert (got.decision, got.score, got.box) == (Decision.RETRACTED, None, None)
    else:
        assert got.score >= SETTINGS.min_score
        assert overlap(got.box, box) >= SETTINGS.min_iou
        assert any(label == got.label for label, _, _ in objects)
    if got.decision is Decision.CONFIRMED:
        assert got.label == asked or {got.label, asked} == {"car", "truck"}
    shuffled = data.draw(st.permutations(objects))
    assert verdict_on(ask, *shuffled).decision is got.decision


@given(objects=anything, box=any_boxes, region=any_boxes)
def test_asking_for_more_certainty_never_confirms_more(objects, box, region):
    asked = question(box=box, region=region)
    lax = verdict_on(asked, *objects, settings=DecideSettings(min_score=0.3, min_iou=0.3))
    strict = verdict_on(asked, *objects, settings=DecideSettings(min_score=0.6, min_iou=0.6))
    assert not (strict.decision is Decision.CONFIRMED and lax.decision is Decision.RETRACTED)


def test_the_view_is_the_object_with_its_margin():
    whole = question(box=(0.4, 0.4, 0.5, 0.6), region=(0.0, 0.0, 1.0, 1.0))
    view = look_at(whole, 1000, 500, DecideSettings(margin=0.5))
    assert (view.left, view.top, view.right, view.bottom) == (350, 150, 550, 350)
    assert view.region == pytest.approx((0.35, 0.3, 0.55, 0.7))


def test_the_view_of_an_object_in_a_corner_stays_in_the_picture():
    view = look_at(question(box=(0.2, 0.2, 0.3, 0.3)), 400, 400, DecideSettings(margin=0.5))
    assert (view.left, view.top, view.right, view.bottom) == (0, 0, 200, 200)
    assert view.region == pytest.approx((0.2, 0.2, 0.4, 0.4))


def test_a_tiny_object_is_not_looked_at_under_the_microscope():
    tiny = question(box=(0.5, 0.5, 0.501, 0.501), region=(0.0, 0.0, 1.0, 1.0))
    view = look_at(tiny, 1000, 1000, DecideSettings(min_view_px=48))
    assert (view.right - view.left, view.bottom - view.top) == (48, 48)


@pytest.mark.parametrize("reason", list(AskReason))
def test_what_the_device_does_not_see_itself_is_judged_among_what_is_around_it(reason):
    asked = question(box=(0.4, 0.4, 0.5, 0.6), region=(0.2, 0.1, 0.7, 0.9)).model_copy(update={"reason": reason})
    view = look_at(asked, 500, 400, DecideSettings(margin=0.5))
    if reason in {AskReason.LOST, AskReason.WEAK, AskReason.MOTION}:
        assert view == View(0, 0, 500, 400, asked.region)
    else:
        assert (view.left, view.top, view.right, view.bottom) == (150, 100, 350, 300)


WHOLE = (0.0, 0.0, 1.0, 1.0)


def with_context(**fields):
    return question(region=WHOLE).model_copy(update={"context": True} | fields)


def test_of_a_question_with_context_all_of_the_picture_is_judged():
    assert look_at(with_context(), 500, 400, DecideSettings()) == View(0, 0, 500, 400, WHOLE)


def test_of_a_whole_frame_only_what_is_close_to_the_object_is_told():
    settings = DecideSettings(margin=0.5)
    beside, far = (0.5, 0.3, 0.65, 0.5), (0.8, 0.8, 0.9, 0.9)
    got = verdict_on(
        with_context(), ("person", 0.87, BOX), ("dog", 0.9, beside), ("car", 0.99, far), settings=settings
    )
    assert (got.decision, got.box) == (Decision.CONFIRMED, pytest.approx(BOX))
    assert got.looked == pytest.approx((0.2, 0.2, 0.6, 0.6))
    assert [one.label for one in got.found] == ["dog", "person"]


def test_a_crowd_elsewhere_in_the_frame_does_not_keep_what_is_close_from_being_told():
    crowd = [("person", 0.9, (0.8, 0.01 * n, 0.81, 0.01 * n + 0.05)) for n in range(2 * MAX_FOUND)]
    assert [one.label for one in verdict_on(with_context(), *crowd, ("dog", 0.5, BOX)).found] == ["dog"]


def test_what_is_painted_over_around_the_object_is_not_told_of_with_context_either():
    alone = with_context(redaction=Redaction(hide=Hide.ALL_BUT_ASKED, hidden=0.9))
    assert verdict_on(alone).looked == pytest.approx((0.28, 0.28, 0.52, 0.52))


@given(box=any_boxes, region=any_boxes, width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_a_view_is_a_part_of_the_picture_and_says_which(box, region, width, height):
    view = look_at(question(box=box, region=region), width, height, DecideSettings())
    assert 0 <= view.left < view.right <= width
    assert 0 <= view.top < view.bottom <= height
    assert region[0] <= view.region[0] <= view.region[2] <= region[2]
    assert region[1] <= view.region[1] <= view.region[3] <= region[3]
    assert view.region[2] - view.region[0] == pytest.approx(
        (view.right - view.left) / width * (region[2] - region[0]), abs=1e-9
    )


def test_a_retraction_says_how_much_of_the_picture_was_painted_over() -> None:
    hidden = question().model_copy(update={"redaction": Redaction(hide=Hide.HEADS, masked=0.25, hidden=0.1)})
    assert verdict_on(hidden).reason.endswith("in a picture of which 35% is painted over")
    assert "painted" not in verdict_on(question()).reason


def test_a_survey_tells_of_all_that_is_in_the_picture_likeliest_first():
    got = verdict_on(
        question(), ("person", 0.4, IN_PICTURE), ("dog", 0.7, (0.0, 0.0, 0.2, 0.2)), ("car", 0.02, (0.5, 0.5, 1, 1))
    )
    assert got.looked == REGION
    assert [(one.label, one.score) for one in got.found] == [("dog", pytest.approx(0.75)), ("person", 0.5)]
    assert got.found[1].box == pytest.approx(BOX, abs=1e-3)


def test_from_the_score_on_from_which_the_cloud_stands_behind_an_object_it_is_likelier_there_than_not():
    asked = question()
    for score, stands in ((0.39, False), (0.4, True), (1.0, True)):
        (one,) = verdict_on(asked, ("dog", score, (0.0, 0.0, 0.2, 0.2))).found
        assert (one.score >= 0.5) is stands


@given(st.lists(st.tuples(st.floats(-1, 2), st.tuples(*[st.floats(-1, 2)] * 4)), max_size=60))
def test_a_survey_always_fits_a_verdict(objects):
    rows = [
        ("chair", score, (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))) for score, b in objects
    ]
    got = verdict_on(question(), *rows)
    verdict = Verdict(
        message_id="1" * 32,
        device="cam-1",
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        question_id="0" * 32,
        decision=got.decision,
        looked=got.looked,
        found=got.found,
        model="m",
        took_ms=1.0,
    )
    assert decode(Verdict, encode(verdict)) == verdict
