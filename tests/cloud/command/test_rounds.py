"""What is sent when, what is over, and what an answer changes: without a database or a broker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.command.rounds import look
from cloud.store.commands import CommandRecord, State, answered
from tests.cloud.samples import BOOT, NOW, new_id
from wire.commands import Outcome, Phase, Response

LIFE = timedelta(minutes=5)


def queued(**changes: object) -> CommandRecord:
    made = CommandRecord(new_id(), new_id(), "cam-1", "ping", {}, "anna", NOW, NOW + LIFE)
    return replace(made, **changes)  # type: ignore[arg-type]


def response(to: CommandRecord, phase: Phase, outcome: Outcome | None = None) -> Response:
    return Response(
        message_id=new_id(), device=to.device, made_at=NOW, boot_id=BOOT, boot_seq=1, command_id=to.id,
        name=to.name, phase=phase, outcome=outcome,
    )  # fmt: skip


def test_it_is_sent_once_while_the_device_is_there_and_again_when_it_came_back_or_is_silent() -> None:
    new = queued()
    sent = queued(state=State.SENT, sent_at=NOW)
    taken = queued(state=State.ACCEPTED, sent_at=NOW)
    soon, later = NOW + timedelta(seconds=1), NOW + timedelta(seconds=15)
    assert look([new, sent, taken], set(), set(), soon).send == ()
    assert look([new, sent, taken], {"cam-1"}, set(), soon).send == (new,)
    assert look([new, sent, taken], {"cam-1"}, {"cam-1"}, soon).send == (new, sent, taken)
    assert look([new, sent, taken], {"cam-1"}, set(), later).send == (new, sent)


@given(
    st.sampled_from([State.QUEUED, State.SENT, State.ACCEPTED, State.RUNNING]),
    st.floats(-3600, 7200),
    st.booleans(),
    st.booleans(),
)
def test_nothing_is_sent_after_its_time_and_everything_ends(state, after_s, online, came) -> None:
    command = queued(state=state, sent_at=None if state is State.QUEUED else NOW)
    now = command.expires_at + timedelta(seconds=after_s)
    here = {"cam-1"} if online else set()
    done = look([command], here, here if came else set(), now)
    assert not (done.send and now >= command.expires_at)
    if after_s > 20 * 60 + 1:
        assert done.over[0].command is command
    if now < command.expires_at:
        assert done.over == ()


PHASES = st.sampled_from([(Phase.ACCEPTED, None), (Phase.PROGRESS, None), *((Phase.DONE, one) for one in Outcome)])


@given(st.lists(PHASES, max_size=8), st.data())
def test_answers_in_any_order_and_number_lead_to_the_first_outcome(said, data) -> None:
    before = queued(state=State.SENT)
    answers = [response(before, *one) for one in said]
    after = before
    for one in answers:
        after = answered(after, one, NOW)
        assert answered(after, one, NOW) == after
    outcomes = [one.outcome for one in answers if one.outcome is not None]
    assert after.outcome == (outcomes[0] if outcomes else None)
    assert after.is_open == (not outcomes)
    for one in data.draw(st.lists(st.sampled_from(answers), max_size=4)) if outcomes else []:
        assert answered(after, one, NOW) == after


def test_the_devices_word_corrects_what_the_cloud_concluded() -> None:
    concluded = queued(state=State.DONE, outcome=Outcome.EXPIRED, finished_at=NOW)
    assert answered(concluded, response(concluded, Phase.ACCEPTED), NOW) == concluded
    assert answered(concluded, response(concluded, Phase.DONE, Outcome.OK), NOW).outcome is Outcome.OK
