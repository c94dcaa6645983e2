"""`update-model`: the repository is looked at now, and what is desired is tried again; nothing else ever is."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.app.model_commands import WorkerCommands
from agent.command.arguments import UpdateModelArguments
from agent.command.errors import CommandFailed, CommandRefused
from agent.errors import (
    CandidateRejected,
    DownloadFailed,
    MetadataExpired,
    ReleaseNotAllowed,
    RepositoryUnreachable,
    UpdateError,
)
from agent.update.look import Again, Hurry, Refused, Runs, Waits, Wanted, decide
from agent.update.machine import RESTING
from agent.update.record import UpdateRecord
from agent.update.settings import UpdateSettings
from tests.agent.update.worker.bench import NEW, NEWER, OLD, Device, named, on, wanted
from wire.updates import GroupRelease, UpdateState, Window

S = UpdateState
NIGHT = Window(from_minute=60, to_minute=240)
"""The bench's clock begins at noon."""


ANYTHING = Wanted()


class Asker:
    """Asks once the device rests, and keeps what it is told."""

    def __init__(self, device: Device, request: Wanted = ANYTHING, *, at: str = "at_rest") -> None:
        self.told: list[object] = []
        getattr(device, at).append(lambda: device.worker.look(request, self.told.append))

    @property
    def answer(self) -> object:
        (told,) = self.told
        return told


@pytest.fixture
def device(tmp_path: Path) -> Device:
    device = Device(tmp_path)
    on(device, OLD)
    return device


def failed(device: Device, error: type[UpdateError] = DownloadFailed, **more: object) -> None:
    """Bring it to where it has given up on NEW."""
    device.script.plan["fetch"] = [named(error)] * device.settings.max_attempts
    assert device.update(wanted(version=2, **more)).state in RESTING - {S.COMMITTED}
    device.script.plan.clear()
    device.restart()
    device.reports.clear()
    device.script.calls.clear()


@pytest.mark.parametrize(
    ("error", "state"), [(DownloadFailed, S.FAILED), (CandidateRejected, S.REJECTED), (ReleaseNotAllowed, S.REJECTED)]
)
def test_what_was_given_up_is_tried_again_and_committed(device, error, state):
    failed(device, error)
    assert device.worker.facts().state is state
    asker = Asker(device)
    facts = device.update()
    assert asker.answer == Again(NEW)
    assert (facts.state, facts.running, facts.desired_version) == (S.COMMITTED, NEW, 2)
    assert device.works() == NEW


def test_a_timed_out_update_begins_with_all_its_time(device):
    device.script.plan["group_release"] = [named(RepositoryUnreachable)] * 1000
    assert device.update(wanted(version=2, timeout_s=60)).state is S.TIMED_OUT
    device.script.plan.clear()
    device.restart()
    Asker(device)
    assert device.update().state is S.COMMITTED


def test_a_pause_between_attempts_is_cut_short(device):
    device.script.plan["fetch"] = [named(DownloadFailed)] * 2
    device.chance = 1.0
    asker = Asker(device, at="while_waiting")
    began = device.clock.now
    assert device.update(wanted(version=2)).state is S.COMMITTED
    assert asker.answer == Hurry(NEW)
    # Only the second pause was waited for, and it is no longer than the first would have been.
    assert device.clock.now - began == pytest.approx(device.settings.retry_min_s)


def test_what_runs_already_is_said_and_nothing_is_done(device):
    on(device, NEW, 2)
    asker = Asker(device)
    assert device.update().state is S.COMMITTED
    assert asker.answer == Runs(NEW)
    assert device.script.calls == ["group_release"]


def test_twice_is_once(device):
    failed(device)
    first, second = Asker(device), Asker(device)
    device.at_rest[:] = [lambda both=tuple(device.at_rest): [ask() for ask in both]]
    assert device.update().state is S.COMMITTED
    assert (first.answer, second.answer) == (Again(NEW), Hurry(NEW))
    assert device.script.calls.count("fetch") == device.script.calls.count("prove") == 1


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Wanted(name="another"), "detector new is what this device shall run, and a command can't choose another"),
        (Wanted(version="newer"), r"signed for group all: detector old, detector new, detector newer"),
        (Wanted(digest=NEWER.digest), "can't choose another"),
        (Wanted(now=True), "waits for its maintenance windows"),
    ],
)
def test_another_than_the_desired_is_refused_and_changes_nothing(device, request_, said):
    failed(device)
    before = device.records.load()
    asker = Asker(device, request_)
    device.update()
    assert isinstance(asker.answer, Refused)
    assert said in asker.answer.what
    assert device.records.load() == before
    assert "fetch" not in device.script.calls


