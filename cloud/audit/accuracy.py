"""What audits say of a model against another. Implements `cloud.rollout.ports.AuditedAccuracy`."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol

from cloud.audit.estimate import drop_between
from cloud.audited import Audited
from cloud.ports import Clock
from vision.estimates import Drop
from wire.fields import Timestamp

LEVEL: Final = 0.995
"""Of the interval that must lie above no drop. A rollout looks again with each audit that comes in; over 300 of them
that halts 1 sound model in 150 by chance (tests/cloud/audit/test_simulation.py)."""
ENOUGH_FRAMES: Final = 20
"""With something in them, of each model: what it takes for an interval of about ± .18."""
REMEMBERED: Final = timedelta(days=30)
"""Further back, the scene was another one."""
FRESH_S: Final = 10.0
"""The rollouts look each second; the sums change with each audit, of which there are few."""


class AuditSums(Protocol):
    """Where the sums come from."""

    async def sums(self, since: Timestamp, digests: tuple[str, ...] = ()) -> list[Audited]:
        """By camera, model and label, and over all labels; of these models only, where some are named."""


class AuditedModels:
    """Answers from the store, at most every ten seconds for each pair of models."""

    def __init__(self, store: AuditSums, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Drop | None]] = {}

    async def drop(self, before: str, now: str) -> Drop | None:
        """See the port."""
        at = self._clock.monotonic()
        known = self._known.get((before, now))
        if known is not None and at - known[0] < FRESH_S:
            return known[1]
        audited = await self._store.sums(self._clock.wall() - REMEMBERED, (before, now))
        found = drop_between(before, now, audited, level=LEVEL, enough_frames=ENOUGH_FRAMES)
        self._known = {pair: kept for pair, kept in self._known.items() if at - kept[0] < FRESH_S}
        self._known[before, now] = (at, found)
        return found
