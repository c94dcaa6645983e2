"""Reading what a rollout's options say: lengths of time, stages, windows, labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cloud.errors import SettingsInvalid
from wire.updates import Window

_SPAN: Final = re.compile(r"^(\d{1,7}(?:\.\d{1,3})?)\s*(s|m|h|d|)$")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WINDOW: Final = re.compile(r"^(?:([a-z,-]{3,40})/)?(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$")
_KEY: Final = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}\Z")
_VALUE: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_GROUP: Final = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}\Z")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES: Final = 60
_DAY: Final = 24 * _MINUTES


def seconds(text: str, option: str) -> float:
    """`30`, `30s`, `5m`, `2h` or `1d`.

    Raises:
        SettingsInvalid: It is none of these.
    """
    found = _SPAN.match(text)
    if found is None:
        raise SettingsInvalid(f"{option} {text!r} is no length of time", "Say it as 30s, 5m, 2h or 1d.")
    return float(found[1]) * _SECONDS[found[2]]


def stages(text: str) -> tuple[float, ...]:
    """`1,10,50,100`.

    Raises:
        SettingsInvalid: These are not numbers.
    """
    try:
        return tuple(float(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise SettingsInvalid(f"--stages {text!r} are not percents", "Say them as 1,10,50,100.") from None


def window(text: str) -> Window:
    """`mon-fri/01:00-04:00`, `sat,sun/22:00-06:00` or `01:00-04:00` for every day.

    Raises:
        SettingsInvalid: It is none of these.
    """
    found = _WINDOW.match(text)
    days = None if found is None else _days(found[1] or "")
    if found is None or days is None:
        raise _no_window(text)
    minutes = [int(found[hour]) * _MINUTES + int(found[hour + 1]) for hour in (2, 4)]
    if any(int(found[minute]) >= _MINUTES for minute in (3, 5)) or max(minutes) > _DAY:
        raise _no_window(text)
    return Window.model_validate({"days": days, "from_minute": minutes[0], "to_minute": minutes[1]})


def _no_window(text: str) -> SettingsInvalid:
    return SettingsInvalid(f"--window {text!r} is no window", "Say it as mon-fri/01:00-04:00, in the device's time.")


def _days(text: str) -> tuple[str, ...] | None:
    """The days that are named; None if one is no day."""
    days: list[str] = []
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            return None
        start, end = DAYS.index(first), DAYS.index(last)
        days += [DAYS[number % len(DAYS)] for number in range(start, end + 1 + len(DAYS) * (end < start))]
    return tuple(dict.fromkeys(days))


def labels(texts: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE`, several; an empty value takes a label away where labels are set.

    Raises:
        SettingsInvalid: One is not of that form.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or _KEY.match(key) is None or (value and _VALUE.match(value) is None):
            raise SettingsInvalid(
                f"--label {text!r} is no label",
                "Say it as site=north, in letters, digits, '.', '_' and '-'; capitals in the value only.",
            )
        found[key] = value
    return found


def group(text: str) -> str:
    """A group's name.

    Raises:
        SettingsInvalid: It can't be one.
    """
    if _GROUP.match(text) is None:
        raise SettingsInvalid(f"{text!r} can't be a group", "Use 1 to 32 lower-case letters, digits and '-'.")
    return text
