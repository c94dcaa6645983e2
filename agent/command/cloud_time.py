"""What time it is for the cloud, as far as a device with a wrong clock can know. Pure.

A command's `expires_at` is by the cloud's clock. The device's wall clock may be years off, and a command's own
`made_at` proves little: the broker may have kept it for days. What proves the time is an exchange: the device sends
an answer (`accepted`), and the cloud's ack names it. The ack was made after the answer was sent and before it came,
so the cloud's clock stands now between the ack's `made_at` and that plus the time the exchange took. Both ends are
monotonic seconds of the device; its wall clock is not asked.

The latest possible time counts: a command must not be done after it expired. A cloud that acks no answers proves
nothing; then the wall clock decides, but it is never taken to be before the newest `made_at` that was ever seen.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class Timing(StrEnum):
    """How a command's expiry stands."""

    IN_TIME = "in_time"
    EXPIRED = "expired"
    UNPROVED = "unproved"


class CloudTime:
    """Bounds of the cloud's clock. Not safe for use from two threads at once.

    Args:
        floor: The newest `made_at` that an earlier run saw; None where there was none.
    """

    def __init__(self, floor: datetime | None = None) -> None:
        self._floor = floor
        self._latest_at_zero: float | None = None

    @property
    def floor(self) -> datetime | None:
        """The newest `made_at` seen; the time is not before."""
        return self._floor

    def heard(self, made_at: datetime) -> None:
        """A message of the cloud came; it may be old."""
        if self._floor is None or made_at > self._floor:
            self._floor = made_at

    def proved(self, made_at: datetime, sent_at: float, now: float) -> None:
        """A message of the cloud came that answers what we sent.

        Args:
            made_at: By the cloud's clock.
            sent_at: When we first sent what it answers, monotonic.
            now: When it came, monotonic.
        """
        self.heard(made_at)
        # Kept as seconds: a hostile year 1 or 9999 overflows no float.
        self._latest_at_zero = made_at.timestamp() + (now - sent_at) - now

    def timing(self, expires_at: datetime, now: float) -> Timing:
        """Whether a command may still be done at monotonic time `now`."""
        if self._latest_at_zero is None:
            return Timing.UNPROVED
        return Timing.IN_TIME if self._latest_at_zero + now < expires_at.timestamp() else Timing.EXPIRED

    def timing_by(self, wall: datetime, expires_at: datetime) -> Timing:
        """The same where nothing was proved: by the wall clock, and not before the floor."""
        at_least = wall if self._floor is None else max(wall, self._floor)
        return Timing.IN_TIME if at_least < expires_at else Timing.EXPIRED
