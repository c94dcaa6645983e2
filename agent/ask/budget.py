"""What asking may cost, and how much of that is left. Pure: time is handed in.

An allowance of so many bytes a period is a bucket. It holds a twentieth of the amount and fills so slowly that in no
window of that length, wherever it begins, more than the amount is spent: what the bucket holds at the most and what
flows in meanwhile make the whole of it. A part of what it holds is kept for rules that are urgent.

What is left goes over a restart as a `Balance`. Time counts only while the agent runs, by a clock that is never set:
neither a wrong clock nor being switched off and on fills a bucket.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from agent.settings import Settings
from wire.fields import Name
from wire.messages import BudgetLeft

SPAN: Final = 1 / 20
"""Of an amount, what a bucket holds, borrowing included: of a month, what a day and a half brings."""
BORROWED: Final = 0.25
"""Of the span, what only urgent rules may take."""
HORIZON_S: Final = 600.0
"""What is saved is meant to last at least so long: the bar stays low while less is spent."""
PACE_S: Final = 10.0
"""How fast the bar follows what is spent."""
LOWEST_BAR: Final = 1e-6
HIGHEST_BAR: Final = 1e-1
"""In gain for each byte; see `agent.ask.gain`. A question of 3 kB passes the lowest from a gain of .003 on."""
KB: Final = 1000.0
MOST_TOLD: Final = 2.0**53
"""Bytes, in telemetry: beyond, readers in JavaScript would misread them."""
MINUTE_S: Final = 60.0
KEEP_EVERY_S: Final = 600.0
"""A card wears out by writing, and a crash may cost what ten minutes gave."""
RESERVE_BYTES: Final = 65_536.0
"""Some twenty questions, between two writings."""

UNLIMITED: Final = "unlimited"

_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "t": 1_000_000_000_000}
_DAY_S: Final = 86_400.0
_PERIODS_S: Final = {
    "hour": 3_600.0, "h": 3_600.0, "day": _DAY_S, "d": _DAY_S, "week": 7 * _DAY_S, "month": 30 * _DAY_S,
}  # fmt: skip
"""Those from an hour on that `vedette replay --budget` knows."""
_ALLOWANCE: Final = re.compile(
    rf"\s*(\d{{1,12}}(?:\.\d{{1,6}})?)\s*([kmgt]?)b\s*/\s*({'|'.join(_PERIODS_S)})\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many bytes in any window of so many seconds."""

    amount: float
    period_s: float


def allowance_of(text: str) -> Allowance | None:
    """What a person wrote, as numbers; None where it is `unlimited`.

    Raises:
        ValueError: It is neither.
    """
    if text == UNLIMITED:
        return None
    read = _ALLOWANCE.fullmatch(text)
    if read is None:
        msg = 'is an amount for each hour, day, week or month: write for example "200MB/month" or "500kB/hour"'
        raise ValueError(msg)
    number, unit, period = read.groups()
    return Allowance(float(number) * _UNITS[unit.lower()], _PERIODS_S[period.lower()])


def least_amount(text: str, question: float, *, urgent: bool = False) -> str | None:
    """The least that is enough for a question of so many bytes in the same period; None where this is, or is 0.

    An urgent question may take what is borrowed as well.
    """
    allowance = allowance_of(text)
    held = SPAN if urgent else SPAN * (1 - BORROWED)
    if allowance is None or not 0.0 < allowance.amount * held < question:
        return None
    period = next(name for name, seconds in _PERIODS_S.items() if seconds == allowance.period_s)
    return f"{math.ceil(question / held / KB)}kB/{period}"


def _readable(text: str) -> str:
    allowance_of(text)
    return text


Bytes = Annotated[str, AfterValidator(_readable)]
"""As a person writes it: `200MB/month`, `5MB/day`, `500kB/hour`; a month has 30 days, a kB 1,000 bytes."""


class Limits(Settings):
    """What questions may cost.

    Attributes:
        bytes: So much in any hour, day, week or month, such as `200MB/month`, or `unlimited`.
        questions_per_minute: At most so many in any minute.
    """

    bytes: Bytes | None = None
    questions_per_minute: Annotated[int, Field(ge=0, le=6000)] | None = None


