import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ask.budget import allowance_of
from workbench.errors import BudgetUnclear
from workbench.replay.budget import MOST_AN_HOUR, PERIODS_S, UNITS, Purse, Rate, Share, amount_of, parse_budget

AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=3, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "per_s"),
    [
        ("20kB/min", 20_000 / 60),
        ("200MB/month", 200e6 / (30 * 86_400)),
        (" 4 mb per hour ", 4e6 / 3600),
        ("1KiB/s", 1024.0),
        (".5GB/day", 0.5e9 / 86_400),
    ],
)
def test_an_amount_in_a_time(text, per_s):
    assert parse_budget(text).per_s(1.0) == pytest.approx(per_s)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0%", 0.0), ("100 %", 1.0), ("2.5%", 0.025)])
def test_a_share_of_sending_everything(text, share):
    assert parse_budget(text).per_s(1000.0) == pytest.approx(share * 1000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no budget"),
        ("5", "no budget"),
        ("-5%", "no budget"),
        ("101%", "more than sending every frame"),
        ("5MB", "no budget"),
        ("5 bananas/day", "no unit 'bananas'"),
        ("5MB/fortnight", "no time 'fortnight'"),
        ("٥%", "no budget"),
        ("9" * 400 + "GB/s", "more than there is"),
    ],
)
def test_what_says_nothing_is_refused_with_a_mend(text, said):
    with pytest.raises(BudgetUnclear, match=said) as refused:
        parse_budget(text)
    assert refused.value.mend


@given(
    AMOUNTS,
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(sorted(PERIODS_S)),
    st.sampled_from(["/", " / ", " per "]),
)
def test_every_unit_and_time_is_read(amount, unit, period, between):
    budget = parse_budget(f"{amount}{unit}{between}{period}")
    assert isinstance(budget, Rate)
    assert budget.bytes_per_s * PERIODS_S[period] == pytest.approx(float(amount) * UNITS[unit])


def test_the_agent_can_be_told_of_the_most_that_there_is():
    most = amount_of(parse_budget("300MB/s"), 1.0)
    assert (most.bytes, most.period) == (MOST_AN_HOUR, "hour")
    assert allowance_of(most.exact).amount == MOST_AN_HOUR
    month = amount_of(parse_budget("999999GB/month"), 1.0)
    assert allowance_of(month.exact).amount == pytest.approx(720 * MOST_AN_HOUR)
    assert month.told == "719.2TB/month"


@given(AMOUNTS, st.sampled_from(["kB", "MB", "GiB"]), st.sampled_from(["h", "hour", "d", "day", "week", "month"]))
def test_the_agent_is_told_what_the_person_wrote_in_the_same_period(amount, unit, period):
    told = amount_of(parse_budget(f"{amount}{unit}/{period}"), 1.0)
    written = float(amount) * UNITS[unit.lower()]
    assert told.period.startswith(period)
    if written < MOST_AN_HOUR:
        assert allowance_of(told.exact).amount == pytest.approx(written, abs=1)
        assert allowance_of(told.told).period_s == PERIODS_S[period]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("200MB/month", "200MB/month"),
        ("7 MB per d", "7MB/day"),
        ("1.5GB/week", "1.5GB/week"),
        ("20kB/min", "1.2MB/hour"),
        ("5%", "180kB/hour"),
    ],
)
def test_the_amount_is_told_in_the_unit_that_it_was_written_in(text, told):
    assert amount_of(parse_budget(text), 1000.0).told == told


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        budget = parse_budget(text)
    except BudgetUnclear:
        return
    assert budget.per_s(1.0) >= 0.0


@given(
    st.one_of(st.builds(Share, st.floats(0, 1), st.just("")), st.builds(Rate, st.floats(0, 1e6), st.just(""))),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100_000), st.integers(0, 100_000)), max_size=50),
)
def test_a_purse_never_spends_more_than_it_earned(budget, frames):
    purse = Purse(budget)
    at = spent = earned = 0.0
    for place, (gap_s, whole, wanted) in enumerate(frames):
        at += gap_s
        earned += budget.grant(gap_s if place else 0.0, whole)
        purse.earn(at, whole)
        if purse.take(wanted):
            spent += wanted
        assert spent <= earned * (1 + 1e-9) + 1e-6


def test_without_a_budget_everything_can_be_paid():
    purse = Purse(None)
    purse.earn(0.0, 10)
    assert purse.take(10**12)


def test_what_is_not_spent_is_kept():
    purse = Purse(Share(0.5, "50%"))
    for frame in range(3):
        purse.earn(frame / 10, 100)
        assert purse.take(120) == (frame == 2)
    assert not purse.take(31)
    assert purse.take(30)
