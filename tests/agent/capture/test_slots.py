from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.slots import FrameSlots
from agent.domain import Frame
from tests.agent.capture.fakes import BOUND_S, PICTURE

Run = Callable[..., "Future[object]"]


@pytest.fixture
def run():
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


@pytest.fixture
def slots():
    made = FrameSlots()
    yield made
    made.close()


def frame(camera: str, index: int = 0) -> Frame:
    return Frame(camera, index, PICTURE, at=float(index))


def taken(slots: FrameSlots) -> tuple[str, int] | None:
    got = slots.take(0.0)
    return None if got is None else (got.camera, got.index)


def test_the_newest_frame_wins(slots: FrameSlots) -> None:
    yard = slots.add("yard")
    assert [yard.put(frame("yard", index)) for index in range(3)] == [False, True, True]
    assert taken(slots) == ("yard", 2)
    assert taken(slots) is None


def test_a_fast_camera_does_not_starve_the_others(slots: FrameSlots) -> None:
    fast, slow, late = slots.add("fast"), slots.add("slow"), slots.add("late")
    served = []
    for index in range(6):
        fast.put(frame("fast", index))
        if index >= 1:
            slow.put(frame("slow", index))
        if index >= 3:
            late.put(frame("late", index))
        served.append(taken(slots))
    assert [camera for camera, _ in served] == ["fast", "slow", "fast", "late", "slow", "fast"]


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=60))
def test_whoever_has_a_frame_is_served_before_anyone_twice(steps: list[str | None]) -> None:
    slots = FrameSlots()
    handles = {name: slots.add(name) for name in "abc"}
    waiting: dict[str, set[str]] = {}
    for step in steps:
        if step is not None:
            handles[step].put(frame(step))
            waiting.setdefault(step, set())
            continue
        got = slots.take(0.0)
        assert (got is None) == (not waiting)
        if got is not None:
            overtook = waiting.pop(got.camera)
            assert len(overtook) <= 2
            for others in waiting.values():
                assert got.camera not in others, "served twice while another waited"
                others.add(got.camera)


def test_take_wakes_when_a_frame_comes(slots: FrameSlots, run: Run) -> None:
    yard = slots.add("yard")
    got = run(slots.take, BOUND_S)
    yard.put(frame("yard", 7))
    assert got.result(BOUND_S).index == 7


def test_wake_is_kept_for_a_take_that_comes_later_and_used_up_by_it(slots: FrameSlots, run: Run) -> None:
    slots.add("yard")
    slots.wake()
    assert slots.take(None) is None
    waiting = run(slots.take, None)
    assert not waiting.done()
    slots.wake()
    assert waiting.result(BOUND_S) is None


def test_an_offer_waits_until_the_frame_before_was_taken(slots: FrameSlots, run: Run) -> None:
    yard = slots.add("yard")
    assert yard.offer(frame("yard", 0))
    began = threading.Event()

    def offer_more() -> bool:
        began.set()
        return yard.offer(frame("yard", 1))

    second = run(offer_more)
    assert began.wait(BOUND_S)
    assert taken(slots) == ("yard", 0)
    assert second.result(BOUND_S) is True
    assert taken(slots) == ("yard", 1)


@pytest.mark.parametrize("let_go", ["withdraw", "end", "close"])
def test_a_waiting_offer_is_let_go(slots: FrameSlots, run: Run, let_go: str) -> None:
    yard = slots.add("yard")
    yard.offer(frame("yard", 0))
    second = run(yard.offer, frame("yard", 1))
    {"withdraw": yard.withdraw, "end": yard.end, "close": slots.close}[let_go]()
    assert second.result(BOUND_S) is False


def test_all_have_ended_only_after_the_last_frame_was_taken(slots: FrameSlots) -> None:
    yard, gate = slots.add("yard"), slots.add("gate")
    yard.put(frame("yard"))
    yard.end()
    gate.end()
    assert not slots.all_ended
    assert taken(slots) == ("yard", 0)
    assert slots.all_ended


def test_the_end_of_a_camera_wakes_the_judge(slots: FrameSlots, run: Run) -> None:
    yard = slots.add("yard")
    waiting = run(slots.take, None)
    yard.end()
    assert waiting.result(BOUND_S) is None
    assert slots.all_ended


def test_nothing_goes_in_after_the_end(slots: FrameSlots) -> None:
    yard = slots.add("yard")
    yard.withdraw()
    yard.put(frame("yard"))
    assert yard.offer(frame("yard")) is False
    assert taken(slots) is None


def test_a_camera_that_is_added_again_has_a_place_of_its_own(slots: FrameSlots) -> None:
    old = slots.add("yard")
    old.withdraw()
    new = slots.add("yard")
    assert not slots.all_ended
    old.put(frame("yard", 1))
    new.put(frame("yard", 2))
    assert taken(slots) == ("yard", 2)


def test_after_close_nothing_comes_out_and_take_returns(slots: FrameSlots, run: Run) -> None:
    yard = slots.add("yard")
    waiting = run(slots.take, None)
    slots.close()
    yard.put(frame("yard"))
    assert waiting.result(BOUND_S) is None
    assert slots.take(None) is None
    slots.add("late").put(frame("late"))
    assert slots.take(None) is None
