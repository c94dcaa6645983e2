from __future__ import annotations

import asyncio

import pytest

from cloud.errors import StoreFailed
from cloud.offload.errors import OffloadStopped, QuestionNotYours, TooManyQuestions
from cloud.offload.service import SWEEP_BATCH, SWEEP_ROWS
from tests.cloud.offload.fakes import BOUND_S, BOX, hex_id, jpeg, question
from vision.errors import InferenceFailed, PictureUnreadable
from wire.messages import AskReason, DecidedBy, Decision
from wire.topics import Channel

PICTURE = jpeg()


def ask(service, world, asked, picture=PICTURE):
    return asyncio.create_task(service.answer(asked, picture, world.clock.monotonic()))


async def begun(world):
    await asyncio.wait_for(world.judge.begun.acquire(), BOUND_S)


async def finished(task):
    return await asyncio.wait_for(task, BOUND_S)


async def test_a_question_gets_its_verdict_and_both_are_kept(world):
    async with world.service() as service:
        verdict = await finished(ask(service, world, question()))
    assert verdict.decision is Decision.CONFIRMED
    assert (verdict.question_id, verdict.alert_id, verdict.device) == (hex_id(1), hex_id(1001), "cam-1")
    assert (verdict.label, verdict.score, verdict.box) == ("person", pytest.approx(0.87), pytest.approx(BOX))
    assert (verdict.decided_by, verdict.model, verdict.late) == (DecidedBy.CLOUD, "ensemble 1", False)
    assert world.store.verdicts == {hex_id(1): verdict}
    key = f"questions/cam-1/{hex_id(1)}.jpg"
    assert world.blobs.kept == {key: PICTURE}
    assert world.judge.shown == [(96, 96, 3)]
    assert world.witness.heard == [
        ("asked", hex_id(1), key),
        ("decided", hex_id(1), Decision.CONFIRMED),
    ]
    assert world.link.sent == []


async def test_nothing_there_is_retracted(world):
    world.judge.sees_person = False
    async with world.service() as service:
        verdict = await finished(ask(service, world, question()))
    assert (verdict.decision, verdict.label) == (Decision.RETRACTED, None)


async def test_only_the_object_and_what_is_around_it_is_judged(world):
    asked = question(box=(0.45, 0.45, 0.55, 0.55))
    world.judge.size = (220, 220)
    async with world.service() as service:
        verdict = await finished(ask(service, world, asked, jpeg(1000, 1000)))
    ((height, width, _),) = world.judge.shown
    assert (width, height) == pytest.approx((330, 330), abs=2), "the object and what is around it, with a margin"
    assert verdict.box == pytest.approx((0.445, 0.445, 0.555, 0.555), abs=0.002)


async def test_the_same_question_again_gets_the_same_verdict_without_a_second_look(world):
    async with world.service() as service:
        first = await finished(ask(service, world, question()))
        again = await finished(ask(service, world, question()))
    async with world.service() as service:
        after_restart = await finished(ask(service, world, question()))
    assert first == again == after_restart
    assert len(world.judge.shown) == 1


async def test_the_same_question_while_it_is_judged_joins_it(world):
    world.judge.gate.clear()
    async with world.service() as service:
        first = ask(service, world, question())
        await begun(world)
        second = ask(service, world, question())
        await asyncio.sleep(0)
        world.judge.gate.set()
        assert await finished(first) == await finished(second)
    assert len(world.judge.shown) == 1


@pytest.mark.parametrize("answered", [False, True])
async def test_another_devices_question_is_not_answered(world, answered):
    async with world.service() as service:
        if answered:
            await finished(ask(service, world, question()))
        else:
            world.judge.gate.clear()
            mine = ask(service, world, question())
            await begun(world)
        with pytest.raises(QuestionNotYours):
            await finished(ask(service, world, question(device="cam-2")))
        world.judge.gate.set()
        if not answered:
            assert (await finished(mine)).device == "cam-1"
    assert all(kept.device == "cam-1" for kept in world.store.verdicts.values())


