"""The budget: never more than the amount in any window, whatever happens to the clock, the file and the settings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.ask.budget import (
    BORROWED,
    MINUTE_S,
    SPAN,
    Allowance,
    AskBudget,
    Balance,
    BudgetSettings,
    Limits,
    allowance_of,
)

DAY_S = 86_400.0
EMPTY = Balance(others=0.0)


def budget(amount="1MB/day", balance=None, now=0.0, **values):
    return AskBudget(BudgetSettings(bytes=amount, **({"questions_per_minute": 6000} | values)), balance, now)


def spend_all(purse, now, *, camera="gate", cost=1000.0, urgent=False):
    """What can be spent at once, in questions of `cost` bytes."""
    spent = 0.0
    while purse.allows(camera, cost, now, urgent=urgent):
        purse.spend(camera, cost, now)
        spent += cost
    return spent


@pytest.mark.parametrize(
    ("text", "amount", "period_s"),
    [
        ("200MB/month", 200e6, 30 * DAY_S),
        ("5mb / day", 5e6, DAY_S),
        ("500kB/hour", 500e3, 3600.0),
        ("1.5GB/month", 1.5e9, 30 * DAY_S),
        ("900b/hour", 900.0, 3600.0),
        ("4MB/h", 4e6, 3600.0),
        ("20MB/d", 20e6, DAY_S),
        ("50MB/week", 50e6, 7 * DAY_S),
    ],
)
def test_amounts_are_read_as_people_write_them(text, amount, period_s):
    assert allowance_of(BudgetSettings(bytes=text).bytes) == Allowance(amount, period_s)


@pytest.mark.parametrize(
    "text", ["", "200MB", "200/month", "-5MB/day", "5MB/year", "5MB/min", "1e9MB/day", "5 MiB/day", "nan B/day"]
)
def test_an_amount_that_says_nothing_is_refused_with_an_example(text):
    with pytest.raises(ValidationError, match="200MB/month"):
        BudgetSettings(bytes=text)


@given(
    st.lists(
        st.tuples(st.floats(0, 7200), st.floats(0, 20_000), st.booleans(), st.sampled_from(("gate", "yard"))),
        max_size=200,
    )
)
def test_no_window_of_the_period_ever_holds_more_than_the_amount(steps):
    purse = budget("100kB/hour")
    now, spent = 0.0, []
    for gap_s, cost, urgent, camera in steps:
        now += gap_s
        if purse.allows(camera, cost, now, urgent=urgent):
            purse.spend(camera, cost, now)
            spent.append((now, cost))
    for end, _ in spent:
        assert sum(cost for at, cost in spent if end - 3600.0 < at <= end) <= 100_000 * (1 + 1e-9)


def test_the_first_start_begins_with_a_full_bucket_and_what_comes_in_is_the_rest():
    purse = budget("1MB/day")
    assert spend_all(purse, 0.0) == pytest.approx(1e6 * SPAN * (1 - BORROWED), abs=1000)
    assert not purse.allows("gate", 1000, 10.0)
    assert spend_all(purse, DAY_S / 2) == pytest.approx(1e6 * SPAN * (1 - BORROWED), abs=1000)


def test_only_what_is_urgent_borrows_and_it_is_paid_back_first():
    purse = budget("1MB/day", EMPTY)
    assert not purse.allows("gate", 1000, 0.0)
    borrowed = spend_all(purse, 0.0, urgent=True)
    assert borrowed == pytest.approx(1e6 * SPAN * BORROWED, abs=1000)
    earned_per_s = 1e6 * (1 - SPAN) / DAY_S
    assert not purse.allows("gate", 1000, 0.9 * borrowed / earned_per_s)
    assert purse.allows("gate", 1000, 1.2 * borrowed / earned_per_s)


def test_a_camera_has_no_more_than_its_own_and_no_more_than_the_device():
    purse = budget("10MB/day", cameras={"gate": Limits(bytes="100kB/day")})
    assert spend_all(purse, 0.0, camera="gate") == pytest.approx(100e3 * SPAN * (1 - BORROWED), abs=1000)
    assert spend_all(purse, 0.0, camera="yard") > 300e3
    assert not purse.allows("yard", 10_000, 0.0)


def test_questions_are_counted_by_the_minute_for_the_device_and_each_camera():
    purse = budget("unlimited", questions_per_minute=3, each_camera=Limits(questions_per_minute=2))
    for _ in range(2):
        purse.spend("gate", 1.0, 0.0)
    assert not purse.allows("gate", 1.0, 1.0)
    purse.spend("yard", 1.0, 1.0)
    assert not purse.allows("yard", 1.0, 2.0)
    assert purse.allows("gate", 1.0, MINUTE_S)


def test_what_is_left_survives_a_restart_and_being_off_earns_nothing():
    purse = budget("1MB/day")
    spend_all(purse, 0.0)
    again = budget("1MB/day", purse.balance(), now=1e9)
    assert not again.allows("gate", 1000, 1e9)
    assert again.allows("gate", 1000, 1e9 + 600)


def test_what_is_owed_survives_restarts_and_the_same_settings_read_again():
    purse = budget("1MB/day")
    purse.spend("gate", 60_000.0, 0.0)
    purse.settle("gate", 40_000.0, 0.0)
    owed = purse.balance().left[""]
    assert owed < -1e6 * SPAN * BORROWED
    for _ in range(3):
        purse = budget("1MB/day", purse.balance())
        bar = purse.bar("gate", 0.0)
        purse.spend("gate", 10.0, 0.0)
        purse.reconfigure(purse.settings, 0.0)
        assert purse.bar("gate", 0.0) > bar, "and so does what was spent just now"
    assert purse.balance().left[""] == pytest.approx(owed - 30)


@pytest.mark.parametrize("left", [-1e300, -2e6])
def test_no_number_in_the_file_silences_a_device_for_longer_than_a_period(left):
    purse = budget("1MB/day", Balance({"": left}))
    assert not purse.allows("gate", 1000.0, DAY_S * 0.9)
    assert purse.allows("gate", 1000.0, DAY_S * 1.1)


def test_crash_after_crash_takes_off_no_more_than_what_may_be_borrowed():
    written = None
    for _ in range(1000):
        written = budget("200MB/month", written).to_keep(0.0)
    assert written.left[""] == pytest.approx(-200e6 * SPAN * BORROWED)
    owed = Balance({"": -100e6})
    assert budget("200MB/month", owed).to_keep(0.0) == owed


def test_a_clock_that_goes_back_earns_nothing():
    purse = budget("1MB/day", EMPTY, now=1000.0)
    for now in (1000.0, 0.0, 1000.0, 0.0, 1000.0):
        assert not purse.allows("gate", 1.0, now)


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100_000)), max_size=60), st.integers(0, 59))
def test_what_is_written_down_is_never_more_than_there_is(steps, crash):
    purse = budget("2MB/hour")
    now, written = 0.0, None
    for number, (gap_s, cost) in enumerate(steps):
        now += gap_s
        if purse.allows("gate", cost, now):
            purse.spend("gate", cost, now)
        written = purse.to_keep(now) or written
        assert written is not None
        for name, left in written.left.items():
            assert left <= purse.balance().left[name] + 1e-6
        if number == crash:
            purse = budget("2MB/hour", written, now)


def test_a_busy_budget_is_not_written_at_every_question():
    purse = budget("200MB/month")
    writings = 0
    for number in range(200):
        if purse.allows("gate", 3000, number / 10):
            purse.spend("gate", 3000, number / 10)
        writings += purse.to_keep(number / 10) is not None
    assert 1 <= writings <= 12


def test_the_bar_rises_with_what_is_spent_and_sinks_with_time():
    purse = budget("1MB/hour", EMPTY)
    purse.allows("gate", 1.0, 30.0)
    low = purse.bar("gate", 30.0)
    purse.spend("gate", 6000, 30.0)
    high = purse.bar("gate", 30.0)
    assert high > low
    assert low <= purse.bar("gate", 60.0) < high


def test_a_question_that_cost_more_than_thought_is_made_up_for():
    purse = budget("1MB/hour", EMPTY)
    assert purse.allows("gate", 2000, 10.0)
    purse.spend("gate", 2000, 10.0)
    left = purse.balance().left[""]
    purse.settle("gate", 500.0, 10.0)
    assert purse.balance().left[""] == pytest.approx(left - 500)
    purse.settle("gate", -1e12, 10.0)
    assert purse.balance().left[""] <= 1e6 * SPAN


@given(st.lists(st.sampled_from(("1MB/day", "unlimited", "5kB/hour", "1GB/month")), max_size=8))
def test_new_settings_fill_no_bucket(amounts):
    purse = budget("1MB/day")
    spend_all(purse, 0.0)
    for amount in amounts:
        purse.reconfigure(BudgetSettings(bytes=amount), 0.0)
    purse.reconfigure(BudgetSettings(bytes="1MB/day"), 0.0)
    assert not purse.allows("gate", 1001.0, 0.0)


def test_without_a_limit_anything_goes_and_nothing_is_kept():
    purse = budget("unlimited")
    purse.spend("gate", 1e15, 0.0)
    assert purse.allows("gate", 1e15, 0.0)
    assert purse.balance().left == {}
    assert math.isfinite(purse.bar("gate", 0.0))


def test_questions_about_objects_never_use_up_what_an_alert_waits_for():
    purse = AskBudget(BudgetSettings(bytes="unlimited", questions_per_minute=2), None, 0.0)
    for _ in range(2):
        purse.spend("gate", 1000.0, 0.0)
    assert not purse.allows("gate", 1000.0, 0.0)
    assert purse.allows("gate", 1000.0, 0.0, alert=True)


def test_it_tells_what_is_left_spent_and_borrowed_and_how_high_the_bar_is():
    purse = budget("1MB/day", questions_per_minute=3, cameras={"gate": Limits(bytes="100kB/day")})
    device = purse.told(0.0)
    assert [(one.camera, one.allowance, one.left, one.most, one.spent) for one in device] == [
        (None, "1MB/day", 37_500, 37_500, 0)
    ]

    purse.spend("gate", 4000.0, 0.0)
    purse.settle("gate", 250.0, 0.0)
    purse.spend("yard", 1000.0, 0.0)
    whole, gate, yard = purse.told(0.0)
    assert (whole.left, whole.spent, whole.questions_left, whole.borrowed) == (32_250, 5250, 1, 0)
    assert (gate.camera, gate.left, gate.borrowed, gate.spent) == ("gate", 0, 500, 4250)
    assert (yard.camera, yard.allowance, yard.left, yard.most, yard.spent) == ("yard", "unlimited", None, None, 1000)
    assert gate.bar > whole.bar > device[0].bar
    assert whole.bar == pytest.approx(1000 * purse.bar("yard", 0.0), rel=1e-3)

    later = purse.told(MINUTE_S)
    assert later[0].questions_left == 3
    assert later[0].left is not None
    assert later[0].left > 32_250
    assert later[0].bar < whole.bar


@given(st.floats(0, 1e15), st.sampled_from(("1B/hour", "999999999999TB/hour", "unlimited")), st.floats(0, 1e9))
def test_whatever_was_spent_can_be_told(cost, amount, later):
    purse = budget(amount)
    purse.spend("gate", cost, 0.0)
    assert all(one.left is None or one.left >= 0 for one in purse.told(later))
