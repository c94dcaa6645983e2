"""When an update may begin."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.update.schedule import backoff_s, opens_in_s
from wire.updates import Window

MONDAY = datetime(2026, 3, 2)  # noqa: DTZ001 - the time of day on the device's own wall
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NIGHT = Window(from_minute=22 * 60, to_minute=4 * 60)


def at(hour, minute=0, day=0):
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("windows", "local", "opens"),
    [
        ((), at(12), 0),
        ((Window(),), at(12), 0),
        ((NIGHT,), at(23), 0),
        ((NIGHT,), at(3, 59), 0),
        ((NIGHT,), at(4), 18 * 3600),
        ((Window(days=("sun",), from_minute=1320, to_minute=240),), at(3), 0),
        ((Window(days=("mon",), from_minute=1320, to_minute=240),), at(3), 19 * 3600),
        ((Window(days=("mon",), from_minute=60, to_minute=120),), at(2), 7 * 86_400 - 3600),
        ((Window(from_minute=60, to_minute=60),), at(1), None),
        ((Window(from_minute=60, to_minute=60), NIGHT), at(21), 3600),
    ],
)
def test_windows(windows, local, opens):
    assert opens_in_s(windows, local) == opens


@given(
    days=st.lists(st.sampled_from(DAYS), unique=True),
    begin=st.integers(0, 1440),
    end=st.integers(0, 1440),
    minute=st.integers(0, 7 * 1440),
)
def test_when_it_opens_it_is_open_and_not_before(days, begin, end, minute):
    window = (Window(days=tuple(days), from_minute=begin, to_minute=end),)
    local = MONDAY + timedelta(minutes=minute)
    opens = opens_in_s(window, local)
    assert (opens is None) == (begin == end)
    if opens:
        assert opens_in_s(window, local + timedelta(seconds=opens)) == 0
        assert opens_in_s(window, local + timedelta(seconds=opens - 1)) == 1
        assert opens <= 7 * 86_400


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_and_stay_within_bounds(failures, chance):
    pause = backoff_s(failures, min_s=5, max_s=600, chance=chance)
    assert 2.5 <= pause <= 600
    assert pause <= backoff_s(failures + 1, min_s=5, max_s=600, chance=chance)
