import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.replay.policies import (
    RECENT,
    Drawn,
    Entropic,
    Every,
    SednaIbt,
    SednaThreshold,
    Uncertain,
    drawn_places,
    entropy,
)

SCORES = st.lists(st.floats(0, 1), max_size=20)


def test_sedna_s_ibt_counts_boxes_up_to_its_threshold():
    ibt = SednaIbt()
    assert ibt.worth([0.5, 0.9])
    assert not ibt.worth([0.51, 0.9])
    assert ibt.worth([0.1, 0.2, 0.9])
    assert not ibt.worth([0.1, 0.8, 0.9])
    assert SednaIbt(threshold_img=0.7).worth([0.1, 0.8, 0.9])


def test_sedna_s_threshold_takes_the_mean_score():
    threshold = SednaThreshold()
    assert threshold.worth([0.3, 0.6])
    assert not threshold.worth([0.4, 0.6])
    assert not threshold.worth([0.9])


def test_sedna_finds_nothing_hard_in_an_empty_frame():
    assert not SednaIbt().worth([])
    assert not SednaThreshold().worth([])


@given(SCORES)
def test_sedna_s_filters_as_published(scores):
    """As lib/sedna/algorithms/hard_example_mining of KubeEdge Sedna has them, with its defaults."""
    low = [score for score in scores if score <= 0.5]
    assert SednaIbt().worth(scores) == bool(scores and len(low) / len(scores) >= 1 - 0.5)
    assert SednaThreshold().worth(scores) == bool(scores and sum(scores) / len(scores) < 0.5)


def test_a_band_is_closed_below_and_open_above():
    band = Uncertain((0.2, 0.6))
    assert band.worth([0.2])
    assert not band.worth([0.6, 0.19])
    assert not band.worth([])


def test_entropy_is_greatest_at_even_odds():
    assert entropy([0.5, 0.5]) == pytest.approx(2.0)
    assert entropy([0.0, 1.0]) == 0.0
    assert entropy([]) == 0.0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_uncertain_frames_are_about_as_many_as_can_be_paid(share):
    chance = random.Random(7)
    policy = Entropic(share)
    frames = 40 * RECENT
    chosen = sum(policy.worth([chance.random()]) for _ in range(frames))
    assert 0.7 * share < chosen / frames < 1.5 * share


def test_the_most_uncertain_frame_of_late_is_chosen():
    policy = Entropic(0.02)
    for _ in range(RECENT):
        policy.worth([0.9])
    assert not policy.worth([0.95])
    assert policy.worth([0.5])


def test_a_frame_without_any_score_is_never_uncertain():
    policy = Entropic(1.0)
    assert not policy.worth([])


def test_every_frame():
    assert Every().worth([])


def test_drawn_frames_by_their_places():
    policy = Drawn(frozenset({0, 2}))
    assert [policy.worth([]) for _ in range(4)] == [True, False, True, False]


@given(st.lists(st.integers(1, 1000), max_size=60), st.floats(0, 1), st.integers(0, 10))
def test_drawn_frames_can_be_paid_and_no_other_fits_next(sizes, share, seed):
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    total = share * sum(sizes)
    chosen = drawn_places(order, sizes, total)
    assert sum(sizes[place] for place in chosen) <= total + 1e-6
    assert chosen == set(order[: len(chosen)])
    if len(chosen) < len(order):
        assert sum(sizes[place] for place in order[: len(chosen) + 1]) > total - 1e-6
