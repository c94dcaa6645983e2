from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agent.adapters.system_clock import SystemClock
from agent.capture.camera import Camera
from agent.capture.cameras import WATCH_EVERY_S, Cameras
from agent.capture.settings import CameraSettings
from agent.capture.slots import FrameSlots
from agent.capture.source import Shot
from agent.domain import Frame
from agent.errors import CameraLost, SourceEmpty, SourceMissing
from tests.agent.capture.fakes import BOUND_S, PICTURE, ManualClock, ScriptedSource, StateLog, clip, live
from wire.messages import CameraState

STARTING, LIVE, LOST, ENDED = CameraState.STARTING, CameraState.LIVE, CameraState.LOST, CameraState.ENDED


class Yard:
    """Cameras under test, their clock, slots and log; everything is let go at the end."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.slots = FrameSlots()
        self.log = StateLog()
        self.cameras: list[Camera] = []

    def camera(self, played: ScriptedSource, name: str = "yard", *, start: bool = True, **settings: object) -> Camera:
        made = Camera(
            CameraSettings.model_validate({"name": name, "source": "clip.avi"} | settings),
            played,
            self.slots,
            self.clock,
            self.log,
            random=lambda: 1.0,
            wait=self.clock.pause,
        )
        self.cameras.append(made)
        if start:
            made.start()
        return made

    def take(self) -> Frame:
        frame = self.slots.take(BOUND_S)
        assert frame is not None
        return frame

    def close(self) -> None:
        self.clock.release()
        for camera in self.cameras:
            assert camera.stop(BOUND_S)


@pytest.fixture
def yard() -> Iterator[Yard]:
    made = Yard()
    yield made
    made.close()


# A recorded source in real time.


def test_a_clip_plays_in_real_time(yard: Yard) -> None:
    yard.camera(ScriptedSource(clip(3)))
    seen = [yard.take()]
    for _ in range(2):
        yard.clock.wait_for_pause()
        yard.clock.advance(0.1)
        seen.append(yard.take())
    yard.log.wait_for("yard", ENDED)
    assert [frame.index for frame in seen] == [0, 1, 2]
    assert [frame.at for frame in seen] == pytest.approx([100.0, 100.1, 100.2])
    assert [frame.position_s for frame in seen] == pytest.approx([0.0, 0.1, 0.2])
    assert yard.log.states("yard") == [STARTING, LIVE, ENDED]


def test_frames_that_nobody_took_in_time_are_dropped_not_queued(yard: Yard) -> None:
    camera = yard.camera(ScriptedSource(clip(5)))
    for _ in range(4):
        yard.clock.wait_for_pause()
        yard.clock.advance(0.1)
    yard.log.wait_for("yard", ENDED)
    assert yard.take().index == 4
    assert yard.slots.all_ended
    assert (camera.counts.captured, camera.counts.dropped) == (5, 4)


def test_a_reader_that_fell_behind_skips_to_the_present(yard: Yard) -> None:
    camera = yard.camera(ScriptedSource(clip(9)))
    assert yard.take().index == 0
    yard.clock.wait_for_pause()
    yard.clock.advance(0.55)
    # Picture 1 had been waiting for its time; 2, 3 and 4 are over; 5 is the present one; 6 has yet to come.
    yard.clock.wait_for_pause()
    assert yard.take().index == 5
    assert camera.counts.dropped == 4


class SlowSource(ScriptedSource):
    """Takes half a second for each picture."""

    def __init__(self, clock: ManualClock, scene: list[Shot]) -> None:
        super().__init__(scene)
        self._clock = clock

    def read(self) -> Shot | None:
        self._clock.advance(0.5)
        return super().read()


def test_a_source_slower_than_real_time_still_shows_a_frame_each_second(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = yard.camera(SlowSource(yard.clock, clip(9)), start=False)
    shown: list[int] = []
    monkeypatch.setattr(camera._slot, "put", lambda frame: shown.append(frame.index) or False)
    camera.start()
    yard.log.wait_for("yard", ENDED)
    assert shown == [0, 2, 4, 6, 8]
    assert camera.counts.dropped == 4


def test_a_loop_goes_on_counting_and_keeps_the_pace(yard: Yard) -> None:
    source = ScriptedSource(clip(2))
    yard.camera(source, loop=True)
    seen = [yard.take()]
    for _ in range(4):
        yard.clock.wait_for_pause()
        yard.clock.advance(0.1)
        seen.append(yard.take())
    assert [frame.index for frame in seen] == [0, 1, 2, 3, 4]
    assert [frame.position_s for frame in seen] == pytest.approx([0.0, 0.1, 0.0, 0.1, 0.0])
    assert [frame.at for frame in seen] == pytest.approx([100.0, 100.1, 100.2, 100.3, 100.4])
    assert yard.log.states("yard") == [STARTING, LIVE]


def test_a_rate_limit_thins_a_clip(yard: Yard) -> None:
    camera = yard.camera(ScriptedSource(clip(10)), fps_limit=5, pace="max")
    assert [yard.take().index for _ in range(5)] == [0, 2, 4, 6, 8]
    yard.log.wait_for("yard", ENDED)
    assert (camera.counts.thinned, camera.counts.dropped) == (5, 0)


# As fast as possible.


def test_at_full_pace_every_frame_is_delivered_and_nothing_waits_for_the_clock(yard: Yard) -> None:
    camera = yard.camera(ScriptedSource(clip(50)), pace="max")
    assert [yard.take().index for _ in range(50)] == list(range(50))
    yard.log.wait_for("yard", ENDED)
    assert yard.clock.pauses == []
    assert camera.counts.dropped == 0
    assert camera.failure is None


def test_at_full_pace_the_next_frame_is_read_while_one_is_judged(yard: Yard) -> None:
    third = threading.Event()
    yard.camera(ScriptedSource([*clip(2), third, *clip(3)[2:]]), pace="max")
    assert yard.take().index == 0
    third.set()
    assert [yard.take().index for _ in range(2)] == [1, 2]


def test_at_full_pace_the_first_error_is_the_end(yard: Yard) -> None:
    missing = SourceMissing("there is no clip.avi", "Name another.")
    camera = yard.camera(ScriptedSource(missing), pace="max")
    assert yard.log.wait_for("yard", ENDED) == "there is no clip.avi. Name another."
    assert camera.failure is missing
    assert yard.slots.take(BOUND_S) is None
    assert yard.slots.all_ended


def test_the_end_tells_what_was_skipped(yard: Yard) -> None:
    source = ScriptedSource(clip(1))
    source.remark = "only 1 of 9 frames could be read"
    yard.camera(source, pace="max")
    assert yard.take().index == 0
    assert yard.log.wait_for("yard", ENDED) == "only 1 of 9 frames could be read"


# A live camera.


def test_of_a_live_camera_the_newest_frame_wins(yard: Yard) -> None:
    quiet = threading.Event()
    source = ScriptedSource([*live(3), quiet])
    camera = yard.camera(source, source="rtsp://cam/a", start=False)
    source.reading.clear()
    camera.start()
    yard.log.wait_for("yard", LIVE)
    quiet.set()
    yard.log.wait_for("yard", ENDED)
    newest = yard.take()
    assert (newest.index, newest.position_s) == (2, None)
    assert camera.counts.dropped == 2


def test_a_lost_camera_is_tried_again_with_growing_pauses_and_comes_back(yard: Yard) -> None:
    gone = CameraLost("the camera stopped giving pictures")
    absent = SourceMissing("there is no /dev/video0")
    hold = threading.Event()
    source = ScriptedSource([*live(1), gone], absent, absent, [*live(1), hold])
    camera = yard.camera(source, source=0, reconnect_initial_s=1, reconnect_max_s=3)
    for full_s in (1.0, 2.0, 3.0):
        yard.clock.wait_for_pause()
        assert yard.clock.pauses[-1] == full_s
        assert not source.is_open
        yard.clock.advance(full_s)
    yard.log.wait_for("yard", LIVE, times=2)
    assert yard.log.states("yard") == [STARTING, LIVE, LOST, LOST, LIVE]
    assert camera.counts.reopened == 1
    assert camera.state is LIVE
    frame = yard.take()
    while frame.index == 0:
        frame = yard.take()
    assert frame.index == 1, "counting goes on over a reopening"
    hold.set()


def test_the_same_bad_news_is_told_once(yard: Yard) -> None:
    yard.camera(ScriptedSource(SourceEmpty("nothing in it")))
    for _ in range(4):
        yard.clock.wait_for_pause()
        yard.clock.advance(60.0)
    yard.clock.wait_for_pause()
    assert yard.log.states("yard") == [STARTING, LOST]


def test_an_empty_loop_does_not_spin(yard: Yard) -> None:
    source = ScriptedSource([SourceEmpty("nothing in it")])
    yard.camera(source, loop=True)
    yard.clock.wait_for_pause()
    assert source.openings == 1


def test_one_camera_that_fails_does_not_stop_another(yard: Yard) -> None:
    yard.camera(ScriptedSource(SourceMissing("there is no such camera")), "gate")
    yard.clock.wait_for_pause()
    yard.camera(ScriptedSource(clip(20)), "yard", pace="max")
    assert [yard.take().index for _ in range(20)] == list(range(20))
    assert yard.log.states("gate") == [STARTING, LOST]


def test_a_camera_whose_thread_breaks_counts_as_ended(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    source = ScriptedSource([RuntimeError("a bug")])
    source.read = lambda: (_ for _ in ()).throw(RuntimeError("a bug"))
    yard.camera(source)
    assert yard.log.wait_for("yard", ENDED) == "the reading thread failed"
    assert not source.is_open


def test_a_detail_can_be_sent_whatever_is_in_it(yard: Yard) -> None:
    yard.camera(ScriptedSource(SourceMissing("there is no \x1b[31m\u202e" + "x" * 900)))
    detail = yard.log.wait_for("yard", LOST)
    assert len(detail) == 500
    assert detail.isprintable()


# A read that hangs.


def test_a_stuck_read_is_reported_and_the_camera_is_live_again_when_it_returns(yard: Yard) -> None:
    stuck, hold = threading.Event(), threading.Event()
    source = ScriptedSource([*live(1), stuck, *live(1), hold])
    camera = yard.camera(source, source="rtsp://cam/a", stall_timeout_s=10)
    yard.log.wait_for("yard", LIVE)
    assert yard.take().index == 0
    assert source.held.wait(BOUND_S)
    yard.clock.advance(9.9)
    camera.check_stall()
    assert camera.state is LIVE
    yard.clock.advance(0.1)
    camera.check_stall()
    camera.check_stall()
    assert yard.log.states("yard") == [STARTING, LIVE, LOST]
    stuck.set()
    yard.log.wait_for("yard", LIVE, times=2)
    assert yard.take().index == 1
    assert camera.counts.reopened == 0
    hold.set()


def test_waiting_for_the_judge_or_for_the_time_of_a_frame_is_no_stall(yard: Yard) -> None:
    judged = yard.camera(ScriptedSource(clip(5)), "judged", pace="max", stall_timeout_s=1)
    paced = yard.camera(ScriptedSource([Shot(PICTURE, 0.0), Shot(PICTURE, 60.0)]), "paced", stall_timeout_s=1)
    yard.log.wait_for("judged", LIVE)
    yard.clock.wait_for_pause()
    while judged.counts.captured < 2:
        yard.slots.wake()
    yard.clock.advance(30.0)
    judged.check_stall()
    paced.check_stall()
    assert LOST not in yard.log.states("judged") + yard.log.states("paced")


def test_the_watch_notices_a_stuck_read_and_stop_names_it(yard: Yard) -> None:
    stuck = threading.Event()
    source = ScriptedSource([stuck])
    camera = yard.camera(source, source="rtsp://cam/a", stall_timeout_s=5, start=False)
    group = Cameras([camera], yard.clock, yard.clock.pause)
    group.start()
    assert source.reading.wait(BOUND_S)
    yard.clock.wait_for_pause()
    yard.clock.advance(5.0 + WATCH_EVERY_S)
    assert yard.log.wait_for("yard", LOST) == "no picture for 5 s"
    assert group.states == {"yard": LOST}
    assert group.stop(timeout_s=0.01) == ("yard",)
    stuck.set()
    yard.clock.release()
    assert group.by_name["yard"].stop(BOUND_S)


# Stopping, in real time.


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        (ScriptedSource(SourceMissing("there is none")), {"reconnect_initial_s": 3600, "reconnect_max_s": 3600}),
        (ScriptedSource([Shot(PICTURE, 0.0), Shot(PICTURE, 3600.0)]), {}),
        (ScriptedSource(clip(9)), {"pace": "max"}),
        (ScriptedSource(clip(9, fps=1000)), {"loop": True}),
    ],
    ids=["between retries", "between frames", "waiting for the judge", "looping"],
)
def test_stop_is_prompt(source: ScriptedSource, settings: dict[str, object]) -> None:
    log, slots = StateLog(), FrameSlots()
    camera = Camera(
        CameraSettings.model_validate({"name": "yard", "source": "clip.avi"} | settings),
        source,
        slots,
        SystemClock(),
        log,
        random=lambda: 1.0,
    )
    camera.start()
    log.wait_for("yard", LOST if "reconnect_max_s" in settings else LIVE)
    assert camera.stop(BOUND_S)
    assert log.wait_for("yard", ENDED) == "stopped"
    assert slots.all_ended
    assert not source.is_open


def test_a_camera_that_never_started_can_be_stopped(yard: Yard) -> None:
    assert yard.camera(ScriptedSource(clip(1)), start=False).stop()
