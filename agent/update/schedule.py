"""When an update may begin, and when it is tried again. Pure: the time and the chance are passed in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from wire.updates import Window

DAY_MIN: Final = 24 * 60
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HORIZON_DAYS: Final = 8
"""A window that any day of the week has comes round within seven days; one more for one that has just passed."""
MAX_DOUBLINGS: Final = 16


def opens_in_s(windows: Sequence[Window], local: datetime) -> float | None:
    """Seconds until a window is open: 0 in one, and where there are none at all; None where none ever opens.

    A window that crosses midnight belongs to the day on which it begins. One whose ends are the same is empty.

    Args:
        windows: In the device's own time of day.
        local: Now, in that time.
    """
    if not windows:
        return 0.0
    waits = [wait for window in windows if (wait := _window_opens_in_s(window, local)) is not None]
    return min(waits, default=None)


def _window_opens_in_s(window: Window, local: datetime) -> float | None:
    length_min = window.to_minute - window.from_minute
    if length_min == 0:
        return None
    if length_min < 0:
        length_min += DAY_MIN
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(-1, _HORIZON_DAYS):
        day = midnight + timedelta(days=days)
        if window.days and _WEEK[day.weekday()] not in window.days:
            continue
        opens = day + timedelta(minutes=window.from_minute)
        if local < opens + timedelta(minutes=length_min):
            return max(0.0, (opens - local).total_seconds())
    return None


def backoff_s(failures: int, *, min_s: float, max_s: float, chance: float) -> float:
    """The pause after so many failures in a row: doubles, with jitter between half and the whole.

    Args:
        failures: 1 after the first.
        min_s: The first pause.
        max_s: The longest.
        chance: 0..1, random.
    """
    pause = min(max_s, min_s * 2.0 ** min(max(failures - 1, 0), MAX_DOUBLINGS))
    return pause * (0.5 + chance / 2)
