"""Which setting to use for a budget, out of what the runs came to, and what a device is told for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from agent.ask.budget import allowance_of, least_amount
from workbench.replay.budget import MOST_QUESTIONS, PERIODS_S, Amount, Budget, amount_of
from workbench.replay.policies import Policy

AS_GOOD: Final = 0.006
"""A difference in F1 that may be chance: with frames drawn at random at 5 % of the bytes, eight seeds differ with a
standard deviation of .003, on either half of PETS09-S2L1."""
PERIODS: Final = ("hour", "day", "week", "month")
"""Of the agent's budget, as a replay tells them."""


@dataclass(frozen=True, slots=True)
class Point:
    """A setting, its cost and its catch.

    Attributes:
        name: As the command line has it, such as `ours 5%`.
        share: Of what sending every frame would take.
        f1: Against whatever was measured against.
    """

    name: str
    share: float
    f1: float


@dataclass(frozen=True, slots=True)
class OnDevice:
    """What a device is told so that it does as it did in a run; all else as it was there.

    Attributes:
        budget: `asking.budget.bytes`; None: it asks nothing, as without the table `[ask]`.
        looks: `looks.per_frame`.
        refused: Why the agent would not start so, and what to do; there is nothing to copy then.
        lacks_ask: The agent's file has no table `[ask]` yet.
    """

    budget: str | None
    looks: float
    refused: str | None = None
    lacks_ask: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        """As they stand in the agent's TOML file, each under its heading, in several lines."""
        if self.refused is not None:
            return ()
        looks = f"[looks]\nper_frame = {self.looks:.12g}"
        if self.budget is None:
            return (looks,)
        asking = f'[asking.budget]\nbytes = "{self.budget}"\nquestions_per_minute = {MOST_QUESTIONS}'
        return (asking, looks)

    @property
    def beside(self) -> str:
        """What the file must have, or must not have, beside them."""
        if self.refused is not None:
            return ""
        if self.budget is None:
            return "And no table [ask]."
        return "And a table [ask], which the file does not have yet." if self.lacks_ask else ""

    def for_programs(self) -> dict[str, object] | None:
        """The same as JSON, with null for the table `ask` where there shall be none."""
        if self.refused is not None:
            return None
        looks = {"per_frame": self.looks}
        if self.budget is None:
            return {"ask": None, "looks": looks}
        return {"asking": {"budget": {"bytes": self.budget, "questions_per_minute": MOST_QUESTIONS}}, "looks": looks}

    def within(self, file: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an agent's file with these among them, as `tables` and `beside` say."""
        values = {**file, "looks": {**file.get("looks", {}), "per_frame": self.looks}}
        if self.budget is None:
            values.pop("ask", None)
            return values
        asking = file.get("asking", {})
        budget = {**asking.get("budget", {}), "bytes": self.budget, "questions_per_minute": MOST_QUESTIONS}
        return {**values, "asking": {**asking, "budget": budget}}


class Checks(Protocol):
    """Holds settings against the agent's file that was replayed; by the agent's own word.

    Attributes:
        name: The file's.
        asks: It has the table `[ask]`.
        cameras: How many it has.
    """

    name: str
    asks: bool
    cameras: int

    def complaint(self, chosen: OnDevice) -> str | None:
        """What the agent says against them in that file; None where it takes them."""


def on_device(
    policy: Policy,
    budget: Budget | None,
    *,
    streamed_per_s: float,
    looks: float,
    question_bytes: float,
    checks: Checks | None = None,
) -> OnDevice | None:
    """The settings of a run; None where no device can be told to do the like.

    Args:
        policy: The run's.
        budget: The run's.
        streamed_per_s: Bytes, if every frame were sent.
        looks: Second looks a frame.
        question_bytes: What the agent takes a question to cost. It refuses an amount that never holds one, with which
            nothing was asked in the run either; then it is told so in as many words.
        checks: The agent's file, where one was replayed.
    """
    chosen = _alike(policy, budget, streamed_per_s, looks, question_bytes)
    if chosen is None or checks is None:
        return chosen
    return replace(chosen, refused=_refused(chosen, checks), lacks_ask=not checks.asks)


def _alike(
    policy: Policy, budget: Budget | None, streamed_per_s: float, looks: float, question_bytes: float
) -> OnDevice | None:
    match policy:
        case Policy.NEVER:
            return OnDevice(None, looks)
        case Policy.TRACKER_ONLY:
            return OnDevice(None, 0.0)
        case Policy.OURS if budget is not None:
            amount = amount_of(budget, streamed_per_s).told
            holds_one = least_amount(amount, question_bytes) is None
            return OnDevice(amount if holds_one else Amount(0.0, budget.period).told, looks)
        case _:
            return None


def _refused(chosen: OnDevice, checks: Checks) -> str | None:
    complaint = checks.complaint(chosen)
    if complaint is None:
        return None
    said = f"`vedette-agent check` refuses {checks.name}: {complaint}."
    for amount in _longer(chosen.budget):
        if checks.complaint(replace(chosen, budget=amount)) is None:
            return f"{said} It takes as much over a longer time: replay {amount}."
    return said


def _longer(budget: str | None) -> Iterator[str]:
    """As many bytes a second as this amount, for each longer period."""
    allowance = None if budget is None else allowance_of(budget)
    if allowance is not None:
        longer = [period for period in PERIODS if PERIODS_S[period] > allowance.period_s]
        for period in longer:
            yield Amount(allowance.amount * PERIODS_S[period] / allowance.period_s, period).told


def best_within(points: Sequence[Point], share: float) -> Point | None:
    """The setting to use where so much may be sent: of those that catch the most, or nearly, the cheapest.

    None where every setting takes more.
    """
    affordable = [point for point in points if point.share <= share]
    if not affordable:
        return None
    most = max(point.f1 for point in affordable)
    return min(
        (point for point in affordable if point.f1 >= most - AS_GOOD), key=lambda point: (point.share, -point.f1)
    )
