from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.update.trial import PATIENCE, Trial, matches, objects_in
from vision.detections import Detections
from wire.updates import Gates

LABELS = ("person", "car")
GATES = Gates(shadow_frames=5)


def said(*objects: tuple[float, ...]) -> Detections:
    """Each object is (x, score) or (x, score, class): a box a tenth wide at x."""
    boxes = np.array([[x, 0.2, x + 0.1, 0.6] for x, *_ in objects], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, *_ in objects], np.float32)
    classes = np.array([int(rest[0]) if rest else 0 for _, _, *rest in objects], np.int32)
    return Detections(boxes, scores, classes, LABELS)


def trial(gates: Gates = GATES) -> Trial:
    return Trial(gates, current_floor=0.3, candidate_floor=0.4, labels={"person"})


def run(current: Detections, candidate: Detections, *, ms: float = 10.0, gates: Gates = GATES) -> Trial:
    made = trial(gates)
    while not made.over:
        made.add("yard", current, 0.01, candidate, ms / 1000)
    return made


THREE = said((0.1, 0.9), (0.4, 0.8), (0.7, 0.7))


def test_two_that_say_the_same_agree_fully() -> None:
    made = run(THREE, THREE)
    figures = made.figures()
    assert (figures.frames, figures.agreement, figures.detections_current, figures.detections_candidate) == (
        5,
        1,
        3,
        3,
    )
    assert (figures.latency_current_ms, figures.latency_candidate_ms) == (10, 10)
    assert made.verdict() is None


def test_each_model_counts_from_its_own_floor_and_only_what_rules_look_for() -> None:
    made = run(said((0.1, 0.35), (0.4, 0.29), (0.7, 0.9, 1)), said((0.1, 0.39), (0.4, 0.41), (0.7, 0.9, 1)))
    assert (made.figures().detections_current, made.figures().detections_candidate) == (1, 1)
    assert made.figures().agreement == 0


def test_a_candidate_that_sees_nothing_fails() -> None:
    made = run(THREE, said())
    assert made.verdict() == "it finds 0.00 objects a frame where the current model finds 3.00, less than 0.3 of them"


def test_a_candidate_that_sees_ghosts_fails() -> None:
    ghosts = said(*((x / 20, 0.9) for x in range(19)))
    assert "more than 4 times as many" in str(run(THREE, ghosts).verdict())


def test_a_candidate_that_looks_elsewhere_fails() -> None:
    made = run(THREE, said((0.25, 0.9), (0.55, 0.9), (0.85, 0.9)))
    assert made.verdict() == "it agrees with the current model by 0.00, less than 0.3"


def test_a_slow_candidate_fails() -> None:
    assert "160 ms a frame beside 10 ms" in str(run(THREE, THREE, ms=160).verdict())
    assert run(THREE, THREE, ms=150).verdict() is None


def test_a_better_one_that_finds_more_passes() -> None:
    assert run(said((0.1, 0.9)), THREE, gates=Gates(shadow_frames=10)).verdict() is None


def test_a_quiet_scene_is_watched_for_longer_and_holds_nothing_against_anyone() -> None:
    made = run(said(), said())
    assert made.figures().frames == PATIENCE * GATES.shadow_frames
    assert made.figures().agreement == 1
    assert made.verdict() is None
    assert run(said(), THREE).verdict() is not None, "a few are chance, three in each frame are not"


def test_nothing_seen_yet_has_figures_too() -> None:
    assert trial().figures().frames == 0
    assert not trial().over


@given(
    st.lists(st.tuples(st.floats(0, 0.9), st.floats(0.3, 1), st.integers(0, 1)), max_size=8),
    st.lists(st.tuples(st.floats(0, 0.9), st.floats(0.3, 1), st.integers(0, 1)), max_size=8),
)
def test_matching_is_fair_to_both_sides(some: list[tuple[float, ...]], others: list[tuple[float, ...]]) -> None:
    left, right = objects_in(said(*some), 0.0, LABELS), objects_in(said(*others), 0.0, LABELS)
    assert matches(left, right) <= min(len(left), len(right))
    assert matches(left, left) == len(left)


@pytest.mark.parametrize("score", [0.3, 0.31])
def test_the_floor_itself_counts(score: float) -> None:
    assert len(objects_in(said((0.1, score)), float(np.float32(0.3)), LABELS)) == 1
