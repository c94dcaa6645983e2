from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tune.risk import at_most, log_wealth, proven_above, proven_below, relative, share

ONES = np.ones(400)


def test_enough_good_answers_prove_it_and_few_do_not() -> None:
    nothing = np.zeros(400)
    assert proven_below(nothing, ONES, ONES, 0.1, 0.1)
    assert not proven_below(nothing[:20], ONES[:20], ONES[:20], 0.1, 0.1)
    assert not proven_below(np.full(400, 0.1), ONES, ONES, 0.1, 0.1)


def test_enough_bad_answers_prove_the_opposite() -> None:
    bad = (np.arange(400) % 3 == 0).astype(float)
    assert proven_above(bad, ONES, ONES, 0.1, 0.1)
    assert not proven_above(bad[:3], ONES[:3], ONES[:3], 0.1, 0.1)
    assert not proven_below(bad, ONES, ONES, 0.1, 0.1)


def test_the_bound_closes_in_on_the_share() -> None:
    bad = (np.arange(2000) % 10 == 0).astype(float)
    whole = np.ones(2000)
    assert share(bad, whole, whole) == 0.1
    bounds = [at_most(bad[:n], whole[:n], whole[:n], 0.1) for n in (100, 400, 2000)]
    assert bounds == sorted(bounds, reverse=True)
    assert 0.1 < bounds[-1] < 0.125


def test_of_nothing_nothing_is_known() -> None:
    none = np.zeros(0)
    assert at_most(none, none, none, 0.1) == 1.0
    assert share(none, none, none) is None
    assert not proven_below(none, none, none, 0.1, 0.1)
    assert len(relative(none)) == 0


@given(
    bad=st.lists(st.floats(0, 1), min_size=1, max_size=60),
    worse=st.lists(st.floats(0, 1), min_size=60, max_size=60),
    limits=st.tuples(st.floats(0.01, 0.9), st.floats(0.01, 0.9)).map(sorted),
)
def test_more_misses_or_a_lower_limit_never_prove_more(
    bad: list[float], worse: list[float], limits: list[float]
) -> None:
    """What bands rely on: going up from the lowest end, the first that is not proven ends the search."""
    some = np.array(bad)
    more = np.maximum(some, np.array(worse[: len(bad)]))
    ones = np.ones(len(bad))
    assert log_wealth(more - limits[0], 1.0) <= log_wealth(some - limits[0], 1.0) + 1e-9
    assert not proven_below(some, ones, ones, limits[0], 0.2) or proven_below(some, ones, ones, limits[1], 0.2)


@pytest.mark.parametrize("limit", [0.02, 0.1, 0.3])
def test_a_risk_just_above_what_is_allowed_is_rarely_proven_below_it(limit: float) -> None:
    """Frames of unequal probabilities that have to do with what is in them; looked at at the end."""
    random = np.random.default_rng(7)
    fooled = 0
    for _ in range(1000):
        bad, all_, probability = _population(random, limit)
        drawn = random.random(len(bad)) < probability
        fooled += proven_below(bad[drawn], all_[drawn], relative(probability[drawn]), limit, 0.1)
    assert fooled / 1000 <= 0.1


def test_looking_after_each_answer_is_not_misled_more_often() -> None:
    random = np.random.default_rng(8)
    fooled = 0
    for _ in range(300):
        bad, all_, probability = _population(random, 0.1)
        drawn = np.flatnonzero(random.random(len(bad)) < probability)
        weights = relative(probability[drawn])
        fooled += any(
            proven_below(bad[drawn[:n]], all_[drawn[:n]], weights[:n], 0.1, 0.1) for n in range(5, len(drawn), 3)
        )
    assert fooled / 300 <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / 300)


def test_a_stretch_that_was_drawn_often_does_not_make_the_rest_heavy() -> None:
    rare, often = np.full(50, 0.01), np.full(500, 0.2)
    weights = relative(np.concatenate([rare, often]))
    assert weights[:50] == pytest.approx(np.ones(50))
    assert weights[50:] == pytest.approx(np.full(500, 0.05))


def test_one_frame_that_was_hardly_ever_drawn_does_not_rule_the_rest() -> None:
    weights = relative(np.array([0.0005] + [0.01] * 1000))
    assert weights == pytest.approx(np.ones(1001))


def _population(random: np.random.Generator, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames whose share of bad is a hair above `limit`; bad ones are rarer among those that are drawn often."""
    size = 3000
    all_ = random.choice([0.5, 1.0], size)
    probability = random.choice([0.04, 0.08], size)
    bad = np.where(random.random(size) < limit * np.where(probability > 0.05, 0.7, 1.3), all_, 0.0)
    while bad.sum() <= limit * all_.sum():
        row = random.integers(size)
        bad[row] = all_[row]
    return bad, all_, probability
