"""Which setting to use for a budget, out of what the runs came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.ask.budget import least_amount
from workbench.replay.budget import MOST_QUESTIONS, Amount, Budget, amount_of
from workbench.replay.policies import Policy

AS_GOOD: Final = 0.006
"""A difference in F1 that may be chance: with frames drawn at random at 5 % of the bytes, eight seeds differ with a
standard deviation of .003, on either half of PETS09-S2L1."""


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
    """

    budget: str | None
    looks: float

    @property
    def tables(self) -> tuple[str, ...]:
        """As they stand in the agent's TOML file, each under its heading, in several lines."""
        looks = f"[looks]\nper_frame = {self.looks:.12g}"
        if self.budget is None:
            return (looks,)
        asking = f'[asking.budget]\nbytes = "{self.budget}"\nquestions_per_minute = {MOST_QUESTIONS}'
        return (asking, looks)

    def for_programs(self) -> dict[str, object]:
        """The same as JSON, with null for the table `ask` where there shall be none."""
        looks = {"per_frame": self.looks}
        if self.budget is None:
            return {"ask": None, "looks": looks}
        return {"asking": {"budget": {"bytes": self.budget, "questions_per_minute": MOST_QUESTIONS}}, "looks": looks}


def on_device(
    policy: Policy, budget: Budget | None, *, streamed_per_s: float, looks: float, question_bytes: float
) -> OnDevice | None:
    """The settings of a run; None where no device can be told to do the like.

    Args:
        policy: The run's.
        budget: The run's.
        streamed_per_s: Bytes, if every frame were sent.
        looks: Second looks a frame.
        question_bytes: What the agent takes a question to cost. It refuses an amount that never holds one, with which
            nothing was asked in the run either; then it is told so in as many words.
    """
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