class BudgetSettings(Settings):
    """What all questions together may cost, those of rules included.

    Attributes:
        bytes: Of the whole device in any hour, day, week or month, such as `200MB/month`, or `unlimited`.
        questions_per_minute: Of the whole device, in any minute; those about alerts count as well, and are held back
            by `asking.max_per_minute` alone.
        each_camera: Of each camera, within what the device may; nothing of its own where it is left out.
        cameras: Of single cameras by name, instead of `each_camera`.
    """

    bytes: Bytes = "200MB/month"
    questions_per_minute: Annotated[int, Field(ge=0, le=6000)] = 60
    each_camera: Limits = Limits()
    cameras: Mapping[Name, Limits] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left in each bucket, in bytes.

    Attributes:
        left: By camera; the device's own is named by the empty string. Below 0: borrowed.
        others: In a bucket that is not among them; None: as much as it can hold.
    """

    left: Mapping[str, float] = field(default_factory=dict)
    others: float | None = None


class Bucket:
    """One allowance.

    Args:
        allowance: None where there is no limit.
        left: What it holds at first, in bytes; None: as much as it can. What is owed counts up to the whole amount:
            that takes a period to come in, and no number that is read can silence a device for longer.
        now: When that is.

    Attributes:
        debt: How far below 0 what is urgent may take it, in bytes.
    """

    __slots__ = ("_at", "_bar", "_capacity", "_rate", "debt", "left")

    def __init__(self, allowance: Allowance | None, left: float | None, now: float) -> None:
        amount = math.inf if allowance is None else allowance.amount
        span = amount * SPAN
        self._capacity = span * (1 - BORROWED) if allowance is not None else math.inf
        self.debt = span * BORROWED
        self._rate = math.inf if allowance is None else amount * (1 - SPAN) / allowance.period_s
        self.left = self._capacity if left is None or allowance is None else min(max(left, -amount), self._capacity)
        self._bar = LOWEST_BAR
        self._at = now

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._rate < math.inf

    @property
    def most(self) -> float:
        """What it can hold, in bytes."""
        return self._capacity

    def affords(self, cost: float, *, urgent: bool) -> bool:
        """Whether so many bytes may be spent."""
        return self.left + (self.debt if urgent else 0.0) >= cost

    def advance(self, now: float) -> None:
        """Let in what has come since."""
        dt_s = now - self._at
        if dt_s <= 0 or not self.limited:
            return
        self._at = now
        self.left = min(self._capacity, self.left + dt_s * self._rate)
        self._bar = max(LOWEST_BAR, self._bar * math.exp(-dt_s / PACE_S))

    def spend(self, cost: float) -> None:
        """Take out so many bytes; more than there are leaves a debt, which comes first later."""
        if self.limited:
            self.left = min(self.left - cost, self._capacity)
            pace = self._rate + max(self.left, 0.0) / HORIZON_S
            self._bar = min(HIGHEST_BAR, self._bar * math.exp(min(5.0, cost / max(pace * PACE_S, 1.0))))

    @property
    def bar(self) -> float:
        """The gain for each byte from which a question is worth its price."""
        return self._bar


class _Minute:
    """At most so many questions in any minute."""

    __slots__ = ("_asked", "_most")

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._asked: deque[float] = deque()

    def limit(self, most: int | None) -> None:
        self._most = most

    def allows(self, now: float) -> bool:
        while self._asked and now - self._asked[0] >= MINUTE_S:
            self._asked.popleft()
        return self._most is None or len(self._asked) < self._most

    def note(self, now: float) -> None:
        if self._most is not None:
            self._asked.append(now)

    def left(self, now: float) -> int | None:
        """How many more there may be now; None where there is no limit."""
        self.allows(now)
        return None if self._most is None else max(0, self._most - len(self._asked))


@dataclass(slots=True)
class _Purse:
    allowance: Allowance | None
    bucket: Bucket
    minute: _Minute
    spent: float = 0.0


class AskBudget:
    """The device's allowance, and each camera's own. Not safe for use from two threads at once.

    Args:
        settings: See there.
        balance: What an earlier run left; None at the very first start, which begins with full buckets.
        now: The time.
    """

    def __init__(self, settings: BudgetSettings, balance: Balance | None, now: float) -> None:
        self._settings = settings
        self._balance = balance
        self._purses: dict[str, _Purse] = {}
        self._kept: dict[str, float] = {}
        self._kept_at = -math.inf
        self._purse("", now)

    @property
    def settings(self) -> BudgetSettings:
        """As they stand."""
        return self._settings

    def reconfigure(self, settings: BudgetSettings, now: float) -> None:
        """Go on under other settings: what is left stays, as far as it fits, and so does what was asked lately."""
        self._advance(now)
        self._settings = settings
        for name, purse in self._purses.items():
            limits, before = self._limits(name), purse.bucket
            purse.minute.limit(limits.questions_per_minute)
            allowance = _limit(limits.bytes)
            if allowance == purse.allowance:
                continue
            # Lifting a limit and setting it again fills no bucket.
            purse.allowance, purse.bucket = allowance, Bucket(allowance, before.left if before.limited else 0.0, now)
            purse.bucket.left = max(purse.bucket.left, -purse.bucket.debt)

    def allows(self, camera: str, cost: float, now: float, *, urgent: bool = False, alert: bool = False) -> bool:
        """Whether a question of so many bytes may be asked now; an urgent one may borrow from what is to come.

        How many about alerts there may be a minute is the rules' own limit: those about objects must not use
        up what an alert waits for.
        """
        self._advance(now)
        of_device, of_camera = self._of(camera, now)
        if not alert and not (of_device.minute.allows(now) and of_camera.minute.allows(now)):
            return False
        return of_device.bucket.affords(cost, urgent=urgent) and of_camera.bucket.affords(cost, urgent=urgent)

    def spend(self, camera: str, cost: float, now: float) -> None:
        """A question of so many bytes is asked."""
        self._advance(now)
        for purse in self._of(camera, now):
            purse.minute.note(now)
            purse.bucket.spend(cost)
            purse.spent += cost

    def settle(self, camera: str, difference: float, now: float) -> None:
        """A question came to so many bytes more (or less) than was thought; so does one that is sent again."""
        self._advance(now)
        for purse in self._of(camera, now):
            purse.bucket.spend(difference)
            purse.spent += difference

    def bar(self, camera: str, now: float) -> float:
        """The gain for each byte from which a question is worth its price."""
        self._advance(now)
        return max(purse.bucket.bar for purse in self._of(camera, now))

    def told(self, now: float) -> tuple[BudgetLeft, ...]:
        """How things stand, as telemetry says it: the whole device, then each camera that asked or has limits."""
        self._advance(now)
        return tuple(
            self._told(name, purse, now)
            for name, purse in sorted(self._purses.items())
            if not name or purse.spent or self._limits(name) != Limits()
        )

    def _told(self, name: str, purse: _Purse, now: float) -> BudgetLeft:
        bucket, left = purse.bucket, purse.bucket.left
        return BudgetLeft(
            camera=name or None,
            allowance=self._limits(name).bytes or UNLIMITED,
            left=_told(left) if bucket.limited else None,
            most=_told(bucket.most) if bucket.limited else None,
            borrowed=_told(-left) if bucket.limited else 0,
            spent=_told(purse.spent),
            questions_left=purse.minute.left(now),
            bar=round(bucket.bar * KB, 6),
        )

    def balance(self) -> Balance:
        """What is left, for the next run."""
        before = self._balance or Balance()
        now = {name: purse.bucket.left for name, purse in self._purses.items() if purse.bucket.limited}
        return Balance({**before.left, **now}, before.others)

    def to_keep(self, now: float) -> Balance | None:
        """What to write down by now; None where what is written is still good.

        Less than there is: what may be spent before the next writing is taken off. So a crash can cost some of what
        was left, and never brings back what was spent.
        """
        left = self.balance().left
        overdrawn = any(value < self._kept.get(name, math.inf) for name, value in left.items())
        if not overdrawn and now - self._kept_at < KEEP_EVERY_S:
            return None
        self._kept_at = now
        self._kept = {name: self._less(name, value) for name, value in left.items()}
        return Balance(self._kept, None if self._balance is None else self._balance.others)

    def _less(self, name: str, left: float) -> float:
        """What may be spent before the next writing, taken off; crash after crash takes off no more than a debt."""
        allowance = _limit(self._limits(name).bytes)
        debt = RESERVE_BYTES if allowance is None else allowance.amount * SPAN * BORROWED
        return min(left, max(left - min(RESERVE_BYTES, debt), -debt))

    def _advance(self, now: float) -> None:
        for purse in self._purses.values():
            purse.bucket.advance(now)

    def _of(self, camera: str, now: float) -> tuple[_Purse, _Purse]:
        return self._purse("", now), self._purse(camera, now)

    def _purse(self, name: str, now: float) -> _Purse:
        purse = self._purses.get(name)
        if purse is None:
            limits = self._limits(name)
            # A camera that no earlier run knew is as new as a device at its very first start.
            left = None if self._balance is None else self._balance.left.get(name, self._balance.others)
            allowance = _limit(limits.bytes)
            purse = self._purses[name] = _Purse(
                allowance, Bucket(allowance, left, now), _Minute(limits.questions_per_minute)
            )
        return purse

    def _limits(self, name: str) -> Limits:
        if not name:
            return Limits(bytes=self._settings.bytes, questions_per_minute=self._settings.questions_per_minute)
        return self._settings.cameras.get(name, self._settings.each_camera)


def _told(size: float) -> int:
    return round(min(max(size, 0.0), MOST_TOLD))


def _limit(text: str | None) -> Allowance | None:
    return None if text is None else allowance_of(text)
