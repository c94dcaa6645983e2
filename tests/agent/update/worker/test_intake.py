"""What another `Desired` comes to, in each state that can take it up."""

from __future__ import annotations

import pytest

from agent.update.intake import Intake, intake
from agent.update.machine import BEFORE_SWITCH, TABLE, Event
from agent.update.record import UpdateRecord
from tests.agent.update.worker.bench import NEW, NEWER, wanted
from wire.updates import UpdateState

S = UpdateState
TAKES_UP = sorted(state for state, event in TABLE if event is Event.QUEUE)
ROLLOUT = "d" * 32


def record(state: UpdateState, **more: object) -> UpdateRecord:
    return UpdateRecord(state=state, desired=wanted(NEW, deployment_id=ROLLOUT), target=NEW, **more)


@pytest.mark.parametrize("state", TAKES_UP)
def test_another_model_is_queued_whatever_became_of_the_one_before(state):
    assert intake(record(state), wanted(NEWER, 2, deployment_id=ROLLOUT)) is Intake.QUEUE
    assert intake(record(state), wanted(NEWER, 2, deployment_id=ROLLOUT, paused=True)) is Intake.QUEUE_PAUSED


@pytest.mark.parametrize("state", TAKES_UP)
def test_nothing_desired_drops_what_has_not_changed_anything_yet(state):
    expected = Intake.DROP if state in BEFORE_SWITCH | {S.PAUSED} else Intake.NOTE
    assert intake(record(state), wanted(None, 2)) is expected


@pytest.mark.parametrize("state", TAKES_UP)
def test_the_same_deployment_does_not_open_again_what_has_come_to_its_end(state):
    ended = state in {S.COMMITTED, S.ALREADY_INSTALLED, S.REJECTED, S.ROLLBACK_FAILED}
    expected = Intake.NOTE if ended else Intake.QUEUE
    assert intake(record(state), wanted(NEW, 2, deployment_id=ROLLOUT)) is expected
    assert intake(record(state), wanted(NEW, 2, deployment_id="e" * 32)) is Intake.QUEUE
    assert intake(record(state), wanted(NEW, 2)) is Intake.QUEUE


def test_what_was_rolled_back_is_tried_again_unless_it_is_blamed():
    again = wanted(NEW, 2, deployment_id=ROLLOUT)
    assert intake(record(S.ROLLED_BACK), again) is Intake.QUEUE
    assert intake(record(S.ROLLED_BACK, quarantined=(NEW.digest,)), again) is Intake.NOTE


@pytest.mark.parametrize("state", [S.COMMITTED, S.ALREADY_INSTALLED])
def test_what_runs_already_is_not_paused_by_another_rollout_of_it(state):
    assert intake(record(state), wanted(NEW, 2, deployment_id="e" * 32, paused=True)) is Intake.NOTE
