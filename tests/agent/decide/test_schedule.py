"""When a rule applies."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.decide.schedule import Period, applies

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(day, clock):
    hour, minute = map(int, clock.split(":"))
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


def test_no_schedule_means_always():
    assert applies((), at(3, "04:00"))


def test_the_end_is_not_part_of_it():
    office = Period.model_validate({"days": ["mon", "tue"], "from": "08:00", "to": "17:00"})
    assert office.holds(at(0, "08:00"))
    assert office.holds(at(1, "16:59"))
    assert not office.holds(at(1, "17:00"))
    assert not office.holds(at(2, "12:00"))


def test_a_night_belongs_to_the_day_on_which_it_begins():
    night = Period.model_validate({"days": ["sun"], "from": "22:00", "to": "06:00"})
    assert night.holds(at(6, "23:00"))
    assert night.holds(at(7, "05:59")), "early on Monday"
    assert not night.holds(at(6, "05:00")), "Saturday's night"
    assert not night.holds(at(7, "06:00"))


def test_tomls_own_times_are_taken():
    assert Period.model_validate({"from": time(8, 30), "to": "24:00"}).holds(at(0, "23:59"))


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("08:00", "08:00", "whole day"),
        ("24:00", "08:00", "next day"),
        ("8", "09:00", "HH:MM"),
        ("08:60", "09:00", "HH:MM"),
        ("08:00", "24:01", "HH:MM"),
        (8, "09:00", "HH:MM"),
    ],
)
def test_bad_times_say_the_mend(start, end, said):
    with pytest.raises(ValidationError, match=said):
        Period.model_validate({"from": start, "to": end})


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 7 * 1440 - 1))
def test_a_daily_period_and_its_complement_cover_each_minute_once(start, end, minute):
    if start == end:
        return
    clock = [f"{m // 60:02}:{m % 60:02}" for m in (start, end)]
    inner = Period.model_validate({"from": clock[0], "to": clock[1]})
    outer = Period.model_validate({"from": clock[1], "to": clock[0]})
    local = MONDAY + timedelta(minutes=minute)
    assert inner.holds(local) != outer.holds(local)