def test_the_desired_by_name_is_no_choice(device):
    failed(device)
    asker = Asker(device, Wanted(NEW.name, NEW.version, NEW.digest))
    assert device.update().state is S.COMMITTED
    assert asker.answer == Again(NEW)


def test_what_is_no_longer_signed_or_too_old_is_refused(device):
    failed(device)
    device.repository.allowed = (OLD,)
    asker = Asker(device)
    device.update()
    assert "does not allow detector new" in asker.answer.what
    device.restart()
    device.repository.allowed, device.repository.min_release = (OLD, NEW), {"detector": 3}
    asker = Asker(device)
    assert device.update().running == OLD
    assert "below the signed minimum" in asker.answer.what


def test_what_did_harm_stays_in_quarantine(device):
    device.script.plan["watch"] = [named(CandidateRejected)]
    assert device.update(wanted(version=2)).state is S.ROLLED_BACK
    device.restart()
    asker = Asker(device)
    facts = device.update()
    assert "quarantined" in asker.answer.what
    assert (facts.state, facts.running) == (S.ROLLED_BACK, OLD)


def test_without_a_rollout_there_is_nothing_to_look_for(tmp_path):
    device = Device(tmp_path)
    asker = Asker(device)
    device.update()
    assert "no rollout has told" in asker.answer.what
    assert device.script.calls == []


def test_going_back_waits_for_nobody(device):
    on(device, NEW, 2)

    def both() -> None:
        device.worker.rollback("asked for")
        device.worker.look(Wanted(), told.append)

    told: list[object] = []
    device.at_rest.append(both)
    assert device.update().state is S.ROLLED_BACK
    assert (told[0].what, "group_release" in device.script.calls) == ("the update is rolling_back", False)


def test_what_an_operator_rolled_back_is_taken_up_again_when_it_is_asked_for(device):
    on(device, NEW, 2)
    asker = Asker(device)
    device.at_rest.insert(0, lambda: device.worker.rollback("asked for"))
    facts = device.update()
    assert asker.answer == Again(NEW)
    assert (facts.state, facts.running) == (S.COMMITTED, NEW)


def test_a_paused_rollout_stays_paused(device):
    device.update(wanted(version=2, paused=True))
    device.restart()
    asker = Asker(device)
    assert device.update().state is S.PAUSED
    assert asker.answer.what == "the rollout is paused"


@pytest.mark.parametrize("error", [RepositoryUnreachable, MetadataExpired])
def test_a_repository_that_cannot_be_asked_is_named(device, error):
    failed(device)
    device.script.plan["group_release"] = [named(error)]
    asker = Asker(device)
    assert device.update().state is S.FAILED
    assert isinstance(asker.answer, error)
    assert device.worker.facts().trust == ("MetadataExpired" if error is MetadataExpired else "ok")


def test_a_window_holds_and_the_update_waits_for_it(device):
    failed(device, windows=(NIGHT,))
    device.clock.now += 6 * 3_600  # the window is over
    asker = Asker(device)
    before = device.clock.now
    # At rest again only after the window opened.
    assert device.update().state is S.COMMITTED
    assert isinstance(asker.answer, Waits)
    assert asker.answer.opens_s > 3_600
    assert device.clock.now - before >= asker.answer.opens_s


def test_a_window_may_be_skipped_where_the_device_lets_it(tmp_path):
    device = Device(tmp_path, UpdateSettings(min_free_mib=0, max_model_mib=1, may_skip_window=True))
    on(device, OLD)
    device.script.plan["prove"] = [named(CandidateRejected)]
    device.update(wanted(version=2, windows=(NIGHT,)))
    assert device.worker.facts().state is S.REJECTED
    device.restart()
    before = device.clock.now
    asker = Asker(device, Wanted(now=True))
    assert device.update().state is S.COMMITTED
    assert asker.answer == Again(NEW)
    assert device.clock.now - before < 3_600


