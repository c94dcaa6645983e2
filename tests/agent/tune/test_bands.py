from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tune.bands import Band, Held, Tuned, pinned, tune
from agent.tune.evidence import DAY_S, Census, Evidence, FrameAnswer, ObjectAnswer
from agent.tune.settings import Objective, PinnedBand, Prefer
from wire.messages import BandState

START: Band = (0.35, 0.6)
FLOOR = 0.2
NOW = 1_800_000_000.0
MISSES = Objective(max_miss_rate=0.1, max_step_per_day=1.0)
FALSE = Objective(max_false_alerts_per_day=2, max_step_per_day=1.0)
BOTH = Objective(max_miss_rate=0.1, max_false_alerts_per_day=2, max_step_per_day=1.0)


def frames(*scores: float | None, times: int = 1) -> tuple[FrameAnswer, ...]:
    """One object in each; None: it was not found."""
    return tuple(FrameAnswer(NOW, 0.1, 1, () if score is None else (score,)) for score in scores * times)


def objects(*scores: float, wrong: bool = False, times: int = 1) -> tuple[ObjectAnswer, ...]:
    return tuple(ObjectAnswer(NOW, 0.1, score, wrong) for score in scores * times)


def census(days: float, **by_score: int) -> Census:
    """`at_70=50`: fifty that were certain to .70."""
    return Census(days * DAY_S, {int(name.removeprefix("at_")): count for name, count in by_score.items()})


def tuned(
    objective: Objective, evidence: Evidence, held: Held | None = None, *, now: float = NOW, floor: float = FLOOR
) -> Tuned:
    return tune(objective, evidence, held or Held.at(START, NOW), start=START, floor=floor, now=now)


# --- the lower end ------------------------------------------------------------------------------------------------


def test_without_answers_enough_nothing_moves() -> None:
    one = tuned(MISSES, Evidence(frames(0.9, times=29)))
    assert one.band == START
    assert one.state is BandState.GATHERING
    assert "29 of 30" in one.reason


def test_what_is_never_weak_need_not_be_asked_about() -> None:
    one = tuned(MISSES, Evidence(frames(0.55, times=300)))
    assert one.band == (0.55, 0.6)
    assert one.state is BandState.MET
    assert one.figures.miss_rate == 0.0
    assert one.figures.miss_rate_at_most is not None
    assert one.figures.miss_rate_at_most <= 0.1


def test_it_goes_down_for_those_that_are_weak() -> None:
    one = tuned(MISSES, Evidence(frames(0.25, 0.8, 0.8, times=200)))
    assert one.band == (0.25, 0.6)
    assert one.state is BandState.MET


def test_an_end_never_goes_above_the_other() -> None:
    one = tuned(MISSES, Evidence(frames(0.9, times=300)))
    assert one.band == (0.6, 0.6)


def test_enough_answers_that_prove_nothing_lead_to_where_least_is_missed() -> None:
    one = tuned(MISSES, Evidence(frames(0.5, times=40)))
    assert one.band == (FLOOR, 0.6)
    assert one.state is BandState.UNPROVEN
    assert "not proven yet" in one.reason


@pytest.mark.parametrize(("prefer", "lower"), [(Prefer.MISSES, FLOOR), (Prefer.FALSE_ALERTS, 0.35)])
def test_what_no_band_can_keep_is_said_with_what_can_be_had(prefer: Prefer, lower: float) -> None:
    objective = MISSES.model_copy(update={"prefer": prefer})
    one = tuned(objective, Evidence(frames(None, 0.9, 0.9, times=100)))
    assert one.band == (lower, 0.6)
    assert one.state is BandState.INFEASIBLE
    assert "33%" in one.reason
    assert one.figures.best_miss_rate == pytest.approx(1 / 3)


def test_a_rare_draw_weighs_as_much_as_it_stands_for() -> None:
    """Of the drawn frames a fiftieth is weak, and stands for a sixth of all frames."""
    often = tuple(FrameAnswer(NOW, 1.0, 1, (0.8,)) for _ in range(980))
    rare = tuple(FrameAnswer(NOW, 0.1, 1, (0.3,)) for _ in range(20))
    pin = PinnedBand(label="person", lower=0.35, upper=0.6)
    one = pinned(pin, Evidence(often + rare), confidence=0.9, floor=FLOOR, now=NOW)
    assert one.figures.miss_rate == pytest.approx(200 / 1180)


def test_a_crowd_counts_as_two() -> None:
    alone = tuple(FrameAnswer(NOW, 0.1, 1, (0.8,)) for _ in range(100))
    crowd = tuple(FrameAnswer(NOW, 0.1, 10, (0.8,) * 5) for _ in range(100))
    assert tuned(MISSES, Evidence(alone + crowd)).figures.miss_rate == pytest.approx(100 / 300)


# --- the upper end ------------------------------------------------------------------------------------------------


def test_a_quiet_camera_is_believed_after_a_day() -> None:
    assert tuned(FALSE, Evidence(census=census(0.9, at_70=1))).state is BandState.GATHERING
    one = tuned(FALSE, Evidence(census=census(1, at_70=1)))
    assert one.band == (0.35, 0.35)
    assert one.state is BandState.MET


