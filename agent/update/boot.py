"""What the start of the agent does about the update that it finds; before any model is opened.

It must come first: a model that crashes the agent would otherwise be opened again and again, and never be counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import ModelStoreBroken, NoRoom
from agent.update.machine import Event, Recovery, recover
from agent.update.ports import Candidate
from agent.update.record import UpdateRecord
from agent.update.settings import UpdateSettings
from agent.update.storage import Models, Records
from wire.errors import VedetteError
from wire.updates import UpdateState


@dataclass(frozen=True, slots=True)
class Boot:
    """What the agent starts with.

    Attributes:
        record: For the worker.
        models: To open, best first; the next one only where one can't be opened. Never empty.
    """

    record: UpdateRecord
    models: tuple[Candidate, ...]


def boot(models: Models, records: Records, settings: UpdateSettings, note: Callable[[VedetteError], None]) -> Boot:
    """Settle what a crash left behind. Never raises for a disk that is broken.

    Args:
        models: Where models are kept.
        records: Where the record is kept.
        settings: The bounds.
        note: Told of each error; all are survived.
    """
    record = _loaded(records, note)
    found = record
    record = _settled(record, models, settings, note)
    if record is not found:
        _keep(records, record, note)
    return Boot(record, _to_open(record, models))


def _loaded(records: Records, note: Callable[[VedetteError], None]) -> UpdateRecord:
    """Read twice where it fails: a card that stutters must not cost the memory of what did harm."""
    for _ in range(2):
        try:
            return records.load() or UpdateRecord()
        except (NoRoom, ModelStoreBroken) as damaged:
            note(damaged)
    return UpdateRecord(reason="the record of updates can't be read")


def _settled(
    record: UpdateRecord, models: Models, settings: UpdateSettings, note: Callable[[VedetteError], None]
) -> UpdateRecord:
    match recover(record.state):
        case Recovery.REST:
            return record
        case Recovery.REQUEUE:
            return _again(record, settings)
        case Recovery.LOOK:
            if record.target is None or models.current().digest != record.target.digest:
                return _again(record.model_copy(update={"previous": models.previous()}), settings)
            return _strike(record.moved(Event.SWITCHED), models, settings, note)
        case Recovery.STRIKE:
            return _strike(record, models, settings, note)
        case Recovery.RESTORE:
            return _restored(record, models, note)


def _again(record: UpdateRecord, settings: UpdateSettings) -> UpdateRecord:
    attempts = record.attempts + 1
    if attempts > settings.max_attempts:
        reason = f"the agent went down {attempts} times during this update, last while {record.state}"
        return record.moved(Event.FAIL, reason, attempts=attempts)
    return record.moved(Event.RETRY, f"the agent went down while {record.state}", attempts=attempts)


def _strike(
    record: UpdateRecord, models: Models, settings: UpdateSettings, note: Callable[[VedetteError], None]
) -> UpdateRecord:
    crashes = record.crashes + 1
    if crashes <= settings.max_crashes:
        reason = f"the agent went down {crashes} times in probation, which is forgiven {settings.max_crashes} times"
        return record.model_copy(update={"crashes": crashes, "reason": reason})
    reason = f"the agent went down {crashes} times in probation"
    return _restored(record.moved(Event.HARM, reason, crashes=crashes, harm=True), models, note)


def _restored(record: UpdateRecord, models: Models, note: Callable[[VedetteError], None]) -> UpdateRecord:
    """Point at the model before; where the disk refuses, the worker goes on trying."""
    if record.state is UpdateState.ROLLBACK_FAILED:
        record = record.moved(Event.ROLL_BACK)
    for refuge in refuges(record, models):
        try:
            models.point(refuge.ref, None)
        except (NoRoom, ModelStoreBroken) as refused:
            note(refused)
            return record
        return back(record)
    return record


def back(record: UpdateRecord) -> UpdateRecord:
    """The record once the model before is back."""
    blamed = record.quarantining(record.target.digest) if record.harm and record.target else record.quarantined
    return record.moved(Event.RESTORED, quarantined=blamed, previous=None, harm=False)


def refuges(record: UpdateRecord, models: Models) -> tuple[Candidate, ...]:
    """What a rollback may return to, best first: the model before, if it is whole and allowed, then the built-in."""
    before = record.previous
    if before is None or record.too_old(before) or _bad(record, before.digest):
        return (models.built_in,)
    try:
        held = models.held(before)
    except (NoRoom, ModelStoreBroken):
        held = None
    if held is None or held.ref.digest == models.built_in.ref.digest:
        return (models.built_in,)
    return held, models.built_in


def _to_open(record: UpdateRecord, models: Models) -> tuple[Candidate, ...]:
    """While a rollback is still owed, what it rolls back must not be opened, whatever the pointer names."""
    if record.state is UpdateState.ROLLING_BACK:
        return refuges(record, models)
    built_in = models.built_in.ref.digest
    usable = (
        one
        for one in models.startup_models()
        if one.ref.digest == built_in or not (record.too_old(one.ref) or _bad(record, one.ref.digest))
    )
    return tuple(usable)


def _bad(record: UpdateRecord, digest: str) -> bool:
    return digest in record.quarantined


def _keep(records: Records, record: UpdateRecord, note: Callable[[VedetteError], None]) -> None:
    try:
        records.save(record)
    except (NoRoom, ModelStoreBroken) as refused:
        note(refused)
