from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.boxes import overlap
from agent.update.disputes import LEVEL, MIN_IOU, NEAR_IOU, Dispute, Object, Sample, Side, clearly_more, disputes
from agent.update.trial import Trial
from tests.agent.update.trial.test_trial import THREE, said
from wire.updates import Gates

OBJECTS = st.lists(
    st.builds(
        lambda label, x, y, score: Object(label, (x, y, x + 0.1, y + 0.2), score),
        st.sampled_from(["person", "car"]),
        st.floats(0, 0.9),
        st.floats(0, 0.8),
        st.floats(0, 1),
    ),
    max_size=8,
)
FRAMES = st.lists(st.tuples(OBJECTS, OBJECTS), max_size=30)


def one(x: float, label: str = "person", score: float = 0.9) -> Object:
    return Object(label, (x, 0.2, x + 0.1, 0.6), score)


def test_what_one_finds_and_the_other_does_not_is_disputed() -> None:
    found = disputes("yard", [one(0.1), one(0.4)], [one(0.11), one(0.8)])
    assert found == [Dispute(Side.CURRENT, "yard", one(0.4)), Dispute(Side.CANDIDATE, "yard", one(0.8))]


def test_a_box_that_is_placed_badly_is_no_dispute_and_another_label_is() -> None:
    assert disputes("yard", [one(0.1)], [one(0.17)]) == []
    assert len(disputes("yard", [one(0.1)], [one(0.1, "car")])) == 2


@given(OBJECTS, OBJECTS)
def test_disputes_are_fair_to_both_sides(some: list[Object], others: list[Object]) -> None:
    forth = {(dispute.side, dispute.found) for dispute in disputes("yard", some, others)}
    back = {(dispute.side.other, dispute.found) for dispute in disputes("yard", others, some)}
    assert forth == back
    assert disputes("yard", some, some) == []
    for side, found in forth:
        rest = others if side is Side.CURRENT else some
        assert all(overlap(found.box, other.box) < NEAR_IOU for other in rest if other.label == found.label)


@given(FRAMES, st.integers(0, 40), st.integers(1, 30))
def test_a_sample_never_asks_too_much_nor_about_one_object_twice(
    frames: list[tuple[list[Object], list[Object]]], at_most: int, length: int
) -> None:
    sample, asked = Sample(at_most, length), []
    for number, (current, candidate) in enumerate(frames, 1):
        chosen = sample.of("yard", current, candidate)
        assert set(chosen) <= set(disputes("yard", current, candidate))
        for dispute in chosen:
            assert not any(
                before.side is dispute.side
                and before.found.label == dispute.found.label
                and overlap(before.found.box, dispute.found.box) >= MIN_IOU
                for before in asked
            )
        asked += chosen
        assert len(asked) <= min(at_most, math.ceil(at_most * number / length)), "they are spread over the trial"


def test_a_sample_prefers_neither_side_nor_the_surer_objects() -> None:
    """Sixty frames of a new scene each, one question a frame: every place among the disputes has its turn."""
    sample = Sample(60, 60)
    turns = {Side.CURRENT: 0, Side.CANDIDATE: 0}
    scores: list[float] = []
    for number in range(60):
        row = 0.9 * number / 60
        current = [
            Object(f"thing {number}", (x / 10, row, x / 10 + 0.05, row + 0.05), 0.9 - x / 10) for x in range(4)
        ]
        candidate = [one._replace(box=(one.box[0], 0.95, one.box[2], 1.0)) for one in current]
        (chosen,) = sample.of("yard", current, candidate)
        turns[chosen.side] += 1
        scores.append(chosen.found.score)
    assert min(turns.values()) >= 28
    assert {round(score, 1) for score in scores} == {0.9, 0.8, 0.7, 0.6}
    assert sum(scores) / len(scores) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("some", "others", "clear"),
    [(0, 0, False), (4, 0, False), (5, 0, True), (7, 1, True), (6, 1, False), (15, 5, True), (14, 6, False)],
)
def test_so_many_answers_are_clear(some: int, others: int, clear: bool) -> None:
    assert clearly_more(some, others) is clear


@given(st.integers(0, 500), st.integers(0, 500))
def test_at_most_one_side_is_clearly_right_and_more_answers_for_it_do_not_change_that(some: int, others: int) -> None:
    if clearly_more(some, others):
        assert some > others
        assert not clearly_more(others, some)
        assert clearly_more(some + 1, others)


@given(st.integers(1, 200))
def test_two_that_are_equally_good_are_told_apart_as_rarely_as_is_said(answers: int) -> None:
    chance = sum(math.comb(answers, some) for some in range(answers + 1) if clearly_more(some, answers - some))
    assert chance / 2**answers <= LEVEL


# --- what they do to the verdict of a trial ---


def judged(current_right: int, candidate_right: int, *, alike: bool, unanswered: int = 0) -> Trial:
    gates = Gates(shadow_frames=5, ask_disagreements=20)
    trial = Trial(gates, current_floor=0.3, candidate_floor=0.4, labels={"person"})
    while not trial.over:
        trial.add("yard", THREE, 0.01, THREE if alike else said((0.25, 0.9), (0.55, 0.9), (0.85, 0.9)), 0.01)
    by = Dispute(Side.CANDIDATE, "yard", one(0.5))
    trial.settle([(by, True)] * candidate_right + [(by, False)] * current_right + [(by, None)] * unanswered)
    return trial


def test_who_is_right_is_counted_by_who_found_it() -> None:
    trial = judged(3, 4, alike=True, unanswered=2)
    trial.settle([(Dispute(Side.CURRENT, "yard", one(0.5)), True), (Dispute(Side.CURRENT, "yard", one(0.5)), False)])
    figures = trial.figures()
    assert (figures.asked, figures.candidate_right, figures.current_right) == (11, 5, 4)


def test_one_that_is_wrong_more_often_is_refused_although_it_agrees() -> None:
    said_of_it = judged(9, 1, alike=True).verdict()
    assert said_of_it == "the cloud found it right in 1 of 10 disagreements with the current model"
    assert judged(6, 3, alike=True).verdict() is None, "that may be chance"


def test_one_that_is_right_more_often_passes_although_it_disagrees() -> None:
    assert judged(1, 9, alike=False).verdict() is None
    for unclear in (judged(0, 0, alike=False, unanswered=20), judged(3, 6, alike=False)):
        assert unclear.verdict() == "it agrees with the current model by 0.00, less than 0.3"


def test_being_right_excuses_neither_slowness_nor_blindness() -> None:
    gates = Gates(shadow_frames=5, ask_disagreements=20)
    right = [(Dispute(Side.CANDIDATE, "yard", one(0.5)), True)] * 9
    blind = Trial(gates, current_floor=0.3, candidate_floor=0.4, labels={"person"})
    slow = Trial(gates, current_floor=0.3, candidate_floor=0.4, labels={"person"})
    for _ in range(5):
        blind.add("yard", THREE, 0.01, said(), 0.01)
        slow.add("yard", THREE, 0.01, THREE, 1.0)
    for trial, why in ((blind, "less than 0.3 of them"), (slow, "15 times as long")):
        trial.settle(right)
        assert why in str(trial.verdict())
