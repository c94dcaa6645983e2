"""How soon an update may begin."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from agent.update.pace import Pace
from agent.update.settings import UpdateSettings
from tests.agent.update.worker.bench import START, wanted
from wire.updates import Window

NIGHT = Window(from_minute=120, to_minute=240)
NEVER = Window(from_minute=120, to_minute=120)
JITTERED = wanted(start_jitter_s=100.0)


@pytest.fixture
def pace() -> Pace:
    return Pace(UpdateSettings(retry_min_s=10.0, retry_max_s=40.0))


def no_chance() -> float:
    raise AssertionError("it was drawn already")


def test_the_jitter_is_drawn_once_for_each_start(pace):
    assert pace.pause_s(JITTERED, 1000.0, lambda: 0.5) == 50.0
    assert pace.pause_s(JITTERED, 1020.0, no_chance) == 30.0
    assert pace.pause_s(JITTERED, 1060.0, no_chance) == 0.0
    pace.outside_window()
    assert pace.pause_s(JITTERED, 2000.0, lambda: 0.25) == 25.0


def test_each_failure_in_a_row_makes_the_next_attempt_wait_longer_up_to_a_bound(pace):
    pauses = []
    for _ in range(4):
        pace.failed(1000.0, 1.0)
        pauses.append(pace.pause_s(wanted(), 1000.0, lambda: 0.0))
    assert pauses == [10.0, 20.0, 40.0, 40.0]
    pace.restart()
    assert pace.pause_s(wanted(), 1000.0, lambda: 0.0) == 0.0


def test_a_hurry_cuts_jitter_and_pause_short_but_waits_for_the_window(pace):
    pace.failed(1000.0, 1.0)
    pace.hurry(skips_windows=False)
    assert pace.pause_s(JITTERED, 1000.0, no_chance) == 0.0
    assert pace.opens_in_s(wanted(windows=(NIGHT,)), START) == timedelta(hours=14).total_seconds()


def test_windows_are_skipped_until_the_next_update(pace):
    pace.hurry(skips_windows=True)
    assert pace.opens_in_s(wanted(windows=(NIGHT,)), START) == 0.0
    pace.restart()
    assert pace.opens_in_s(wanted(windows=(NIGHT,)), START) > 0.0


def test_a_window_that_never_opens_is_infinitely_far(pace):
    assert pace.opens_in_s(wanted(windows=(NEVER,)), START) == math.inf
    assert pace.opens_in_s(wanted(), START) == 0.0
