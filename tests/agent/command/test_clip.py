"""Clips: recorded from scripted cameras, written by the real encoder, sent to a scripted cloud."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.clip_file import FORMATS, DiskClip, DiskClips, shrunk
from agent.app.control import ClipUpload, CommandUploads
from agent.ask.settings import AskSettings
from agent.command.arguments import ClipArguments
from agent.command.clip import Clip, Grid, Recorder
from agent.command.errors import (
    ClipTooLarge,
    ClipUnplayable,
    CloudUnreachable,
    CommandFailed,
    CommandRefused,
    DiskFull,
)
from agent.deliver.ledger import Ledger
from agent.domain import Frame
from agent.errors import CameraLost
from tests.agent.ask.scripted_cloud import ScriptedCloud, always, hang_up, response
from tests.agent.deliver.kept_receipts import KeptReceipts
from tests.agent.redact.doors import plain_door
from vision.detections import Image

pytestmark = pytest.mark.parts

ID = "c" * 32
PLENTY = 2**40


def picture(level: int, *, width: int = 200, height: int = 120) -> Image:
    return np.full((height, width, 3), level, np.uint8)


class ScriptedFrames:
    """Gives these frames, then none."""

    cameras = ("yard",)

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)

    async def next(self, camera: str, timeout_s: float) -> Frame | None:
        await asyncio.sleep(0)
        return next(self._frames, None)


def camera(*times: float, width: int = 200) -> ScriptedFrames:
    """A picture at each time, each a little brighter."""
    return ScriptedFrames(
        Frame("yard", index, picture(min(250, 10 * index), width=width), 50.0 + at) for index, at in enumerate(times)
    )


def every(step: float, until: float) -> list[float]:
    return [number * step for number in range(round(until / step) + 1)]


class Recorded:
    def __init__(self, folder: Path, frames: ScriptedFrames, **bounds: object) -> None:
        self.folder = folder / "clips"
        self.said: list[tuple[float, str]] = []
        self.files: list[DiskClip] = []
        given: dict[str, object] = {"free": lambda _: PLENTY}
        self.recorder = Recorder(frames, DiskClips(self.folder, **(given | bounds)), plain_door().cut, shrunk)  # type: ignore[arg-type]

    async def record(self, **wanted: object) -> DiskClip:
        file = await self.recorder.record(
            ID, "yard", ClipArguments.model_validate(wanted), lambda *said: self.said.append(said)
        )
        assert isinstance(file, DiskClip)
        return file

    def left(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []


async def gone(file: DiskClip) -> None:
    """Until the encoder's thread has done what it was last asked for."""
    file.discard()
    await asyncio.to_thread(file._thread.shutdown)


def shown(clip: Clip) -> list[Image]:
    capture = cv2.VideoCapture(str(clip.path))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    return pictures


async def test_a_clip_is_a_file_that_plays_as_long_as_it_was_asked_for(tmp_path: Path) -> None:
    rig = Recorded(tmp_path, camera(*every(0.1, 3.0)))
    file = await rig.record(for_s=2, fps=5)
    clip = await file.finish()
    assert (clip.media_type, clip.pictures, clip.path.name) == ("video/webm", 10, f"{ID}.webm")
    assert clip.path.read_bytes()[:4] == b"\x1a\x45\xdf\xa3"
    assert clip.size == clip.path.stat().st_size
    levels = [float(image.mean()) for image in shown(clip)]
    assert len(levels) == 10
    # Each picture is at most half of its fifth of a second off, which is one step of brightness; VP8 adds some.
    assert levels == pytest.approx([20 * slot for slot in range(10)], abs=10 + 6)
    assert levels == sorted(set(levels))
    assert [words for _, words in rig.said] == ["recorded 1 of 2 s", "recorded 2 of 2 s"]
    await gone(file)
    assert rig.left() == []


async def test_a_camera_that_stutters_gives_a_clip_as_long_as_what_it_shows(tmp_path: Path) -> None:
    rig = Recorded(tmp_path, camera(0.0, 1.6, 1.65, 2.0))
    file = await rig.record(for_s=2, fps=5)
    levels = [float(image.mean()) for image in shown(await file.finish())]
    assert levels == pytest.approx([0] * 8 + [10] * 2, abs=6)
    await gone(file)


