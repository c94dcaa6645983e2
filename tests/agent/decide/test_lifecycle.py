"""The table of an alert's life."""

from __future__ import annotations

import itertools

import pytest

from agent.decide.lifecycle import MOVES, Phase, move
from agent.errors import LifecycleBroken
from wire.messages import AlertEvent, AlertState


def test_every_move_that_the_table_does_not_name_is_refused():
    for key in itertools.product(Phase, AlertState, AlertEvent, AlertState):
        if key in MOVES:
            assert move(*key) is MOVES[key]
        else:
            with pytest.raises(LifecycleBroken, match="report"):
                move(*key)


def test_what_must_hold_of_any_table():
    for (phase, before, event, after), then in MOVES.items():
        assert (event is AlertEvent.NEW) == (phase is Phase.UNRAISED), "raised once"
        assert (then is Phase.ENDED) == (event is AlertEvent.END or phase is Phase.ENDED), "the end is the end"
        assert not (phase is Phase.ENDED and event is AlertEvent.END), "one end"
        if after is AlertState.PROVISIONAL:
            assert before is AlertState.PROVISIONAL, "what was decided stays decided"
        assert then is Phase.ENDED or after is not AlertState.RETRACTED, "a retraction ends"
