"""Frames for whoever asks: at once, or once it is known what is in them."""

from __future__ import annotations

import asyncio

import numpy as np

from agent.command.frames import WatchedFrames
from agent.domain import Frame


class Supply:
    def __init__(self, *frames: Frame) -> None:
        self.frames = list(frames)

    def take(self, timeout_s: float) -> Frame | None:
        return self.frames.pop(0) if self.frames else None

    def wake(self) -> None:
        pass


def frame(camera: str, index: int) -> Frame:
    return Frame(camera, index, np.zeros((2, 2, 3), np.uint8), float(index))


async def test_a_frame_is_given_as_it_passes_unless_it_must_be_judged_first() -> None:
    frames = WatchedFrames(Supply(frame("yard", 1), frame("gate", 2), frame("gate", 3)), ("yard", "gate"), {"gate"})
    yard = asyncio.create_task(frames.next("yard", 5.0))
    gate = asyncio.create_task(frames.next("gate", 5.0))
    await asyncio.sleep(0)
    frames.take(0.0)
    judged = frames.take(0.0)
    assert (await yard).index == 1
    await asyncio.sleep(0)
    assert not gate.done()
    assert judged is not None
    frames.judged(judged)
    assert (await gate).index == 2


async def test_of_a_camera_that_need_not_be_judged_the_judging_gives_nothing() -> None:
    frames = WatchedFrames(Supply(), ("yard",))
    waiting = asyncio.create_task(frames.next("yard", 0.05))
    await asyncio.sleep(0)
    frames.judged(frame("yard", 1))
    assert await waiting is None


async def test_a_camera_that_gives_no_frames_does_not_gather_up_who_asked_for_one() -> None:
    frames = WatchedFrames(Supply(), ("yard",))
    assert [await frames.next("yard", 0.01) for _ in range(3)] == [None] * 3
    assert not frames._awaited