async def test_a_large_picture_is_made_smaller_and_even(tmp_path: Path) -> None:
    rig = Recorded(tmp_path, camera(*every(0.2, 1.0), width=333))
    file = await rig.record(for_s=1, max_px=101)
    assert shown(await file.finish())[0].shape == (36, 100, 3)
    await gone(file)


async def test_a_camera_that_comes_back_with_another_size_goes_on(tmp_path: Path) -> None:
    frames = [Frame("yard", n, picture(99, width=200 if n < 3 else 100), n * 0.2) for n in range(8)]
    rig = Recorded(tmp_path, ScriptedFrames(frames))
    file = await rig.record(for_s=1)
    assert len(shown(await file.finish())) == 5
    await gone(file)


async def test_a_silent_camera_is_refused_and_one_that_is_lost_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="no frame within"):
        await Recorded(tmp_path, camera()).record()
    rig = Recorded(tmp_path, camera(0.0, 0.2, 0.4))
    with pytest.raises(CameraLost, match=r"yard gave no picture for 10 s, 0\.4 s into the clip"):
        await rig.record()
    await until_empty(rig)


async def until_empty(rig: Recorded) -> None:
    async with asyncio.timeout(60):
        while rig.left():  # noqa: ASYNC110 - the encoder's thread wakes no task
            await asyncio.sleep(0.01)


async def test_a_recording_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    class Endless(ScriptedFrames):
        async def next(self, camera: str, timeout_s: float) -> Frame | None:
            frame = await super().next(camera, timeout_s)
            if frame is None:
                begun.set()
                await asyncio.Event().wait()
            return frame

    begun = asyncio.Event()
    rig = Recorded(tmp_path, Endless([Frame("yard", n, picture(9), n * 0.2) for n in range(3)]))
    recording = asyncio.create_task(rig.record())
    await begun.wait()
    assert rig.left() == [f"{ID}.webm"]
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    await until_empty(rig)


async def test_a_full_disk_is_refused_beforehand_and_named_later(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="40 MiB of the disk are free; a clip needs 96"):
        await Recorded(tmp_path, camera(0.0), free=lambda _: 40 * 2**20).record()
    left = iter([PLENTY, PLENTY, 2**20])
    rig = Recorded(tmp_path, camera(*every(0.2, 3)), free=lambda _: next(left))
    with pytest.raises(DiskFull, match="only 1 MiB of the disk"):
        await rig.record()
    await until_empty(rig)


async def test_a_clip_beyond_the_bound_is_named(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    frames = [Frame("yard", n, chance.integers(0, 255, (480, 640, 3), np.uint8), n * 0.2) for n in range(50)]
    rig = Recorded(tmp_path, ScriptedFrames(frames), max_bytes=200_000)
    with pytest.raises(ClipTooLarge, match=r"over 0\.19"):
        await rig.record(for_s=9)
    await until_empty(rig)


async def test_what_cannot_be_played_is_not_sent(tmp_path: Path) -> None:
    rig = Recorded(tmp_path, camera(*every(0.2, 1)))
    file = await rig.record(for_s=1)
    file._writer.release()
    (rig.folder / f"{ID}.webm").write_bytes(b"")
    with pytest.raises(ClipUnplayable):
        await file.finish()
    await gone(file)


async def test_without_vp8_it_is_motion_jpeg_and_without_either_refused(tmp_path: Path) -> None:
    rig = Recorded(tmp_path, camera(*every(0.2, 1)), formats=FORMATS[1:])
    file = await rig.record(for_s=1)
    clip = await file.finish()
    assert (clip.media_type, clip.path.suffix, clip.path.read_bytes()[:4]) == ("video/x-msvideo", ".avi", b"RIFF")
    assert len(shown(clip)) == 5
    await gone(file)
    with pytest.raises(CommandRefused, match="can't write a video"):
        await Recorded(tmp_path, camera(0.0), formats=()).record()


def test_a_start_removes_what_a_crash_left(tmp_path: Path) -> None:
    clips = DiskClips(tmp_path / "clips")
    clips.clear()
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / f"{ID}.webm").write_bytes(b"half a clip")
    clips.clear()
    assert list((tmp_path / "clips").iterdir()) == []


