"""A simulated camera's alerts, and the outbox in which they wait for the cloud's ack. Pure: ids and times come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from agent.deliver.outbox import Queued
from wire.messages import Alert, AlertEvent, AlertState
from workbench.sim.dice import Dice
from workbench.sim.speech import CAMERA, Envelope

RULE: Final = "someone"
_LABELS: Final = ("person", "car", "dog")


@dataclass(frozen=True, slots=True)
class Sight:
    """An object that an alert is about, until it is gone.

    Attributes:
        id: The alert's.
    """

    id: str
    label: str
    score: float
    box: tuple[float, float, float, float]
    track: int
    seen_at: datetime


def seen(dice: Dice, alert_id: str, track: int, now: datetime) -> Sight:
    """Something that comes by."""
    x, y = dice.between(0.0, 0.8), dice.between(0.0, 0.6)
    box = (round(x, 4), round(y, 4), round(x + 0.15, 4), round(y + 0.35, 4))
    return Sight(alert_id, dice.choose(_LABELS), round(dice.between(0.6, 0.99), 3), box, track, now)


def alert_of(sight: Sight, envelope: Envelope, *, sequence: int, ends: bool, model_digest: str) -> Alert:
    """The alert's first message, or its last."""
    return Alert(
        **envelope.fields(),
        id=sight.id,
        event=AlertEvent.END if ends else AlertEvent.NEW,
        revision=1 if ends else 0,
        state=AlertState.CONFIRMED,
        camera=CAMERA,
        sequence=sequence,
        rule=RULE,
        label=sight.label,
        track=sight.track,
        score=sight.score,
        box=sight.box,
        seen_first_at=sight.seen_at,
        seen_last_at=envelope.made_at,
        decided_at=sight.seen_at,
        model_digest=model_digest,
    )


@dataclass(slots=True)
class Waiting:
    """A message that the cloud has not acked.

    Attributes:
        device, alert_id: Whose it is, and which alert it is about.
        raised_at: By the monotonic clock.
        cut: The connection broke since, or there was none: its delay is the link's.
    """

    queued: Queued
    device: str
    alert_id: str
    raised_at: float
    cut: bool


class Outbox:
    """What waits, oldest first. In memory: a simulated device never loses its power."""

    __slots__ = ("_row", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._row = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, alert: Alert, payload: bytes, now: float, *, cut: bool) -> None:
        """A message that was raised now."""
        self._row += 1
        queued = Queued(self._row, alert.message_id, payload)
        self._waiting[alert.message_id] = Waiting(queued, alert.device, alert.id, now, cut)

    def after(self, row: int, limit: int) -> list[Queued]:
        """At most `limit` messages beyond `row`."""
        return list(islice(self._beyond(row), max(0, limit)))

    def _beyond(self, row: int) -> Iterator[Queued]:
        return (one.queued for one in self._waiting.values() if one.queued.row > row)

    def cut(self) -> None:
        """The connection is gone."""
        for one in self._waiting.values():
            one.cut = True

    def acked(self, message_ids: Iterable[str]) -> list[Waiting]:
        """Forget these, and give back those that were there."""
        found = (self._waiting.pop(message_id, None) for message_id in message_ids)
        return [one for one in found if one is not None]
