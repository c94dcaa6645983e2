from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.infer.ensemble import EnsembleDetector
from vision.detections import Detections, no_detections

PICTURE = np.zeros((10, 10, 3), np.uint8)
HERE = (0.1, 0.1, 0.5, 0.5)
NEARLY_HERE = (0.1, 0.1, 0.5, 0.45)
ELSEWHERE = (0.6, 0.6, 0.9, 0.9)


class Says:
    """A detector that says what it was told to."""

    def __init__(self, labels, *objects):
        self.labels = tuple(labels)
        self.objects = objects

    def detect(self, image, min_score):
        said = sorted((o for o in self.objects if o[1] >= min_score), key=lambda o: -o[1])
        if not said:
            return no_detections(self.labels)
        return Detections(
            np.array([box for _, _, box in said], np.float32),
            np.array([score for _, score, _ in said], np.float32),
            np.array([self.labels.index(label) for label, _, _ in said], np.int32),
            self.labels,
        )


def seen(detector, min_score=0.1):
    found = detector.detect(PICTURE, min_score)
    return [(found.label(i), float(found.scores[i]), tuple(map(float, found.boxes[i]))) for i in range(len(found))]


def test_what_both_see_is_one_object_with_their_mean_score_and_a_box_between_theirs():
    both = EnsembleDetector([Says(["person"], ("person", 0.9, HERE)), Says(["person"], ("person", 0.3, NEARLY_HERE))])
    ((label, score, box),) = seen(both)
    assert label == "person"
    assert score == pytest.approx(0.6)
    assert box == pytest.approx((0.1, 0.1, 0.5, 0.5 * 0.75 + 0.45 * 0.25))


def test_a_member_that_saw_nothing_votes_against():
    both = EnsembleDetector([Says(["person"], ("person", 0.9, HERE)), Says(["person"])])
    assert seen(both) == [("person", pytest.approx(0.45), pytest.approx(HERE))]
    assert seen(both, min_score=0.5) == []


def test_a_member_that_does_not_know_the_label_does_not_vote():
    both = EnsembleDetector([Says(["person", "forklift"], ("forklift", 0.9, HERE)), Says(["person"])])
    assert seen(both) == [("forklift", pytest.approx(0.9), pytest.approx(HERE))]


def test_labels_are_matched_by_name_not_by_index():
    both = EnsembleDetector(
        [Says(["person", "car"], ("car", 0.8, HERE)), Says(["car", "person"], ("car", 0.6, HERE))],
    )
    assert seen(both) == [("car", pytest.approx(0.7), pytest.approx(HERE))]


def test_weights_count():
    both = EnsembleDetector([Says(["person"], ("person", 0.8, HERE)), Says(["person"])], weights=[3, 1])
    assert seen(both) == [("person", pytest.approx(0.6), pytest.approx(HERE))]


def test_different_places_and_different_labels_are_different_objects():
    both = EnsembleDetector(
        [
            Says(["person", "car"], ("person", 0.9, HERE), ("car", 0.9, HERE)),
            Says(["person", "car"], ("person", 0.9, ELSEWHERE)),
        ]
    )
    assert len(seen(both)) == 3


def test_a_member_votes_once_for_an_object():
    both = EnsembleDetector(
        [
            Says(["person"], ("person", 0.9, HERE), ("person", 0.8, NEARLY_HERE)),
            Says(["person"], ("person", 0.7, HERE)),
        ]
    )
    assert seen(both) == [("person", pytest.approx(0.8), pytest.approx(HERE))]


def test_two_votes_below_the_callers_score_stay_below_it():
    both = EnsembleDetector([Says(["person"], ("person", 0.2, HERE)), Says(["person"], ("person", 0.9, HERE))])
    assert seen(both, min_score=0.5) == [("person", pytest.approx(0.55), pytest.approx(HERE))]


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, 1.0, 1.0]])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        EnsembleDetector([Says(["a"]), Says(["a"])], weights)


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="member"):
        EnsembleDetector([])


boxes = st.tuples(*[st.floats(0, 0.5, width=32)] * 2, *[st.floats(0.5, 1, width=32)] * 2)
objects = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0.0625, 1, width=32), boxes), max_size=6)


@given(first=objects, second=objects, min_score=st.floats(0.05, 0.9))
def test_a_fused_result_is_within_what_the_members_said(first, second, min_score):
    fused = EnsembleDetector([Says("ab", *first), Says("ab", *second)])
    result = fused.detect(PICTURE, min_score)
    assert (result.scores >= min_score - 1e-6).all()
    assert (result.scores <= 1).all()
    assert (np.diff(result.scores) <= 0).all()
    assert (result.boxes[:, :2] <= result.boxes[:, 2:]).all()
    assert len(result) <= len(first) + len(second)
    every = [box for _, _, box in (*first, *second)]
    for box in result.boxes:
        assert (box >= np.min(every, axis=0) - 1e-6).all()
        assert (box <= np.max(every, axis=0) + 1e-6).all()
