"""Where the update stands: kept on disk, told to others, and timed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.domain import Clock
from agent.errors import JudgeStuck, ModelStoreBroken, NoRoom
from agent.update.machine import Event
from agent.update.ports import LiveModel, Prover, Repository
from agent.update.record import ReportedFacts, UpdateRecord, plain
from agent.update.storage import Models, Records
from wire.errors import VedetteError
from wire.updates import GroupRelease, ModelRef

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpdateParts:
    """What the worker works with; see the ports.

    Attributes:
        report: Told of each state; must not block.
        note: Told of each error, to be counted.
        stuck: Told when the judging thread hangs inside a model; ends the process, since nothing else helps.
        chance: Random, 0..1.
    """

    repository: Repository
    prover: Prover
    live: LiveModel
    models: Models
    records: Records
    clock: Clock
    report: Callable[[ReportedFacts], None]
    note: Callable[[VedetteError], None]
    stuck: Callable[[JudgeStuck], None]
    chance: Callable[[], float]


class Journal:
    """The record, and what is told beside it. The worker's thread writes; any thread may read.

    Attributes:
        record: As it stands; on disk too, unless the disk refused.
        running: What judges frames.
        trust: As `wire.updates.Reported` has it.
    """

    def __init__(self, parts: UpdateParts, record: UpdateRecord, running: ModelRef, progress_every_s: float) -> None:
        self.record = record
        self.running = running
        self.trust = "ok"
        self._parts = parts
        self._progress_every_s = progress_every_s
        self._progress: float | None = None
        self._progress_told_at: float | None = None
        self._since = parts.clock.monotonic()
        self._counting_since: float | None = None

    def enter_kept(self, event: Event, reason: str = "", **changes: object) -> None:
        """Move, and have it on disk before anything is done about it.

        Raises:
            NoRoom, ModelStoreBroken: It can't be kept; nothing moved.
            UpdateMoveRefused: The table does not name the move.
        """
        record = self._moved(event, reason, changes)
        self._parts.records.save(record)
        self._now_is(record)

    def enter(self, event: Event, reason: str, **changes: object) -> None:
        """Move, whether or not the disk takes it: there is no other way, and a start from the old record is safe.

        Raises:
            UpdateMoveRefused: The table does not name the move.
        """
        self.enter_as(self._moved(event, reason, changes))

    def enter_as(self, record: UpdateRecord) -> None:
        """As `enter`, with the record made by the caller."""
        self._save(record)
        self._now_is(record)

    def keep(self, **changes: object) -> None:
        """Keep changes within the state, and tell."""
        self.note(**changes)
        self._save(self.record)
        self.tell()

    def note(self, **changes: object) -> None:
        """Take note of changes; they are kept with the next move."""
        self.record = self.record.model_copy(update=changes)

    def trusts(self, release: GroupRelease) -> None:
        """The signed repository was read, and is as it should be."""
        self.trust = "ok"
        self.note(min_release=release.min_release)

    def tell(self, reason: str | None = None) -> None:
        """Report, where there is a reason only if it is a new one."""
        if reason is not None:
            said = plain(reason)
            if said == self.record.reason:
                return
            self.note(reason=said)
        self._parts.report(self.facts())

    def tell_progress(self, share: float) -> None:
        """Report a download's progress, not too often."""
        now = self._parts.clock.monotonic()
        self._progress = min(1.0, max(0.0, share))
        if self._progress_told_at is None or now - self._progress_told_at >= self._progress_every_s:
            self._progress_told_at = now
            self.tell()

    def facts(self) -> ReportedFacts:
        """How it stands."""
        record = self.record
        return ReportedFacts(
            desired_version=record.desired.version if record.desired else 0,
            deployment_id=record.desired.deployment_id if record.desired else None,
            state=record.state,
            running=self.running,
            previous=record.previous,
            target=record.target,
            reason=record.reason,
            progress=self._progress,
            trial=record.trial,
            since_s=max(0.0, self._parts.clock.monotonic() - self._since),
            trust=self.trust,
            quarantined=record.quarantined,
        )

    # --- the time that the update has taken -----------------------------------------------------------------

    @property
    def counting(self) -> bool:
        """Whether the time runs."""
        return self._counting_since is not None

    def count(self) -> None:
        """Let the time run."""
        if self._counting_since is None:
            self._counting_since = self._parts.clock.monotonic()

    def stop_counting(self) -> None:
        """Let the time stand."""
        self.note(spent_s=self.spent_s())
        self._counting_since = None

    def spent_s(self) -> float:
        """How long the update has taken, over restarts."""
        since = self._counting_since
        return self.record.spent_s + (0.0 if since is None else self._parts.clock.monotonic() - since)

    def is_late(self) -> bool:
        """Whether it has taken too long."""
        return self.record.desired is not None and self.spent_s() >= self.record.desired.timeout_s

    def _moved(self, event: Event, reason: str, changes: dict[str, object]) -> UpdateRecord:
        return self.record.moved(event, reason, **{"spent_s": self.spent_s(), **changes})

    def _now_is(self, record: UpdateRecord) -> None:
        self.record = record
        now = self._parts.clock.monotonic()
        if self._counting_since is not None:
            self._counting_since = now
        self._since = now
        self._progress = None
        self._progress_told_at = None
        deployment = None if record.desired is None else record.desired.deployment_id
        log.info(
            "update is %s%s",
            record.state,
            f": {record.reason}" if record.reason else "",
            extra={} if deployment is None else {"deployment_id": deployment},
        )
        self.tell()

    def _save(self, record: UpdateRecord) -> None:
        try:
            self._parts.records.save(record)
        except (NoRoom, ModelStoreBroken) as refused:
            self._parts.note(refused)
