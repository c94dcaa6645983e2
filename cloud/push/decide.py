"""Whether a message about an alert is pushed, when it may be, and what a receiver's answer means. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from cloud.push.settings import Moment, PushSettings
from wire.messages import Alert, AlertEvent, AlertState

_TELLING: Final = (Moment.CONFIRMED, Moment.RETRACTED, Moment.RAISED, Moment.ENDED)
"""Of several at once, the first of these is what is told."""


def moment_of(push: PushSettings, alert: Alert, before: Sequence[Alert]) -> Moment | None:
    """What is to be pushed about this message; None for nothing.

    Args:
        push: The receiver.
        alert: The message.
        before: The messages about the same alert that were stored earlier.
    """
    if not _is_about(push, alert):
        return None
    latest = max(before, key=lambda one: one.revision, default=None)
    if latest is not None and latest.revision >= alert.revision:
        return None  # It came late: what it says was overtaken.
    moments = _moments(alert, latest)
    told = _was_told(push, before)
    wanted = [one for one in moments if one in push.on and (told or one not in {Moment.RETRACTED, Moment.ENDED})]
    return next((one for one in _TELLING if one in wanted), None)


def _is_about(push: PushSettings, alert: Alert) -> bool:
    return all(
        not wanted or value in wanted
        for wanted, value in (
            (push.devices, alert.device),
            (push.cameras, alert.camera),
            (push.rules, alert.rule),
            (push.labels, alert.label),
        )
    )


def _moments(alert: Alert, latest: Alert | None) -> set[Moment]:
    found = {Moment.RAISED} if latest is None else set()
    was = None if latest is None else latest.state
    if alert.state is AlertState.CONFIRMED and was is not AlertState.CONFIRMED:
        found.add(Moment.CONFIRMED)
    if alert.state is AlertState.RETRACTED and was is not AlertState.RETRACTED:
        found.add(Moment.RETRACTED)
    if alert.event is AlertEvent.END:
        found.add(Moment.ENDED)
    return found


def _was_told(push: PushSettings, before: Sequence[Alert]) -> bool:
    """Whether something was pushed about the alert before: nobody wants to hear that nothing they knew of is over."""
    if Moment.RAISED in push.on:
        return bool(before)
    return Moment.CONFIRMED in push.on and any(one.state is AlertState.CONFIRMED for one in before)


class Answer(Enum):
    """What a receiver's answer means."""

    TAKEN = auto()
    REFUSED = auto()
    """Of this message; the next may be taken."""
    BROKEN = auto()
    """The receiver stumbles, perhaps over this message: a few more times."""
    LATER = auto()
    """It takes nothing at present: the address, the token, or the receiver has to be mended."""


BROKEN_TRIES: Final = 5
_OF_MESSAGE: Final = frozenset({400, 405, 411, 413, 414, 415, 422, 431})
_LATER: Final = frozenset({502, 503, 504})
_SERVER: Final = 500


def answer_of(status: int) -> Answer:
    """What a status code means. A redirect is none to follow: it may lead a signed request anywhere."""
    if 200 <= status < 300:  # noqa: PLR2004 - the class of success
        return Answer.TAKEN
    if status in _OF_MESSAGE:
        return Answer.REFUSED
    return Answer.BROKEN if status >= _SERVER and status not in _LATER else Answer.LATER


def pause_s(push: PushSettings, failures: int) -> float:
    """After so many failures in a row."""
    return min(push.retry_max_s, push.retry_min_s * 2.0 ** min(max(0, failures - 1), 20))


class Pace:
    """At most so many a minute, in any minute."""

    def __init__(self, max_per_minute: int) -> None:
        self._most = max_per_minute
        self._sent: deque[float] = deque()

    def wait_s(self, now: float) -> float:
        """How long until one more may be sent; 0 where now, and then it counts as sent."""
        while self._sent and now - self._sent[0] >= 60.0:  # noqa: PLR2004 - a minute
            self._sent.popleft()
        if len(self._sent) >= self._most:
            return self._sent[0] + 60.0 - now
        self._sent.append(now)
        return 0.0
