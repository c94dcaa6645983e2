from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.estimates import Box, Counts, Sums, drop, f1, pairs, precision, recall, taken_in_turn, total


def frames(*counts: tuple[int, int, int], probability: float = 0.01) -> Sums:
    return total(Sums.of(Counts(*one), probability) for one in counts)


def test_a_frame_counts_for_all_that_it_stands_for() -> None:
    rare = Sums.of(Counts(1, 1, 1), 0.01)
    common = Sums.of(Counts(0, 1, 1), 0.5)
    found = recall(rare.plus(common))
    assert found is not None
    assert found.value == pytest.approx(100 / 102)
    assert found.frames == 2


def test_the_three_shares() -> None:
    sums = frames((3, 4, 5), (1, 1, 1))
    assert [figure.value for figure in (recall(sums), precision(sums), f1(sums)) if figure] == pytest.approx(
        [4 / 6, 4 / 5, 8 / 11]
    )


def test_nothing_to_count_is_no_share() -> None:
    assert recall(Sums()) is None
    quiet = frames((0, 0, 0), (0, 2, 0))
    assert recall(quiet) is None
    found = precision(quiet)
    assert found is not None
    assert (found.value, found.frames) == (0.0, 1)


def test_finding_everything_leaves_a_doubt_that_shrinks_with_frames_not_with_objects() -> None:
    few, many = recall(frames(*[(9, 9, 9)] * 10)), recall(frames(*[(9, 9, 9)] * 100))
    assert few is not None
    assert many is not None
    assert few.value == few.high == many.value == 1.0
    assert few.low == pytest.approx(0.66, abs=0.02)
    assert many.low == pytest.approx(0.96, abs=0.01)
    none = recall(frames(*[(0, 0, 9)] * 10))
    assert none is not None
    assert (none.low, none.value) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - few.low)


def test_objects_that_share_their_fate_tell_less() -> None:
    alone = recall(frames(*[(2, 2, 2)] * 10, *[(1, 1, 2)] * 20, *[(0, 0, 2)] * 10))
    together = recall(frames(*[(2, 2, 2)] * 20, *[(0, 0, 2)] * 20))
    assert alone is not None
    assert together is not None
    assert alone.value == together.value
    assert together.high - together.low > 1.3 * (alone.high - alone.low)


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(1e-6, 1.0)),
        min_size=1,
        max_size=30,
    )
)
def test_any_sample_has_sound_intervals(sample: list[tuple[int, int, int, float]]) -> None:
    sums = total(Sums.of(Counts(m, m + s, m + t), p) for m, s, t, p in sample)
    for figure in (recall, precision, f1):
        for level in (0.5, 0.95, 0.999):
            found = figure(sums, level)
            if found is not None:
                assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_a_drop_is_looked_for_on_the_cameras_that_both_models_saw() -> None:
    easy, hard = frames(*[(9, 9, 10)] * 30), frames(*[(3, 4, 10)] * 30)
    same = drop([(easy, easy), (hard, hard)], 0.95)
    assert same is not None
    assert same.before == same.now
    assert same.low < 0 < same.before
    # A new model that began on the hard camera is held against what the old one did there.
    began = drop([(easy, Sums()), (hard, hard)], 0.95)
    assert began is not None
    assert (began.before, began.frames_before) == (pytest.approx(6 / 14), 30)
    assert drop([(easy, Sums())], 0.95) is None
    assert drop([], 0.95) is None


def test_a_drop_beyond_chance_and_beyond_what_is_allowed() -> None:
    good, bad = frames(*[(4, 4, 5)] * 25, *[(4, 5, 4)] * 25), frames(*[(2, 3, 5)] * 25, *[(2, 4, 4)] * 25)
    found = drop([(good, bad)], 0.99)
    assert found is not None
    assert found.low > 0.1
    assert found.exceeds(0.1)
    assert not found.exceeds(0.5)
    few = drop([(frames((4, 4, 5), (4, 5, 4)), frames((2, 3, 5), (2, 4, 4)))], 0.99)
    assert few is not None
    assert few.before - few.now > 0.2
    assert not few.exceeds(0.1), "it may be chance"


def test_pairs_take_the_best_first_and_each_object_once() -> None:
    one = ("person", (0.0, 0.0, 0.4, 1.0))
    near = ("person", (0.05, 0.0, 0.45, 1.0))
    nearer = ("person", (0.01, 0.0, 0.41, 1.0))
    far = ("person", (0.5, 0.0, 0.9, 1.0))
    assert pairs([one], [near, nearer, far]) == [(0, 1)]
    assert sorted(pairs([one, far], [nearer, far])) == [(0, 0), (1, 1)]
    assert pairs([one], [("car", one[1])]) == []
    assert pairs([("person", (0.1, 0.1, 0.1, 0.1))], [("person", (0.1, 0.1, 0.1, 0.1))]) == []


boxes_of_people = st.lists(
    st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)).map(
        lambda at: ("person", (at[0], at[1], at[0] + 0.3, at[1] + 0.3))
    ),
    max_size=8,
)


@given(some=boxes_of_people, others=boxes_of_people, first=st.integers(0, 8))
def test_who_comes_later_changes_nothing_for_those_before(
    some: list[tuple[str, Box]], others: list[tuple[str, Box]], first: int
) -> None:
    whole = taken_in_turn(some, others)
    assert taken_in_turn(some[:first], others) == [row for row in whole if row < first]
    assert len(whole) <= len(others)
