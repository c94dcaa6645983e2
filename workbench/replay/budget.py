"""How much may be sent: a share of sending every frame, or so much in a time. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from workbench.errors import BudgetUnclear

UNITS: Final = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
PERIODS_S: Final = {
    "s": 1.0, "second": 1.0,
    "min": 60.0, "minute": 60.0,
    "h": 3600.0, "hour": 3600.0,
    "d": 86_400.0, "day": 86_400.0,
    "week": 7 * 86_400.0,
    "month": 30 * 86_400.0,
}  # fmt: skip
HOUR_S: Final = 3600.0
HOUR: Final = "hour"
_OF_AGENT: Final = {"h": HOUR, "hour": HOUR, "d": "day", "day": "day", "week": "week", "month": "month"}
"""Periods of `asking.budget`, by how a person writes them here; for all others it is an hour."""
MOST_QUESTIONS: Final = 6000
"""A minute: as many as the agent's settings allow, so that the budget's bytes alone decide."""
MOST_AN_HOUR: Final = 999e9
"""Bytes: more than two gigabits a second, and no more digits than the agent reads."""
TOLD_DIGITS: Final = 4
ROUNDING: Final = 1e-12
"""What dividing by seconds and multiplying by them again may take: 200 MB stay 200 MB."""
_TOLD_UNITS: Final = (("TB", 12), ("GB", 9), ("MB", 6), ("kB", 3), ("B", 0))
_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*%", re.ASCII)
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*(?:/|per)\s*([a-z]+)", re.ASCII)
_MEND: Final = "Write 5% of sending every frame, or so much in a time: 20kB/min, 4MB/h, 200MB/month."


@dataclass(frozen=True, slots=True)
class Share:
    """A part of what sending every frame whole would take, from 0 to 1."""

    of_stream: float
    text: str

    @property
    def period(self) -> str:
        """Of the agent's budget that is as much."""
        return HOUR

    def grant(self, elapsed_s: float, whole_bytes: int) -> float:
        """What a frame of `whole_bytes` adds to what may be sent, `elapsed_s` after the one before it."""
        del elapsed_s
        return self.of_stream * whole_bytes

    def per_s(self, streamed_per_s: float) -> float:
        """Bytes a second, where sending every frame would take `streamed_per_s`."""
        return self.of_stream * streamed_per_s


@dataclass(frozen=True, slots=True)
class Rate:
    """So many bytes a second; `period` is that of the agent's budget which is as much."""

    bytes_per_s: float
    text: str
    period: str = HOUR

    def grant(self, elapsed_s: float, whole_bytes: int) -> float:
        """As `Share.grant`."""
        del whole_bytes
        return self.bytes_per_s * elapsed_s

    def per_s(self, streamed_per_s: float) -> float:
        """As `Share.per_s`."""
        del streamed_per_s
        return self.bytes_per_s


Budget = Share | Rate


def parse_budget(text: str) -> Budget:
    """Read a budget as a person writes it: `5%`, `200MB/month`, `20 kB per min`.

    A month has 30 days. `kB` is 1,000 bytes, `KiB` 1,024.

    Raises:
        BudgetUnclear: It says nothing, or more than all.
    """
    plain = text.strip().lower()
    if (share := _SHARE.fullmatch(plain)) is not None:
        percent = float(share[1])
        if percent > 100:  # noqa: PLR2004 - per cent
            raise BudgetUnclear(f"{text!r} is more than sending every frame", _MEND)
        return Share(percent / 100, text.strip())
    rate = _RATE.fullmatch(plain)
    if rate is None:
        raise BudgetUnclear(f"{text!r} is no budget", _MEND)
    amount, unit, period = rate.groups()
    if unit not in UNITS:
        raise BudgetUnclear(f"{text!r}: there is no unit {unit!r}; the units are {', '.join(UNITS)}", _MEND)
    if period not in PERIODS_S:
        raise BudgetUnclear(f"{text!r}: there is no time {period!r}; the times are {', '.join(PERIODS_S)}", _MEND)
    per_s = float(amount) * UNITS[unit] / PERIODS_S[period]
    if not math.isfinite(per_s):
        raise BudgetUnclear(f"{text!r} is more than there is", _MEND)
    return Rate(per_s, text.strip(), _OF_AGENT.get(period, HOUR))


@dataclass(frozen=True, slots=True)
class Amount:
    """So many bytes in a period that the agent knows: an hour, a day, a week or a month."""

    bytes: float
    period: str

    @property
    def exact(self) -> str:
        """For `asking.budget.bytes`, to the byte."""
        return f"{self.bytes / 1000:.3f}kB/{self.period}"

    @property
    def told(self) -> str:
        """The same to be read: never more, and less by no more than a thousandth or a byte."""
        whole = int(self.bytes * (1 + ROUNDING))
        whole -= whole % 10 ** max(0, len(str(whole)) - TOLD_DIGITS)
        unit, digits = next((one for one in _TOLD_UNITS if whole >= 10 ** one[1]), ("kB", 0))
        return f"{whole / 10**digits:g}{unit}/{self.period}"


def amount_of(budget: Budget, streamed_per_s: float) -> Amount:
    """What the replayed agent is told, in the period that the person named, else in an hour.

    An amount a month is saved up for longer than the same an hour: what is told must be what was replayed.
    """
    hours = PERIODS_S[budget.period] / HOUR_S
    return Amount(min(budget.per_s(streamed_per_s) * HOUR_S, MOST_AN_HOUR) * hours, budget.period)


class Purse:
    """What may still be sent; what is not spent is kept for later, and nothing is ever spent in advance."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._left = 0.0
        self._at: float | None = None

    def earn(self, at: float, whole_bytes: int) -> None:
        """A frame came."""
        elapsed_s = 0.0 if self._at is None else max(0.0, at - self._at)
        self._at = at
        if self._budget is not None:
            self._left += self._budget.grant(elapsed_s, whole_bytes)

    def take(self, size: int) -> bool:
        """Spend; False where there is not enough. Without a budget there always is."""
        if self._budget is None:
            return True
        if size > self._left:
            return False
        self._left -= size
        return True