async def test_past_the_deadline_the_verdict_goes_down_instead(world):
    world.judge.gate.clear()
    async with world.service() as service:
        asked = ask(service, world, question(deadline_ms=800))
        await begun(world)
        world.clock.advance(0.8)
        assert await finished(asked) is None
        world.clock.advance(1.2)
        world.judge.gate.set()
        verdict = await world.link.next()
        again = await finished(ask(service, world, question(deadline_ms=800)))
    assert (verdict.late, verdict.decision, verdict.took_ms) == (True, Decision.CONFIRMED, 2000.0)
    assert again == verdict
    assert [(device, channel) for device, channel, _ in world.link.sent] == [("cam-1", Channel.VERDICTS)]


async def test_a_verdict_reached_in_time_is_waited_for_while_it_is_stored(world):
    world.store.verdict_gate.clear()
    async with world.service() as service:
        asked = ask(service, world, question(deadline_ms=800))
        await asyncio.wait_for(world.store.writing_verdict.acquire(), BOUND_S)
        world.clock.advance(5)
        done, _ = await asyncio.wait({asked}, timeout=0.05)
        assert not done
        world.store.verdict_gate.set()
        verdict = await finished(asked)
    assert verdict.late is False


async def test_nobody_is_told_that_an_answer_will_come_before_the_question_is_kept(world):
    world.store.gate.clear()
    world.judge.gate.clear()
    async with world.service() as service:
        asked = ask(service, world, question(deadline_ms=800))
        await asyncio.wait_for(world.store.adding.acquire(), BOUND_S)
        world.clock.advance(5)
        done, _ = await asyncio.wait({asked}, timeout=0.05)
        assert not done
        world.store.gate.set()
        assert await finished(asked) is None
    assert hex_id(1) in world.store.questions


async def test_a_verdict_that_may_cross_the_devices_own_deadline_goes_both_ways(world):
    world.judge.gate.clear()
    async with world.service() as service:
        asked = ask(service, world, question(deadline_ms=1000))
        await begun(world)
        world.clock.advance(0.9)
        world.judge.gate.set()
        verdict = await finished(asked)
        assert await world.link.next() == verdict
    assert verdict.late is False


async def test_a_second_copy_that_cannot_be_sent_hurts_nobody(world):
    world.link.cut = True
    world.judge.gate.clear()
    async with world.service() as service:
        asked = ask(service, world, question(deadline_ms=1000))
        await begun(world)
        world.clock.advance(0.9)
        world.judge.gate.set()
        assert (await finished(asked)).decision is Decision.CONFIRMED


async def test_a_question_left_by_a_crash_is_answered_after_the_restart(world):
    world.judge.gate.clear()
    async with world.service() as service:
        asked = ask(service, world, question())
        await begun(world)
    with pytest.raises(OffloadStopped):
        await finished(asked)
    assert world.store.verdicts == {}

    world.judge.gate.set()
    async with world.service():
        verdict = await world.link.next()
    assert (verdict.question_id, verdict.late, verdict.decision) == (hex_id(1), True, Decision.CONFIRMED)


async def test_many_left_over_questions_are_all_answered(world):
    for number in range(1, 31):
        asked = question(number)
        key = f"questions/cam-1/{asked.message_id}.jpg"
        await world.blobs.put(key, PICTURE)
        await world.store.add_question(asked, key, len(PICTURE))
    async with world.service():
        heard = {(await world.link.next()).question_id for _ in range(30)}
    assert heard == {hex_id(number) for number in range(1, 31)}


async def test_a_late_verdict_that_cannot_be_sent_is_tried_again(world):
    world.link.cut = True
    world.judge.gate.clear()
    async with world.service(resume_every_s=30) as service:
        asked = ask(service, world, question(deadline_ms=100))
        await begun(world)
        world.clock.advance(0.2)
        assert await finished(asked) is None
        world.judge.gate.set()
        assert await service.sweep() == 0
        assert world.store.verdicts == {}
        world.link.cut = False
        world.clock.advance(30)
        assert (await world.link.next()).late


async def test_a_picture_that_is_lost_does_not_stop_the_others(world):
    await world.store.add_question(question(1), "questions/cam-1/gone.jpg", 10)
    await world.blobs.put("here.jpg", PICTURE)
    await world.store.add_question(question(2), "here.jpg", len(PICTURE))
    async with world.service():
        assert (await world.link.next()).question_id == hex_id(2)


async def test_however_many_pictures_are_lost_the_others_have_their_turn(world):
    for number in range(1, SWEEP_ROWS + 1):
        await world.store.add_question(question(number), f"gone-{number}.jpg", 10)
    await world.blobs.put("here.jpg", PICTURE)
    await world.store.add_question(question(SWEEP_ROWS + 1), "here.jpg", len(PICTURE))
    service = world.service(attempts=1)
    assert await service.sweep() == 0
    assert await service.sweep() == 1


