from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from cloud.infer.errors import Overloaded
from cloud.infer.worker import InferWorker
from vision.detections import no_detections
from vision.errors import InferenceFailed

BOUND_S = 60


class Gated:
    """A detector that works when it is let, and tells who asked what."""

    labels = ("person",)

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.judged: list[int] = []
        self.threads: set[str] = set()
        self.failure: Exception | None = None

    def detect(self, image, min_score):
        self.begun.release()
        assert self.gate.acquire(timeout=BOUND_S)
        self.judged.append(int(image[0, 0, 0]))
        self.threads.add(threading.current_thread().name)
        if self.failure is not None:
            raise self.failure
        return no_detections(self.labels)

    async def wait_until_begun(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=BOUND_S)


def picture(number):
    return np.full((1, 1, 3), number, np.uint8)


@pytest.fixture
def gated():
    detector = Gated()
    yield detector
    detector.gate.release(1000)


async def test_pictures_are_judged_in_turn_by_one_thread(gated):
    gated.gate.release(3)
    async with InferWorker([gated], max_waiting=4) as worker:
        await asyncio.gather(*(worker.detect(picture(n), 0.5) for n in range(3)))
    assert gated.judged == [0, 1, 2]
    assert len(gated.threads) == 1


async def test_two_replicas_work_at_once(gated):
    other = Gated()
    async with InferWorker([gated, other], max_waiting=4) as worker:
        asks = [asyncio.create_task(worker.detect(picture(n), 0.5)) for n in range(2)]
        await gated.wait_until_begun()
        await other.wait_until_begun()
        gated.gate.release()
        other.gate.release()
        await asyncio.gather(*asks)


async def test_over_the_bound_it_sheds_and_serves_on(gated):
    async with InferWorker([gated], max_waiting=2) as worker:
        under_way = asyncio.create_task(worker.detect(picture(0), 0.5))
        await gated.wait_until_begun()
        waiting = [asyncio.create_task(worker.detect(picture(n), 0.5)) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as shed:
            await worker.detect(picture(3), 0.5)
        assert "2 pictures" in shed.value.what
        gated.gate.release(3)
        await asyncio.gather(under_way, *waiting)
    assert gated.judged == [0, 1, 2]


async def test_a_picture_whose_asker_is_gone_is_passed_over(gated):
    async with InferWorker([gated], max_waiting=4) as worker:
        first = asyncio.create_task(worker.detect(picture(0), 0.5))
        await gated.wait_until_begun()
        gone = asyncio.create_task(worker.detect(picture(1), 0.5))
        last = asyncio.create_task(worker.detect(picture(2), 0.5))
        await asyncio.sleep(0)
        gone.cancel()
        gated.gate.release(2)
        await asyncio.gather(first, last)
    assert gated.judged == [0, 2]


async def test_an_asker_that_leaves_while_its_picture_is_judged_hurts_nobody(gated):
    gated.failure = InferenceFailed("the model failed")
    async with InferWorker([gated], max_waiting=4) as worker:
        gone = asyncio.create_task(worker.detect(picture(0), 0.5))
        await gated.wait_until_begun()
        gone.cancel()
        last = asyncio.create_task(worker.detect(picture(1), 0.5))
        gated.gate.release(2)
        with pytest.raises(InferenceFailed):
            await last


@pytest.mark.parametrize("failure", [InferenceFailed("the model failed"), RuntimeError("a bug")])
async def test_a_failure_reaches_its_asker_and_the_next_is_served(gated, failure):
    gated.gate.release(2)
    gated.failure = failure
    async with InferWorker([gated], max_waiting=4) as worker:
        with pytest.raises(type(failure)):
            await worker.detect(picture(0), 0.5)
        gated.failure = None
        assert len(await worker.detect(picture(1), 0.5)) == 0


async def test_closing_cancels_those_who_wait(gated):
    async with InferWorker([gated], max_waiting=4) as worker:
        asks = [asyncio.create_task(worker.detect(picture(n), 0.5)) for n in range(3)]
        await gated.wait_until_begun()
        gated.gate.release()
    results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), BOUND_S)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[1:])
    assert gated.judged == [0]


async def test_what_can_wait_is_looked_at_when_nothing_else_waits(gated):
    async with InferWorker([gated], max_waiting=4) as worker:
        first = asyncio.create_task(worker.detect_when_idle(picture(0), 0.5))
        await gated.wait_until_begun()
        asks = [asyncio.create_task(worker.detect_when_idle(picture(1), 0.5))]
        asks += [asyncio.create_task(worker.detect(picture(n), 0.5)) for n in (2, 3)]
        await asyncio.sleep(0)
        gated.gate.release(4)
        await asyncio.gather(first, *asks)
    assert gated.judged == [0, 2, 3, 1]
