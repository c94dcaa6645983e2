"""The table of update states, and what must hold of any such table."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UpdateMoveRefused
from agent.update.machine import (
    BEFORE_SWITCH,
    ENDS,
    RESTING,
    TABLE,
    Event,
    Recovery,
    diagram,
    move,
    recover,
    recovery_table,
)
from wire.updates import UpdateState

S = UpdateState
DOCUMENT = Path(__file__).parents[4] / "docs" / "updates.md"


def reachable(start, banned=frozenset()):
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (before, event), after in TABLE.items():
            if before is state and event not in banned and after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


@pytest.mark.parametrize(("state", "event"), list(itertools.product(UpdateState, Event)))
def test_a_move_that_the_table_does_not_name_is_refused(state, event):
    if (state, event) in TABLE:
        assert move(state, event) is TABLE[state, event]
    else:
        with pytest.raises(UpdateMoveRefused, match=f"{state} can't take the event {event}"):
            move(state, event)


@pytest.mark.parametrize("state", UpdateState)
def test_every_state_is_reached_and_comes_to_rest_without_being_asked(state):
    asked = {Event.QUEUE, Event.ROLL_BACK, Event.CANCEL, Event.PAUSE, Event.RESUME}
    assert state in reachable(S.IDLE)
    assert reachable(state, asked) & RESTING


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_any_run_of_events(events):
    """No release is committed that was not proven, switched watched; what was switched is never just dropped."""
    state, since_queued = S.IDLE, []
    for event in events:
        if (state, event) not in TABLE:
            continue
        before, state = state, move(state, event)
        since_queued = [] if state is S.QUEUED else [*since_queued, state]
        if state is S.COMMITTED:
            assert since_queued[:3] == [S.DOWNLOADING, S.VERIFYING, S.PROVING]
            assert since_queued[-3:] == [S.INSTALLING, S.PROBATION, S.COMMITTED]
        if before is S.PROBATION:
            assert state in {S.COMMITTED, S.ROLLING_BACK}
        if before is S.ROLLING_BACK:
            assert state in {S.ROLLED_BACK, S.ROLLBACK_FAILED}


@pytest.mark.parametrize("state", sorted(BEFORE_SWITCH))
def test_whatever_has_changed_nothing_can_be_dropped(state):
    for event in (Event.CANCEL, Event.PAUSE, Event.TIME_OUT, Event.FAIL, Event.REJECT, Event.QUEUE):
        assert move(state, event) in RESTING | {S.QUEUED}


def test_nothing_after_the_switch_can_be_dropped():
    for state in (S.INSTALLING, S.PROBATION, S.ROLLING_BACK):
        for event in (Event.CANCEL, Event.PAUSE, Event.TIME_OUT, Event.REJECT, Event.QUEUE):
            assert (state, event) not in TABLE


@pytest.mark.parametrize("state", UpdateState)
def test_a_start_knows_what_to_do_in_each_state(state):
    """What it does is a move that the table names."""
    moves = {
        Recovery.REST: [],
        Recovery.REQUEUE: [Event.RETRY, Event.FAIL],
        Recovery.LOOK: [Event.RETRY, Event.FAIL, Event.SWITCHED],
        Recovery.STRIKE: [Event.HARM],
        Recovery.RESTORE: [Event.ROLL_BACK if state is S.ROLLBACK_FAILED else Event.RESTORED],
    }
    for event in moves[recover(state)]:
        move(state, event)
    assert (recover(state) is Recovery.REST) == (state in (RESTING | {S.QUEUED}) - {S.ROLLBACK_FAILED})


def test_ends_are_places_of_rest():
    assert ENDS < RESTING
    assert not RESTING & BEFORE_SWITCH


def test_the_document_shows_the_tables_as_they_are():
    text = DOCUMENT.read_text("utf-8")
    assert f"```mermaid\n{diagram()}```\n" in text, "put the output of agent.update.machine.diagram() there"
    assert recovery_table() in text, "put the output of agent.update.machine.recovery_table() there"
