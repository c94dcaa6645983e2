"""When a rule applies: times of day and days of the week, in the device's local time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from agent.settings import Settings

_TIME: Final = re.compile(r"^([0-9]{2}):([0-9]{2})$")
DAY_MIN: Final = 24 * 60


def _minutes(value: object) -> object:
    """Minutes from midnight, of "HH:MM" or of TOML's own local time."""
    if isinstance(value, time):
        return value.hour * 60 + value.minute
    found = _TIME.match(value) if isinstance(value, str) else None
    if found is None or int(found[2]) >= 60 or (minutes := int(found[1]) * 60 + int(found[2])) > DAY_MIN:  # noqa: PLR2004 - minutes
        msg = 'is not a time of day; write it as "HH:MM", from "00:00" to "24:00"'
        raise ValueError(msg)
    return minutes


MinuteOfDay = Annotated[int, BeforeValidator(_minutes)]


class Day(StrEnum):
    """A day of the week, in the order of `datetime.weekday`."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_WEEK: Final = tuple(Day)


class Period(Settings):
    """A time of day on some days; one that crosses midnight belongs to the day on which it begins.

    Attributes:
        days: None named means every day.
        start_min: The key `from`; minutes from midnight, written "HH:MM".
        end_min: The key `to`; not part of the period any more.
    """

    days: tuple[Day, ...] = ()
    start_min: MinuteOfDay = Field(alias="from")
    end_min: MinuteOfDay = Field(alias="to")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start_min == self.end_min:
            msg = 'from and to are the same time; write from = "00:00", to = "24:00" for the whole day'
            raise ValueError(msg)
        if self.start_min == DAY_MIN:
            msg = 'from = "24:00" begins nothing; write "00:00" and name the next day'
            raise ValueError(msg)
        return self

    def holds(self, local: datetime) -> bool:
        """Whether `local` lies in it."""
        minute = local.hour * 60 + local.minute
        if self.start_min < self.end_min:
            return self.start_min <= minute < self.end_min and self._on(local.weekday())
        if minute >= self.start_min:
            return self._on(local.weekday())
        return minute < self.end_min and self._on(local.weekday() - 1)

    def _on(self, weekday: int) -> bool:
        return not self.days or _WEEK[weekday % len(_WEEK)] in self.days


def applies(schedule: Iterable[Period], local: datetime) -> bool:
    """Whether any period holds; no periods at all mean always."""
    periods = tuple(schedule)
    return not periods or any(period.holds(local) for period in periods)
