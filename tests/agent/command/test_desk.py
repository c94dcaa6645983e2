"""A command from its coming to its answer, on a real journal."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from agent.command.errors import CommandFailed, CommandRefused
from wire.commands import Outcome, Phase

from .rig import CLOUD, Rig, command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "commands.db"


async def test_command_is_accepted_and_done(file: Path) -> None:
    async with Rig(file) as rig:
        asked = command()
        await rig.desk.take(asked)
        done = await rig.done(asked)
        assert [one.phase for one in rig.said] == [Phase.ACCEPTED, Phase.DONE]
        assert (done.outcome, done.result) == (Outcome.OK, {"times": 1})


async def test_a_hundred_copies_have_one_effect_and_one_answer(file: Path) -> None:
    async with Rig(file) as rig:
        asked = command()
        for _ in range(50):
            await rig.desk.take(asked)
        await rig.done(asked)
        for _ in range(50):
            await rig.desk.take(asked)
        await rig.done(asked, times=51)
        assert len(rig.effects) == 1
        assert len({one.message_id for one in rig.said}) == 2


async def test_a_copy_after_a_restart_gets_the_recorded_answer(file: Path) -> None:
    asked = command()
    async with Rig(file) as rig:
        await rig.desk.take(asked)
        first = await rig.done(asked)
    async with Rig(file) as rig:
        await rig.desk.take(asked)
        assert await rig.done(asked) == first
        assert rig.effects == []


@pytest.mark.parametrize("wrong_by", [timedelta(days=-20 * 365), timedelta(0), timedelta(days=14 * 365)])
async def test_expiry_is_by_the_clouds_clock_however_wrong_the_devices_is(file: Path, wrong_by: timedelta) -> None:
    async with Rig(file, wall=CLOUD + wrong_by) as rig:
        fresh = command()
        stale = command(made_at=CLOUD - timedelta(hours=2))
        for asked in (stale, fresh):
            await rig.desk.take(asked)
        assert (await rig.done(stale)).outcome is Outcome.EXPIRED
        assert (await rig.done(fresh)).outcome is Outcome.OK
        assert [task.id for task in rig.effects] == [fresh.message_id]


async def test_a_command_whose_turn_comes_too_late_is_expired(file: Path) -> None:
    async with Rig(file) as rig:
        first, second = command("mute", arguments={"for_s": 1}), command(life_s=10)
        going_on = asyncio.Event()
        real = rig.effect

        async def slow(task):
            rig.clock.turn(60)
            await going_on.wait()
            return await real(task)

        rig.desk._actions = {"mute": slow, "ping": real}
        await rig.desk.take(first)
        await rig.desk.take(second)
        going_on.set()
        assert (await rig.done(second)).outcome is Outcome.EXPIRED
        assert len(rig.effects) == 1


async def test_nobody_waits_for_a_clip_or_an_update(file: Path) -> None:
    async with Rig(file) as rig:
        going_on = asyncio.Event()
        real = rig.effect

        async def slow(task):
            await going_on.wait()
            return await real(task)

        rig.desk._actions = {"capture-clip": slow, "update-model": slow, "ping": real}
        clips = [command("capture-clip"), command("capture-clip")]
        update, ping = command("update-model"), command()
        for asked in (*clips, update, ping):
            await rig.desk.take(asked)
        await rig.done(ping)
        assert [task.id for task in rig.effects] == [ping.message_id]
        going_on.set()
        for asked in (*clips, update):
            assert (await rig.done(asked)).outcome is Outcome.OK
        done = [task.id for task in rig.effects if task.id != update.message_id]
        assert done == [one.message_id for one in (ping, *clips)]


@pytest.mark.parametrize(("wall", "outcome"), [(0, Outcome.OK), (3600, Outcome.EXPIRED)])
async def test_a_cloud_that_acks_nothing_leaves_the_wall_clock_to_decide(
    file: Path, wall: float, outcome: Outcome
) -> None:
    async with Rig(file, acks=False, wall=CLOUD + timedelta(seconds=wall), proof_wait_s=0.0) as rig:
        asked = command()
        await rig.desk.take(asked)
        assert (await rig.done(asked)).outcome is outcome


async def test_without_proof_the_clock_is_not_before_what_an_earlier_run_saw(file: Path) -> None:
    async with Rig(file) as rig:
        asked = command(made_at=CLOUD + timedelta(hours=1))
        await rig.desk.take(asked)
        await rig.done(asked)
    async with Rig(file, acks=False, wall=CLOUD - timedelta(days=9999), proof_wait_s=0.0) as rig:
        old = command()
        await rig.desk.take(old)
        assert (await rig.done(old)).outcome is Outcome.EXPIRED


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("open-the-door", {}, "is no command of this agent"),
        ("capture-clip", {"before_s": 5}, "before_s is no argument"),
        ("capture-clip", {"for_s": 61}, "less than or equal to 60"),
        ("update-model", {"model": "../x"}, "model"),
        ("ping", {"loudly": True}, "loudly is no argument"),
        ("mute", {}, "for_s: Field required"),
        ("mute", {"for_s": -1}, "greater than or equal to 0"),
        ("mute", {"for_s": "ages"}, "for_s"),
        ("snapshot", {"quality": 400}, "quality"),
        ("set-config", {"toml": "", "reset": True}, "say one of"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_words(
    file: Path, name: str, arguments: dict[str, object], said: str
) -> None:
    async with Rig(file) as rig:
        asked = command(name, arguments=arguments)
        await rig.desk.take(asked)
        done = await rig.done(asked)
        assert done.outcome is Outcome.REFUSED
        assert said in done.reason
        assert rig.effects == []
        assert len(rig.said) == 1


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [(CommandRefused("no"), Outcome.REFUSED), (CommandFailed("tried"), Outcome.FAILED)],
)
async def test_what_an_action_raises_is_the_outcome(file: Path, raised: Exception, outcome: Outcome) -> None:
    async with Rig(file) as rig:

        async def fails(task):
            task.progress(0.5, "half\nway")
            raise raised

        rig.desk._actions = {"ping": fails}
        asked = command()
        await rig.desk.take(asked)
        assert (await rig.done(asked)).outcome is outcome
        progress = rig.said[1]
        assert (progress.phase, progress.progress, progress.reason) == (Phase.PROGRESS, 0.5, "half way")


async def test_a_command_that_never_ends_is_given_up_and_the_next_is_done(file: Path) -> None:
    async with Rig(file, longest_s=0.05) as rig:
        real = rig.effect

        async def hangs(task):
            await asyncio.Event().wait()

        rig.desk._actions = {"mute": hangs, "ping": real}
        stuck, after = command("mute", arguments={"for_s": 1}), command()
        await rig.desk.take(stuck)
        await rig.desk.take(after)
        assert (await rig.done(stuck)).outcome is Outcome.FAILED
        assert (await rig.done(after)).outcome is Outcome.OK


@pytest.mark.parametrize(("name", "outcome"), [("ping", Outcome.FAILED), ("restart", Outcome.OK)])
async def test_a_crash_in_the_middle_is_answered_at_the_next_start(file: Path, name: str, outcome: Outcome) -> None:
    asked = command(name)
    async with Rig(file) as rig:
        begun = asyncio.Event()

        async def dies(task):
            begun.set()
            await asyncio.Event().wait()

        rig.desk._actions = {name: dies}
        await rig.desk.take(asked)
        async with asyncio.timeout(60):
            await begun.wait()
    async with Rig(file) as rig:
        assert (await rig.done(asked)).outcome is outcome
        await rig.desk.take(asked)
        await rig.done(asked, times=2)
        assert rig.effects == []


async def test_a_restart_that_was_not_begun_is_not_said_to_be_done(file: Path) -> None:
    asked = command("restart")
    async with Rig(file, acks=False) as rig:
        await rig.desk.take(asked)
        await rig.until(lambda: rig.said)
    async with Rig(file) as rig:
        done = await rig.done(asked)
        assert (done.outcome, "before it was begun" in done.reason) == (Outcome.FAILED, True)


async def test_answers_are_said_again_until_the_cloud_has_them(file: Path) -> None:
    asked = command()
    async with Rig(file, acks=False, proof_wait_s=0.0) as rig:
        await rig.desk.take(asked)
        first = await rig.done(asked)
    async with Rig(file) as rig:
        assert await rig.done(asked) == first
        await asyncio.gather(*rig.desk._acking)
    async with Rig(file) as rig:
        other = command()
        await rig.desk.take(other)
        await rig.done(other)
        assert {one.command_id for one in rig.said} == {other.message_id}


async def test_an_answer_made_as_a_connection_begins_is_said_once(file: Path) -> None:
    async with Rig(file, acks=False) as rig:
        kept, go_on = asyncio.Event(), threading.Event()
        loop, real = asyncio.get_running_loop(), rig.journal.finish

        def finish(*entry) -> None:
            real(*entry)
            loop.call_soon_threadsafe(kept.set)
            assert go_on.wait(60)

        rig.journal.finish = finish
        asked, after = command("open-the-door"), command("open-the-gate")
        taking = asyncio.create_task(rig.desk.take(asked))
        async with asyncio.timeout(60):
            await kept.wait()
        rig.end_connection()
        rig.begin_connection()
        await asyncio.sleep(0)
        go_on.set()
        await taking
        await rig.desk.take(after)
        await rig.done(after)
        assert [one.command_id for one in rig.said] == [asked.message_id, after.message_id]


async def test_too_many_at_once_are_refused(file: Path) -> None:
    async with Rig(file, acks=False) as rig:
        asked = [command() for _ in range(33)]
        for one in asked:
            await rig.desk.take(one)
        done = await rig.done(asked[-1])
        assert (done.outcome, "wait already" in done.reason) == (Outcome.REFUSED, True)


async def test_a_result_that_does_not_fit_is_a_failure(file: Path) -> None:
    async with Rig(file) as rig:

        async def much(task):
            return {"report": "x" * 20_000}

        rig.desk._actions = {"ping": much}
        asked = command()
        await rig.desk.take(asked)
        done = await rig.done(asked)
        assert (done.outcome, "over the limit" in done.reason) == (Outcome.FAILED, True)


async def test_what_cannot_be_recorded_is_not_done(file: Path) -> None:
    async with Rig(file) as rig:
        with sqlite3.connect(file) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = command()
            await rig.desk.take(asked)
            done = await rig.done(asked)
            await rig.desk.take(asked)
            other.rollback()
        assert (done.outcome, "can't be recorded" in done.reason) == (Outcome.REFUSED, True)
        await rig.desk.take(asked)
        assert await rig.done(asked, times=3) == done
        assert rig.effects == []


async def test_a_damaged_journal_is_set_aside(file: Path) -> None:
    await asyncio.to_thread(file.write_bytes, b"no database, " * 100)
    async with Rig(file) as rig:
        asked = command()
        await rig.desk.take(asked)
        assert (await rig.done(asked)).outcome is Outcome.OK
        assert rig.faults.counts()["OutboxCorrupt"] == 1


@pytest.mark.parametrize("year", [1, 9999])
async def test_a_hostile_time_overflows_nothing(file: Path, year: int) -> None:
    made_at = CLOUD.replace(year=year, month=6)
    async with Rig(file) as rig:
        asked = command(made_at=made_at)
        await rig.desk.take(asked)
        await rig.done(asked)
    async with Rig(file) as rig:
        fresh = command()
        await rig.desk.take(fresh)
        assert (await rig.done(fresh)).outcome is Outcome.OK
