import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ask.budget import BudgetSettings, allowance_of, least_amount
from agent.detect.settings import LookSettings
from tests.workbench.replay.pasting import pasted
from workbench.replay.advice import AS_GOOD, OnDevice, Point, best_within, on_device
from workbench.replay.budget import MOST_AN_HOUR, Rate, Share, amount_of, parse_budget
from workbench.replay.policies import Policy

QUESTION = 2500.0

SHARES = st.floats(0, 1)
POINTS = st.lists(st.builds(Point, st.just("a setting"), SHARES, SHARES), min_size=1, max_size=20)


def test_the_cheapest_of_the_best_is_advised():
    cheap, dear, better = Point("cheap", 0.0, 0.9), Point("dear", 0.5, 0.901), Point("better", 0.02, 0.95)
    assert best_within([cheap, dear, better], 1.0) is better
    assert best_within([cheap, dear], 1.0) is cheap
    assert best_within([cheap, dear, better], 0.01) is cheap
    assert best_within([dear, better], 0.01) is None


@given(POINTS, SHARES)
def test_advice_stays_within_the_budget_and_is_nearly_the_best(points, share):
    found = best_within(points, share)
    affordable = [point for point in points if point.share <= share]
    assert (found is None) == (not affordable)
    if found is not None:
        assert found.share <= share
        assert found.f1 >= max(point.f1 for point in affordable) - AS_GOOD


def set_for(policy, budget=None, streamed_per_s=760_000.0, looks=2.3):
    return on_device(policy, budget, streamed_per_s=streamed_per_s, looks=looks, question_bytes=QUESTION)


@pytest.mark.parametrize(
    ("budget", "amount"),
    [
        (Share(0.05, "5%"), "136.8MB/hour"),
        (Share(0.01, "1%"), "27.36MB/hour"),
        (parse_budget("4MB/h"), "4MB/hour"),
        (parse_budget("200MB/month"), "200MB/month"),
        (parse_budget("4kB/min"), "240kB/hour"),
        (Share(0.0, "0%"), "0kB/hour"),
        (Rate(1.0, "1B/s"), "0kB/hour"),
        (parse_budget("10kB/month"), "0kB/month"),
        (Rate(1e300, "a lot"), "999GB/hour"),
    ],
    ids=lambda value: getattr(value, "text", value),
)
def test_what_our_own_run_is_on_a_device(budget, amount):
    chosen = set_for(Policy.OURS, budget)
    assert chosen == OnDevice(amount, 2.3)
    assert chosen.tables == (
        f'[asking.budget]\nbytes = "{amount}"\nquestions_per_minute = 6000',
        "[looks]\nper_frame = 2.3",
    )


def test_a_device_that_asks_nothing_has_no_table_for_it():
    assert set_for(Policy.NEVER).tables == ("[looks]\nper_frame = 2.3",)
    assert set_for(Policy.NEVER).for_programs() == {"ask": None, "looks": {"per_frame": 2.3}}
    assert set_for(Policy.TRACKER_ONLY).tables == ("[looks]\nper_frame = 0",)


@pytest.mark.parametrize("policy", sorted(set(Policy) - {Policy.OURS, Policy.NEVER, Policy.TRACKER_ONLY}))
def test_what_is_there_to_compare_is_no_setting(policy):
    assert set_for(policy, Share(0.05, "5%")) is None


@given(
    st.one_of(
        st.builds(Share, st.floats(0, 1), st.just("")),
        st.builds(Rate, st.floats(0, 1e15), st.just(""), st.sampled_from(["hour", "day", "week", "month"])),
    ),
    st.floats(1, 1e9),
    st.floats(0, 16),
)
def test_the_agent_takes_the_tables_as_they_stand(budget, streamed_per_s, looks):
    chosen = set_for(Policy.OURS, budget, streamed_per_s, looks)
    read = tomllib.loads("\n".join(chosen.tables))
    LookSettings.model_validate(read["looks"])
    told = BudgetSettings.model_validate(read["asking"]["budget"])
    assert read["looks"].pop("per_frame") == pytest.approx(looks, rel=1e-9)
    assert read["asking"] == chosen.for_programs()["asking"]
    assert least_amount(told.bytes, QUESTION) is None, "the agent would not start"
    allowance = allowance_of(told.bytes)
    most = amount_of(budget, streamed_per_s)
    wanted, hours = most.bytes, allowance.period_s / 3600
    assert most.period in told.bytes
    assert wanted <= MOST_AN_HOUR * hours
    assert allowance.amount <= wanted * (1 + 1e-9)
    if allowance.amount:
        assert allowance.amount >= wanted * 0.999 - 1
    else:
        assert least_amount(f"{wanted:.0f}B/{most.period}", QUESTION * 1.01) is not None or wanted < 1


FILE = """
[asking]
deadline_s = 5

[asking.budget]
bytes = "1MB/day"   # a comment

[looks]
per_frame = "auto"
"""


@pytest.mark.parametrize("file", ["", FILE, FILE[: FILE.index("[looks]")]])
def test_the_tables_go_into_a_file_as_is_said_of_them(file):
    """Each line under the table of its name, in place of the same key; a table that is not there yet is added."""
    chosen = set_for(Policy.OURS, parse_budget("200MB/month"))
    read = tomllib.loads(pasted(file, chosen.tables))
    assert read["asking"]["budget"] == {"bytes": "200MB/month", "questions_per_minute": 6000}
    assert read["looks"] == {"per_frame": 2.3}
