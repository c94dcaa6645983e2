"""What the bands promise, held against a thousand simulated cameras of which every object is known. Seeded.

What is measured is in `docs/objectives.md`; `pytest -s` on this file prints it anew.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from agent.tune.bands import Band, Held, tune
from agent.tune.evidence import Evidence
from agent.tune.settings import Objective
from tests.agent.tune.cameras import FLOOR, Camera, camera
from wire.messages import BandState

pytestmark = [pytest.mark.parts, pytest.mark.computing, pytest.mark.timeout(600)]

CAMERAS = 1000
START: Band = (0.35, 0.6)
OBJECTIVE = Objective(max_miss_rate=0.1, max_false_alerts_per_day=2, max_step_per_day=1.0)
DELTA = 1 - OBJECTIVE.confidence


@dataclass(frozen=True)
class Run:
    state: BandState
    attainable: bool
    lower: float
    least: float
    upper: float
    miss_rate: float
    false_per_day: float
    asked_share: float
    frames: int


def run(random: np.random.Generator, seen: Camera) -> Run:
    evidence = seen.sample(random)
    tuned = tune(OBJECTIVE, evidence, Held.at(START, 0.0), start=START, floor=FLOOR, now=1.0)
    lower, upper = tuned.band
    return Run(
        tuned.state,
        seen.miss_rate(FLOOR) <= 0.1,
        lower,
        _highest(seen),
        upper,
        seen.miss_rate(lower),
        seen.false_per_day(upper),
        seen.asked_share(lower, upper),
        len(evidence.frames),
    )


def _highest(seen: Camera) -> float:
    """The highest lower end that keeps the objective: what somebody who knew all would take."""
    low, high = 20, 100
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if seen.miss_rate(middle / 100) <= 0.1 else (low, middle - 1)
    return low / 100


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    random = np.random.default_rng(20261126)
    return [run(random, camera(random)) for _ in range(CAMERAS)]


def test_more_is_missed_than_allowed_in_no_more_runs_than_promised(runs: list[Run]) -> None:
    met = [one for one in runs if one.state is BandState.MET]
    attainable = [one for one in runs if one.attainable]
    over = [one for one in attainable if one.miss_rate > 0.1]
    assert sum(one.miss_rate > 0.1 for one in met) / len(runs) <= DELTA
    assert len(over) / len(attainable) <= DELTA
    sys.stdout.write(
        f"\n{len(runs)} cameras, {np.median([one.frames for one in runs]):.0f} audited frames with something there:"
        f" {dict(Counter(str(one.state) for one in runs))}; attainable {len(attainable)}"
        f"\nmissed more than .1 where it is met: {sum(one.miss_rate > 0.1 for one in met)};"
        f" where it is attainable: {len(over)}; said to be infeasible where it is not:"
        f" {sum(one.state is BandState.INFEASIBLE for one in attainable)}"
        f"\nmet: lower end {np.mean([one.lower for one in met]):.3f}, who knew all:"
        f" {np.mean([one.least for one in met]):.3f}; missed {np.mean([one.miss_rate for one in met]):.3f}"
    )


def test_false_alerts_are_more_than_allowed_in_no_more_runs_than_promised(runs: list[Run]) -> None:
    over = sum(one.false_per_day > 2 for one in runs)
    assert over / len(runs) <= DELTA
    sys.stdout.write(
        f"\nover 2 false alerts a day: {over} of {len(runs)}; upper end {np.mean([one.upper for one in runs]):.3f},"
        f" false alerts a day {np.mean([one.false_per_day for one in runs]):.2f},"
        f" asked about {np.mean([one.asked_share for one in runs]):.2f} of the objects"
    )


def test_what_can_be_kept_is_rarely_called_infeasible(runs: list[Run]) -> None:
    wrongly = [one for one in runs if one.state is BandState.INFEASIBLE and one.attainable]
    assert len(wrongly) / len(runs) <= DELTA
    assert sum(one.state is BandState.INFEASIBLE for one in runs) >= 0.5 * sum(not one.attainable for one in runs)


def test_the_bands_are_of_use(runs: list[Run]) -> None:
    """Or a promise would be no art: ignoring nothing and being sure of nothing keeps every objective."""
    attainable = [one for one in runs if one.attainable]
    met = [one for one in runs if one.state is BandState.MET]
    assert len(met) >= 0.5 * len(attainable)
    assert np.mean([one.least - one.lower for one in met]) <= 0.1
    assert np.mean([one.asked_share for one in runs]) <= 0.6


def test_who_decides_after_each_answer_is_misled_no_more_often() -> None:
    """Over a month, frames in the order in which they came; steps are not bounded here, so nothing hides."""
    random = np.random.default_rng(3)
    misled, attainable = 0, 0
    for _ in range(150):
        seen = camera(random, frames=2500)
        if seen.miss_rate(FLOOR) > 0.1:
            continue
        attainable += 1
        answers = seen.sample(random).frames
        held, over = Held.at((FLOOR, 0.6), 0.0), False
        for count in range(30, len(answers), 8):
            one = tune(
                Objective(max_miss_rate=0.1, max_step_per_day=1.0),
                Evidence(answers[:count]),
                held,
                start=START,
                floor=FLOOR,
                now=1.0,
            )
            over |= one.state is BandState.MET and seen.miss_rate(one.band[0]) > 0.1
        misled += over
    assert attainable > 50
    assert misled / attainable <= DELTA
    sys.stdout.write(f"\nmisled at any time: {misled} of {attainable}")


def test_what_the_reference_gets_wrong_comes_on_top_and_no_more() -> None:
    """With a twentieth of its objects made up and as many overlooked: the true miss rate stays below what is allowed
    and what it overlooks; what it makes up only makes the bands more careful."""
    random = np.random.default_rng(4)
    over_reference, over_truth, met, blind, true = 0, 0, 0, [], []
    for _ in range(300):
        seen = camera(random, frames=3000, made_up=0.05, overlooked=0.05)
        objective = Objective(max_miss_rate=0.15, max_step_per_day=1.0)
        evidence = Evidence(seen.sample(random).frames)
        one = tune(objective, evidence, Held.at(START, 0.0), start=START, floor=FLOOR, now=1.0)
        if one.state is not BandState.MET:
            continue
        met += 1
        overlooked = len(seen.overlooked) / (len(seen.overlooked) + seen.truly_there.sum())
        blind.append(overlooked)
        true.append(seen.true_miss_rate(one.band[0]))
        over_reference += seen.miss_rate(one.band[0]) > 0.15
        over_truth += true[-1] > 0.15 + overlooked
    assert met > 50
    assert over_reference / met <= DELTA
    assert over_truth / met <= DELTA
    sys.stdout.write(
        f"\nmet: {met}; over .15 in the reference's eyes: {over_reference}; truly over .15 and what it overlooks"
        f" ({np.mean(blind):.3f}): {over_truth}; truly missed {np.mean(true):.3f}, at most {np.max(true):.3f}"
    )
