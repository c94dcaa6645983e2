"""The measure, on cases small enough to be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.accuracy import Counts, Tally, Truth

BOX = (0.0, 0.0, 10.0, 10.0)
ELSEWHERE = (50.0, 50.0, 60.0, 60.0)


def truth(*boxes, ignored=(), crowds=()) -> Truth:
    every = [*boxes, *ignored]
    return Truth(
        np.array(every, float).reshape(-1, 4),
        np.array([True] * len(boxes) + [False] * len(ignored), bool),
        np.array(crowds, float).reshape(-1, 4),
    )


def tallied(*pictures) -> Tally:
    tally = Tally()
    for objects, found in pictures:
        scores, boxes = [score for score, _ in found], [box for _, box in found]
        tally.add(objects, np.array(scores, float), np.array(boxes, float).reshape(-1, 4))
    return tally


def test_finding_all_is_one() -> None:
    got = tallied((truth(BOX), [(0.9, BOX)]), (truth(BOX, ELSEWHERE), [(0.5, ELSEWHERE), (0.6, BOX)])).accuracy()
    assert (got.ap50, got.best_f1, got.best_score) == (pytest.approx(1.0), pytest.approx(1.0), 0.5)
    assert (got.labelled, got.pictures) == (3, 2)


def test_precision_between_two_right_ones_is_that_of_the_better_end() -> None:
    """Right, wrong, right of two objects: .5 · 1 + .5 · 2/3."""
    got = tallied((truth(BOX, ELSEWHERE), [(0.9, BOX), (0.8, (90, 90, 99, 99)), (0.7, ELSEWHERE)])).accuracy()
    assert got.ap50 == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_second_box_on_one_object_is_wrong() -> None:
    tally = tallied((truth(BOX), [(0.9, BOX), (0.8, BOX)]))
    assert tally.counts(0.0) == Counts(right=1, wrong=1, labelled=1)
    assert tally.counts(0.85) == Counts(right=1, wrong=0, labelled=1)


def test_half_an_overlap_is_enough_and_less_is_not() -> None:
    assert tallied((truth(BOX), [(0.9, (0, 0, 10, 5))])).counts(0).right == 1
    assert tallied((truth(BOX), [(0.9, (0, 0, 10, 4.9))])).counts(0).right == 0


def test_what_does_not_count_neither_helps_nor_harms() -> None:
    many = [(0.9, (1, 1, 3, 3)), (0.8, (4, 4, 8, 8)), (0.7, ELSEWHERE)]
    assert tallied((truth(ELSEWHERE, crowds=[BOX]), many)).counts(0) == Counts(1, 0, 1)
    assert tallied((truth(ignored=[BOX]), [(0.9, BOX), (0.8, BOX)])).counts(0) == Counts(0, 1, 0)


def test_nothing_to_find_and_nothing_found_have_no_share() -> None:
    nothing = tallied((truth(), []))
    assert nothing.accuracy().ap50 == 0.0
    assert (nothing.counts(0).recall, nothing.counts(0).precision) == (None, None)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20), st.floats(0, 1))
def test_counts_and_precision_stay_in_their_bounds(found, at) -> None:
    detections = [(score, BOX if right else ELSEWHERE) for score, right in found]
    tally = tallied((truth(BOX), detections))
    assert 0.0 <= tally.accuracy().ap50 <= 1.0
    counts = tally.counts(at)
    assert counts.right + counts.wrong == sum(score >= at for score, _ in found)
    assert counts.right <= 1