async def test_what_fails_again_and_again_is_left_alone(world):
    world.judge.failure = InferenceFailed("the model failed")
    await world.blobs.put("here.jpg", PICTURE)
    await world.store.add_question(question(), "here.jpg", len(PICTURE))
    service = world.service(attempts=2)
    for _ in range(5):
        assert await service.sweep() == 0
    assert len(world.judge.shown) == 2


async def test_what_fails_since_the_broker_is_away_is_answered_when_it_is_back(world):
    await world.blobs.put("here.jpg", PICTURE)
    for number in range(1, 2 * SWEEP_BATCH + 1):
        await world.store.add_question(question(number), "here.jpg", len(PICTURE))
    world.link.cut = True
    service = world.service(attempts=2)
    for _ in range(5):
        assert await service.sweep() == 0
    assert len(world.judge.shown) == 5 * SWEEP_BATCH  # those behind would fail as well
    world.link.cut = False
    assert await service.sweep() == 2 * SWEEP_BATCH


async def test_what_fails_since_the_store_refuses_is_answered_when_it_does_not_any_more(world):
    await world.blobs.put("here.jpg", PICTURE)
    await world.store.add_question(question(), "here.jpg", len(PICTURE))
    world.store.refuses_verdicts = True
    service = world.service(attempts=2)
    for _ in range(5):
        assert await service.sweep() == 0
    world.store.refuses_verdicts = False
    assert await service.sweep() == 1


async def test_a_failed_model_is_told_and_the_question_kept_for_another_try(world):
    world.judge.failure = InferenceFailed("the model failed")
    async with world.service() as service:
        with pytest.raises(InferenceFailed):
            await finished(ask(service, world, question()))
        world.judge.failure = None
        assert await service.sweep() == 1
    assert world.store.verdicts[hex_id(1)].decision is Decision.CONFIRMED


async def test_a_store_that_refuses_the_verdict_is_told(world):
    world.store.refuses_verdicts = True
    async with world.service() as service:
        with pytest.raises(StoreFailed):
            await finished(ask(service, world, question()))


@pytest.mark.parametrize("picture", [b"", b"no picture", PICTURE[: len(PICTURE) // 2], PICTURE[:20]])
async def test_an_unreadable_picture_is_refused_and_nothing_kept(world, picture):
    async with world.service() as service:
        with pytest.raises(PictureUnreadable):
            await finished(ask(service, world, question(), picture))
    assert world.blobs.kept == {}
    assert world.store.questions == {}


async def test_over_the_bound_questions_are_refused_and_the_rest_served(world):
    world.judge.gate.clear()
    async with world.service(max_open=2, at_once=1) as service:
        asked = [ask(service, world, question(number)) for number in (1, 2)]
        await begun(world)
        with pytest.raises(TooManyQuestions):
            await finished(ask(service, world, question(3)))
        world.judge.gate.set()
        verdicts = [await finished(one) for one in asked]
    assert all(verdict.decision is Decision.CONFIRMED for verdict in verdicts)
    assert hex_id(3) not in world.store.questions


async def test_a_store_that_cannot_say_what_is_left_is_asked_again(world):
    class Refusing(type(world.store)):
        async def unanswered(self, limit):
            self.asked += 1
            if self.asked == 1:
                raise StoreFailed("the database refused")
            return await super().unanswered(limit)

    world.store.__class__ = Refusing
    world.store.asked = 0
    await world.blobs.put("here.jpg", PICTURE)
    await world.store.add_question(question(), "here.jpg", len(PICTURE))
    async with world.service(resume_every_s=30):
        while world.store.asked < 2:
            world.clock.advance(30)
            await asyncio.sleep(0)
        assert (await world.link.next()).question_id == hex_id(1)


async def test_a_question_that_decides_no_alert_is_answered_like_any(world):
    asked = question(alert_id=None, track=None, reason=AskReason.DISAGREEMENT)
    async with world.service() as service:
        verdict = await finished(ask(service, world, asked))
    assert (verdict.question_id, verdict.alert_id, verdict.decision) == (hex_id(1), None, Decision.CONFIRMED)