def test_what_can_t_be_removed_keeps_no_other_leftover(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "clips"
    for number in range(4):
        (folder / f"{number}.webm").mkdir(parents=True)
    for number in range(4, 8):
        (folder / f"{number}.webm").write_bytes(b"half a clip")
    DiskClips(folder).clear()
    assert sorted(left.name for left in folder.iterdir()) == [f"{number}.webm" for number in range(4)]
    assert len(caplog.messages) == 4


@given(
    fps=st.integers(1, 10),
    slots=st.integers(1, 600),
    times=st.lists(st.floats(0, 100, allow_nan=False), min_size=2),
)
def test_slots_follow_time_and_end(fps: int, slots: int, times: list[float]) -> None:
    grid = Grid(7.0, fps, slots)
    found = [grid.slot(7.0 + at) for at in sorted(times)]
    assert found == sorted(found)
    assert all(0 <= slot <= slots for slot in found)
    assert grid.slot(7.0) == 0
    assert grid.slot(7.0 + slots / fps) == slots


# --- sending -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def cloud(*script: object) -> AsyncIterator[ScriptedCloud]:
    serving = ScriptedCloud(list(script), otherwise=always(response(204)))  # type: ignore[arg-type]
    await serving.start()
    try:
        yield serving
    finally:
        await serving.stop()


def upload(port: int, ledger: Ledger) -> ClipUpload:
    settings = AskSettings(url=f"http://127.0.0.1:{port}")
    return ClipUpload(
        CommandUploads(settings, token=lambda: "secret", ledger=ledger, receipts=KeptReceipts(), pause_s=0.0)
    )


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    path = tmp_path / f"{ID}.webm"
    path.write_bytes(bytes(range(256)) * 2_000)
    return Clip(path, "video/webm", path.stat().st_size, 50)


async def test_a_clip_goes_over_http_from_its_file_and_is_counted(clip: Clip) -> None:
    ledger = Ledger()
    async with cloud() as serving:
        await upload(serving.port, ledger).put(ID, "yard", clip)
    (request,) = serving.requests
    assert (request.method, request.path) == ("PUT", f"/v1/clips/{ID}")
    assert request.headers["content-type"] == "video/webm"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.body == clip.path.read_bytes()
    assert clip.size < ledger.bytes_by_reason()["clips"] < clip.size + 1_000


async def test_a_connection_that_breaks_is_tried_again_and_then_named(clip: Clip) -> None:
    async with cloud(hang_up, always(response(503))) as serving:
        await upload(serving.port, Ledger()).put(ID, "yard", clip)
        assert [len(request.body) for request in serving.requests] == [clip.size] * 3
    async with cloud(hang_up, hang_up, hang_up) as serving:
        with pytest.raises(CloudUnreachable, match="the clip did not get through"):
            await upload(serving.port, Ledger()).put(ID, "yard", clip)


async def test_a_cloud_that_does_not_want_it_is_believed(clip: Clip) -> None:
    async with cloud(always(response(404))) as serving:
        with pytest.raises(CommandFailed, match="did not take the clip"):
            await upload(serving.port, Ledger()).put(ID, "yard", clip)
        assert len(serving.requests) == 1


async def test_a_file_that_is_gone_is_a_failure_of_ours(clip: Clip) -> None:
    clip.path.unlink()
    async with cloud() as serving:
        with pytest.raises(CommandFailed, match="can't be read any more"):
            await upload(serving.port, Ledger()).put(ID, "yard", clip)


def test_the_encoders_thread_steps_back() -> None:
    import os  # noqa: PLC0415

    from agent.adapters.clip_file import NICENESS, _step_back  # noqa: PLC0415

    with ThreadPoolExecutor(1, initializer=_step_back) as thread:
        inside = thread.submit(os.getpriority, os.PRIO_PROCESS, 0)
    assert inside.result() == max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
