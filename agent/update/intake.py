"""What another `Desired` comes to. Pure.

The same one comes again and again: after each connection, when its rollout is resumed, with other stages. What has
come to an end for this deployment is not opened again by it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from agent.update.machine import BEFORE_SWITCH
from agent.update.record import UpdateRecord
from wire.updates import Desired, ModelRef, UpdateState

_S = UpdateState
_SETTLED: Final = frozenset({_S.COMMITTED, _S.ALREADY_INSTALLED, _S.REJECTED, _S.ROLLBACK_FAILED})
"""Ends that another version of the same deployment, such as its resumption, does not open again."""


class Intake(Enum):
    """What to do about it."""

    NOTE = auto()
    """Remember it, and no more."""
    DROP = auto()
    """Drop what is under way, and remember it."""
    QUEUE = auto()
    QUEUE_PAUSED = auto()
    """Queue it, and hold it there."""


def intake(record: UpdateRecord, desired: Desired) -> Intake:
    """What to do about what is desired by now, in a state that can take it up."""
    if desired.model is None:
        return Intake.DROP if record.state in BEFORE_SWITCH | {_S.PAUSED} else Intake.NOTE
    if _is_settled(record, desired, desired.model):
        return Intake.NOTE
    return Intake.QUEUE_PAUSED if desired.paused else Intake.QUEUE


def _is_settled(record: UpdateRecord, desired: Desired, model: ModelRef) -> bool:
    if record.target is None or record.target.digest != model.digest or record.desired is None:
        return False
    if record.state in {_S.COMMITTED, _S.ALREADY_INSTALLED} and desired.paused:
        return True
    same = desired.deployment_id is not None and desired.deployment_id == record.desired.deployment_id
    blamed = record.state is _S.ROLLED_BACK and model.digest in record.quarantined
    return same and (record.state in _SETTLED or blamed)