def test_few_objects_above_some_score_are_few_false_alerts_whatever_they_are() -> None:
    one = tuned(FALSE, Evidence(census=census(10, at_70=500, at_95=15)))
    assert one.band == (0.35, 0.71)
    assert one.state is BandState.MET
    assert one.figures.asked_share == pytest.approx(500 / 515)


def test_answers_prove_that_lower_scores_can_be_believed() -> None:
    answers = objects(0.7, 0.95, times=200) + objects(0.5, wrong=True, times=100)
    one = tuned(FALSE, Evidence((), answers, census(10, at_50=300, at_70=300, at_95=300)))
    assert one.band == (0.35, 0.51)
    assert one.figures.false_per_day == 0.0
    assert one.figures.false_per_day_at_most is not None
    assert one.figures.false_per_day_at_most <= 2.0


def test_wrong_ones_drive_it_up() -> None:
    answers = objects(0.7, wrong=True, times=100) + objects(0.9, times=100)
    one = tuned(FALSE, Evidence((), answers, census(10, at_70=300, at_90=200)))
    assert one.band == (0.35, 0.71)


# --- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefer", "meeting"), [(Prefer.MISSES, 0.4), (Prefer.FALSE_ALERTS, 0.55)])
def test_where_nothing_needs_to_be_asked_the_ends_meet_at_the_preferred_one(prefer: Prefer, meeting: float) -> None:
    evidence = Evidence(frames(0.55, times=300), (), census(10, at_39=500, at_70=10))
    one = tuned(BOTH.model_copy(update={"prefer": prefer}), evidence)
    assert one.band == (meeting, meeting)
    assert one.state is BandState.MET


def test_the_worse_state_is_said_and_both_reasons() -> None:
    one = tuned(BOTH, Evidence(frames(None, times=100)))
    assert one.state is BandState.INFEASIBLE
    assert "missed" in one.reason
    assert "0 of 30 drawn objects" in one.reason


# --- in steps -------------------------------------------------------------------------------------------------------


def test_a_day_s_steps_are_bounded_together() -> None:
    evidence = Evidence(frames(0.55, times=300))
    objective = MISSES.model_copy(update={"max_step_per_day": 0.05})
    held, bands = Held.at(START, NOW), []
    for hour in range(0, 24 * 5, 6):
        one = tuned(objective, evidence, held, now=NOW + hour * 3600)
        held = one.held
        bands.append(one.band[0])
    assert bands[:5] == [0.4, 0.4, 0.4, 0.4, 0.45]
    assert bands[-1] == 0.55
    assert tuned(objective, evidence).state is BandState.MOVING
    assert "0.55" in tuned(objective, evidence).reason


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    evidence = Evidence(frames(0.55, times=300))
    objective = MISSES.model_copy(update={"max_step_per_day": 0.05})
    ahead = tuned(objective, evidence, Held.at(START, NOW + 1e9))
    assert ahead.held.day_began_at == NOW
    assert ahead.band[0] == 0.4


def test_a_pinned_band_stays_and_its_figures_are_told() -> None:
    pin = PinnedBand(label="person", lower=0.3, upper=0.9)
    one = pinned(pin, Evidence(frames(0.2, 0.8, times=50)), confidence=0.9, floor=FLOOR, now=NOW)
    assert one.band == (0.3, 0.9)
    assert one.state is BandState.PINNED
    assert one.figures.miss_rate == 0.5


scores = st.floats(0.2, 1.0)


@given(
    found=st.lists(st.one_of(st.none(), scores), max_size=60),
    drawn=st.lists(st.tuples(scores, st.booleans()), max_size=60),
    days=st.floats(0.01, 30),
    held=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    step=st.floats(0.01, 1),
    prefer=st.sampled_from(Prefer),
)
def test_whatever_the_answers_a_band_is_one_and_steps_are_bounded(
    found: list[float | None],
    drawn: list[tuple[float, bool]],
    days: float,
    held: list[float],
    step: float,
    prefer: Prefer,
) -> None:
    objective = BOTH.model_copy(update={"max_step_per_day": step, "prefer": prefer})
    counts: dict[int, int] = {}
    for score, _ in drawn:
        counts[int(score * 100)] = counts.get(int(score * 100), 0) + 3
    evidence = Evidence(
        frames(*found),
        tuple(ObjectAnswer(NOW, 0.3, score, wrong) for score, wrong in drawn),
        Census(days * DAY_S, counts),
    )
    before = Held.at((held[0], held[1]), NOW)
    one = tuned(objective, evidence, before)
    assert 0.0 <= one.band[0] <= one.band[1] <= 1.0
    assert abs(one.band[0] - held[0]) <= step + 1e-4
    assert abs(one.band[1] - held[1]) <= step + 1e-4
    if len(found) < 30 and len(drawn) < 30 and days < 1:
        assert one.band == pytest.approx((held[0], held[1]), abs=1e-4)
