import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.detect.looks import SEEN_NO_MORE, STALE_S, look, merged, only, targets
from agent.detect.regions import Region
from agent.domain import Expected
from vision.detections import Detections, no_detections
from vision.errors import InferenceFailed

LABELS = ("person", "car")
FRAME = (1000, 500)
REGION = Region(100, 100, 200, 200)


def found(*rows):
    """Detections of (label, score, x1, y1, x2, y2)."""
    rows = sorted(rows, key=lambda row: -row[1])
    return Detections(
        np.array([row[2:] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([LABELS.index(row[0]) for row in rows], np.int32),
        LABELS,
    )


def rows(detections):
    each = zip(detections.scores.tolist(), detections.boxes.tolist(), strict=True)
    return [
        (detections.label(i), round(score, 3), *(round(side, 3) for side in box))
        for i, (score, box) in enumerate(each)
    ]


def put_together(whole, *close, regions=(REGION,), min_score=0.1):
    return merged(whole, regions, close, FRAME, min_score)


# --- what is worth a look -------------------------------------------------------------------------------------


def expected(number=1, x=0.5, belief=0.9, looked_at=None):
    return Expected(number, "person", (x, 0.5, x + 0.1, 0.8), belief, looked_at)


def test_a_known_object_is_worth_more_the_longer_it_was_not_looked_at():
    (fresh,), (older,), (never,) = (
        targets(found(), [expected(looked_at=at)], 10.0) for at in (10.0, 10.0 - STALE_S / 2, None)
    )
    assert fresh.worth == 0.0
    assert fresh.worth < older.worth < never.worth


def test_what_is_doubted_is_worth_a_look_at_once():
    (doubted,) = targets(found(), [expected(belief=0.3, looked_at=10.0)], 10.0)
    assert doubted.worth > 0.3


def test_what_the_whole_frame_shows_anew_is_worth_its_score_and_what_is_expected_counts_once():
    seen = found(("person", 0.4, 0.1, 0.1, 0.2, 0.3), ("person", 0.8, 0.51, 0.5, 0.61, 0.8))
    known, new = targets(seen, [expected(looked_at=10.0)], 10.0)
    assert known.box[0] == 0.5
    assert (new.worth, new.box[0]) == (pytest.approx(0.4), pytest.approx(0.1))


def test_two_boxes_of_one_thing_are_one_target():
    seen = found(("person", 0.4, 0.1, 0.1, 0.2, 0.3), ("person", 0.3, 0.11, 0.1, 0.2, 0.3))
    assert len(targets(seen, [], 0.0)) == 1


def test_only_what_rules_look_for_is_looked_at():
    seen = found(("car", 0.9, 0.1, 0.1, 0.2, 0.3), ("person", 0.5, 0.4, 0.1, 0.5, 0.3))
    assert rows(only(seen, frozenset({"person", "dog"}))) == [("person", 0.5, 0.4, 0.1, 0.5, 0.3)]
    assert rows(only(seen, frozenset())) == []
    assert rows(only(seen, frozenset(LABELS))) == rows(seen)


# --- putting together -----------------------------------------------------------------------------------------


def test_what_a_region_shows_is_placed_in_the_frame():
    seen = put_together(found(), found(("person", 0.8, 0.25, 0.25, 0.5, 0.75)))
    assert rows(seen.detections) == [("person", 0.8, 0.15, 0.3, 0.2, 0.5)]
    assert seen.looked == (pytest.approx((0.104, 0.208, 0.296, 0.592)),)


def test_what_both_show_is_one_object_with_the_better_score():
    whole = found(("person", 0.5, 0.15, 0.3, 0.2, 0.5))
    seen = put_together(whole, found(("person", 0.8, 0.25, 0.25, 0.5, 0.77)))
    assert [row[:2] for row in rows(seen.detections)] == [("person", 0.8)]


def test_labels_are_put_together_each_on_its_own():
    whole = found(("car", 0.5, 0.4, 0.3, 0.6, 0.5))
    seen = put_together(whole, found(("person", 0.8, 0.25, 0.25, 0.5, 0.75)))
    assert {row[0] for row in rows(seen.detections)} == {"person", "car"}


def test_what_a_closer_look_does_not_show_keeps_a_part_of_its_score_only():
    whole = found(("person", 0.9, 0.15, 0.3, 0.2, 0.5), ("person", 0.5, 0.8, 0.3, 0.9, 0.6))
    seen = put_together(whole, found())
    assert [row[1] for row in rows(seen.detections)] == [0.5, pytest.approx(0.9 * SEEN_NO_MORE, abs=1e-3)]


def test_what_falls_below_the_lowest_score_is_dropped():
    whole = found(("person", 0.5, 0.15, 0.3, 0.2, 0.5))
    assert rows(put_together(whole, found(), min_score=0.2).detections) == []


def test_a_box_that_a_region_cuts_off_is_left_to_the_whole_frame():
    whole = found(("person", 0.5, 0.05, 0.3, 0.2, 0.5))
    cut = found(("person", 0.9, 0.0, 0.25, 0.5, 0.75))
    assert rows(put_together(whole, cut).detections) == rows(whole)


def test_at_the_frames_own_edge_nothing_is_cut_off_anew():
    corner = Region(0, 300, 200, 200)
    seen = put_together(found(), found(("person", 0.9, 0.0, 0.5, 0.4, 1.0)), regions=(corner,))
    assert rows(seen.detections) == [("person", 0.9, 0.0, 0.8, 0.08, 1.0)]


def test_two_regions_that_overlap_show_an_object_once():
    other = Region(150, 100, 200, 200)
    one = found(("person", 0.7, 0.5, 0.25, 0.75, 0.75))
    two = found(("person", 0.8, 0.25, 0.25, 0.5, 0.75))
    assert [row[1] for row in rows(put_together(found(), one, two, regions=(REGION, other)).detections)] == [0.8]


def test_without_a_look_the_whole_frame_is_all_there_is():
    whole = found(("person", 0.5, 0.15, 0.3, 0.2, 0.5))
    seen = put_together(whole, regions=())
    assert seen.detections is whole
    assert seen.looked == ()


def test_looking_hands_the_detector_views_of_the_frame():
    image = np.zeros((500, 1000, 3), np.uint8)

    class Views:
        labels = LABELS

        def __init__(self):
            self.seen = []

        def detect(self, view, min_score):
            self.seen.append(((view.shape[1], view.shape[0]), min_score, np.shares_memory(view, image)))
            return no_detections(LABELS)

    detector = Views()
    look(detector, image, [REGION, Region(0, 0, 300, 150)], 0.2)
    assert detector.seen == [((200, 200), 0.2, True), ((300, 150), 0.2, True)]


def test_a_failing_look_is_the_models_failure():
    class Broken:
        labels = LABELS

        def detect(self, view, min_score):
            raise InferenceFailed("broken")

    with pytest.raises(InferenceFailed):
        look(Broken(), np.zeros((500, 1000, 3), np.uint8), [REGION], 0.2)


unit = st.floats(0, 1, width=32)
boxes = st.tuples(unit, unit, unit, unit).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
some = st.lists(st.builds(lambda label, score, box: (label, score, *box), st.sampled_from(LABELS), unit, boxes))
places = st.builds(Region, st.integers(0, 700), st.integers(0, 300), st.integers(1, 300), st.integers(1, 200))


@settings(max_examples=100, deadline=None)
@given(some, st.lists(st.tuples(places, some), max_size=4), unit)
def test_any_looks_give_sound_detections(whole, close, min_score):
    seen = merged(found(*whole), [at for at, _ in close], [found(*rows) for _, rows in close], FRAME, min_score)
    got = seen.detections
    assert len(seen.looked) == len(close)
    assert got.boxes.dtype == got.scores.dtype == np.float32
    assert got.classes.dtype == np.int32
    assert ((got.boxes >= -1e-6) & (got.boxes <= 1 + 1e-6)).all()
    assert (np.diff(got.scores) <= 0).all() or not close
    if close:
        assert (got.scores >= min_score).all()