@given(
    state=st.sampled_from(UpdateState),
    request_=st.builds(
        Wanted,
        st.sampled_from([None, "detector", "another"]),
        st.sampled_from([None, "old", "new"]),
        st.sampled_from([None, OLD.digest, NEW.digest]),
    ),
    running=st.sampled_from([OLD, NEW, NEWER]),
    desired=st.sampled_from([None, OLD, NEW, NEWER]),
    allowed=st.sets(st.sampled_from([OLD, NEW, NEWER]), min_size=1),
    floor=st.integers(0, 4),
    quarantined=st.sets(st.sampled_from([OLD.digest, NEW.digest, NEWER.digest])),
)
def test_nothing_begins_but_what_is_desired_signed_and_harmless(
    state, request_, running, desired, allowed, floor, quarantined
):
    record = UpdateRecord(state=state, desired=wanted(desired), quarantined=tuple(quarantined))
    release = GroupRelease(group="all", sequence=1, allowed=tuple(allowed), min_release={"detector": floor})
    decided = decide(record, running, release, request_)
    if isinstance(decided, Refused):
        assert decided.what
        return
    assert decided.ref == desired
    assert request_.means(desired)
    assert desired in allowed
    assert desired.number >= floor
    assert desired.digest not in quarantined
    if isinstance(decided, Runs):
        assert running == desired
    if isinstance(decided, Again):
        assert state in RESTING


# --- as a command ------------------------------------------------------------------------------------------------


async def asked(device: Device, **arguments: object) -> tuple[list[tuple[float, str]], object]:
    """Ask as a command does, with the worker in a thread of its own; what was said, and the result or error."""
    commands = WorkerCommands(device.worker)
    said: list[tuple[float, str]] = []
    report = device.reports.append
    device.hear = lambda facts: (report(facts), commands.heard(facts))
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()

    def until_asked() -> None:
        loop.call_soon_threadsafe(ready.set)
        assert device.worker._inbox.wake.wait(20)

    device.at_rest.append(until_asked)
    thread = threading.Thread(target=device.worker.run)
    thread.start()
    await ready.wait()
    try:
        result: object = await commands.update(
            UpdateModelArguments.model_validate(arguments), lambda *one: said.append(one)
        )
    except (CommandRefused, CommandFailed, UpdateError) as failure:
        result = failure
    finally:
        device.worker.stop()
        await asyncio.to_thread(thread.join)
    return said, result


async def test_a_command_tells_each_state_and_answers_with_the_end(device):
    failed(device)
    said, result = await asked(device)
    assert result == {"state": "committed", "model": NEW.name, "version": "new", "digest": NEW.digest}
    shares, words = zip(*said, strict=True)
    assert list(shares) == sorted(shares)
    states = [word.partition(":")[0] for word in dict.fromkeys(words)]
    assert states == ["queued", "downloading", "verifying", "proving", "shadowing", "installing", "probation"]


async def test_a_command_that_ends_badly_says_why(device):
    failed(device)
    device.script.plan["prove"] = [named(CandidateRejected)]
    _, result = await asked(device)
    assert isinstance(result, CommandFailed)
    assert result.what == "detector new is rejected: CandidateRejected: it went wrong"


async def test_a_command_about_what_runs_is_done_at_once(device):
    on(device, NEW, 2)
    said, result = await asked(device, model="detector")
    assert (said, result["state"]) == ([], "already_installed")


async def test_a_command_for_another_model_is_refused(device):
    failed(device)
    _, result = await asked(device, model="yolo")
    assert isinstance(result, CommandRefused)
    assert "detector new is what this device shall run" in result.what


async def test_a_command_outside_of_the_window_says_when(device):
    failed(device, windows=(NIGHT,))
    device.clock.now += 6 * 3_600  # the window is over
    device.while_waiting.append(lambda: device.worker._inbox.wake.wait(20))
    _, result = await asked(device)
    assert isinstance(result, CommandFailed)
    assert "queued, and begins when its maintenance window opens, in " in result.what


async def test_a_command_that_takes_too_long_leaves_the_update_going(device):
    failed(device)
    going_on = threading.Event()
    device.script.plan["fetch"] = [lambda: going_on.wait(20)]
    commands = WorkerCommands(device.worker, longest_s=0.2)
    device.at_rest.append(lambda: device.worker._inbox.wake.wait(20))
    thread = threading.Thread(target=device.worker.run)
    thread.start()
    with pytest.raises(CommandFailed, match=r"after 0\.2 s it is .*, and goes on"):
        await commands.update(UpdateModelArguments(), lambda *_: None)
    going_on.set()
    await asyncio.to_thread(thread.join)
    assert device.worker.facts().state is S.COMMITTED
