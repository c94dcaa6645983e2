"""The clip that is replayed: its pictures as a device would capture them, at the clip's own pace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from agent.adapters.opencv_source import open_source
from agent.capture.settings import CameraSettings, SourceKind
from agent.capture.source import Source
from agent.domain import Frame
from vision.detections import Image
from vision.pictures import encode_jpeg
from workbench.errors import ReplayRefused

CAMERA: Final = "clip"
STREAM_QUALITY: Final = 80
"""Of the JPEGs that sending every frame is reckoned with."""
FOLDER_FPS: Final = 10.0
Half = Literal["first", "second", "all"]


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip, or the part of it that is replayed.

    Attributes:
        source: A video file, or a folder of pictures.
        camera: How it is read; its name is the camera's.
        frames: Indices of the part that is replayed, counted from the clip's own beginning.
        times_s: When each of them was captured, from the clip's beginning.
        whole_bytes: What each of them takes as a whole, as a JPEG of STREAM_QUALITY.
        size: Width and height of the first, in pixels.
        digest: Of the pixels that were read: a clip that differs anywhere has another.
        remark: What was wrong with the file; mostly empty.
    """

    source: Path
    camera: CameraSettings
    frames: range
    times_s: tuple[float, ...]
    whole_bytes: tuple[int, ...]
    size: tuple[int, int]
    digest: str
    remark: str

    @property
    def fps(self) -> float:
        """Frames a second, on average."""
        lasts_s = self.times_s[-1] - self.times_s[0]
        return (len(self.times_s) - 1) / lasts_s if lasts_s > 0 else 1.0

    @property
    def lasts_s(self) -> float:
        """From the first frame to the end of the last."""
        return len(self.times_s) / self.fps

    @property
    def streamed_bytes(self) -> int:
        """What sending every frame whole would take."""
        return sum(self.whole_bytes)

    @property
    def streamed_per_s(self) -> float:
        """What sending every frame whole would take in a second."""
        return self.streamed_bytes / self.lasts_s

    def later(self, frames: int) -> Clip:
        """The same, begun so many frames later.

        Raises:
            ReplayRefused: It is not that long.
        """
        if frames >= len(self.frames):
            raise ReplayRefused(
                f"of {len(self.frames)} frames, none is left for a run that begins {frames} later",
                "Give a longer clip, or fewer --repeats.",
            )
        return replace(
            self,
            frames=self.frames[frames:],
            times_s=self.times_s[frames:],
            whole_bytes=self.whole_bytes[frames:],
        )

    def pictures(self) -> Iterator[Frame]:
        """The frames, decoded one by one; `at` is the clip's own time.

        Raises:
            VedetteError: The clip can't be read any more, or is another by now.
        """
        with _shots(self.camera) as shots:
            for index, (image, at) in enumerate(shots):
                if index >= self.frames.stop:
                    return
                if index in self.frames:
                    yield Frame(self.camera.name, index, image, at, at)


def survey(source: str, *, half: Half, fps: float | None, show: Callable[[int], None], camera: str = CAMERA) -> Clip:
    """Read a clip once: how long it is, and what sending it would take.

    Args:
        source: A video file, or a folder of pictures.
        half: The part to replay.
        fps: Of a folder's pictures.
        camera: The name that the agent knows it by.
        show: Told how many frames were read.

    Raises:
        ReplayRefused: It is a camera, or a part is empty.
        VedetteError: As `agent.capture.source.Source`.
    """
    try:
        asked = CameraSettings(name=camera, source=source)
    except ValidationError as refused:
        raise ReplayRefused(
            f"this is no source: {refused.errors()[0]['msg']}", "Give a video file or a folder of pictures."
        ) from None
    if asked.kind is not SourceKind.RECORDED:
        raise ReplayRefused(
            f"{asked.redacted_source} is a camera, and a replay sees the same pictures many times",
            "Give a video file or a folder of pictures; `vedette command DEVICE capture-clip` makes one.",
        )
    settings = CameraSettings(name=camera, source=source, pace="max", folder_fps=fps or FOLDER_FPS)
    times_s, whole_bytes, size = [], [], (0, 0)
    pixels = hashlib.sha256()
    with _shots(settings) as shots:
        for index, (image, at) in enumerate(shots):
            if index == 0:
                size = (image.shape[1], image.shape[0])
            pixels.update(image.data)
            whole_bytes.append(len(encode_jpeg(image, STREAM_QUALITY)))
            times_s.append(at)
            show(index + 1)
        remark = shots.remark
    frames = part(half, len(times_s))
    if not frames:
        raise ReplayRefused(f"the {half} half of {source} is empty", "Give a longer clip.")
    chosen = slice(frames.start, frames.stop)
    return Clip(
        Path(source), settings, frames, tuple(times_s[chosen]), tuple(whole_bytes[chosen]), size,
        f"sha256:{pixels.hexdigest()}", remark,
    )  # fmt: skip


def part(half: Half, frames: int) -> range:
    """Which of a clip's frames belong to that half of it."""
    match half:
        case "first":
            return range(frames // 2)
        case "second":
            return range(frames // 2, frames)
        case "all":
            return range(frames)


class _Shots:
    """Iterates over a source that is open; each picture with its time, which never stands still."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def remark(self) -> str:
        return self._source.remark

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        while (shot := self._source.read()) is not None:
            yield shot.image, shot.position_s or 0.0


@contextmanager
def _shots(camera: CameraSettings) -> Iterator[_Shots]:
    source = open_source(camera)
    source.open()
    try:
        yield _Shots(source)
    finally:
        source.close()
