"""Who is what, and chance that can be had again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SimOptionsInvalid
from workbench.sim.dice import Dice
from workbench.sim.personality import DEFAULT_MIX, Personality, assign, read_mix

MIXES = st.dictionaries(st.sampled_from(list(Personality)), st.integers(0, 1000), min_size=1).filter(
    lambda mix: sum(mix.values()) > 0
)


@given(MIXES, st.integers(1, 500), st.integers())
def test_the_shares_are_kept_to_within_a_device(mix, count, seed):
    kinds = assign(mix, count, seed)
    assert kinds == assign(mix, count, seed)
    assert len(kinds) == count
    for kind, share in mix.items():
        assert abs(Counter(kinds)[kind] - count * share / sum(mix.values())) <= 1


def test_another_seed_gives_another_order():
    mix = read_mix("all")
    assert assign(mix, 100, 1) != assign(mix, 100, 2)


def test_all_is_some_of_each():
    assert set(assign(read_mix("all"), 20, 1)) == set(Personality)
    assert set(read_mix(DEFAULT_MIX)) == {Personality.STEADY, Personality.FLAKY, Personality.SLOW}


@pytest.mark.parametrize("text", ["", "steady", "steady=x", "brave=1", "steady=1,steady=2", "steady=0", "steady=-1"])
def test_what_is_no_mix_is_refused_by_name(text):
    with pytest.raises(SimOptionsInvalid, match="--mix"):
        read_mix(text)


def test_dice_are_fair_independent_and_repeatable():
    one, again, other = Dice(7, "a"), Dice(7, "a"), Dice(7, "b")
    throws = [one.unit() for _ in range(4000)]
    assert throws == [again.unit() for _ in range(4000)]
    assert throws != [other.unit() for _ in range(4000)]
    assert 0.48 < sum(throws) / len(throws) < 0.52
    assert 0.0 <= min(throws) < max(throws) < 1.0
    waits = [one.wait(3.0) for _ in range(4000)]
    assert 2.8 < sum(waits) / len(waits) < 3.2
