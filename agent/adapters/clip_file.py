"""Clips on disk, encoded by OpenCV: VP8 in WebM, which every browser plays; Motion-JPEG where the build can't."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import cv2

from agent.adapters.resident import hand_back, trim
from agent.ask.crop import scaled
from agent.command.clip import Clip
from agent.command.errors import ClipTooLarge, ClipUnplayable, CommandRefused, DiskFull
from agent.redact.door import Redacted
from wire.commands import CLIP_TYPES, MAX_CLIP_BYTES
from wire.messages import Redaction

log: Final = logging.getLogger(__name__)

T = TypeVar("T")
MIB: Final = 2**20
MIN_FREE_BYTES: Final = 64 * MIB
"""Never taken by a clip: alerts need the disk more. As much as an update leaves (`updates.min_free_mib`)."""
NICENESS: Final = 10
"""VP8 takes 27 ms for a picture of 640 pixels; the judging thread takes any core first."""


class Format(NamedTuple):
    """What can be written."""

    media_type: str
    backend: int
    fourcc: str


FORMATS: Final = (
    Format("video/webm", cv2.CAP_FFMPEG, "VP80"),
    Format("video/x-msvideo", cv2.CAP_OPENCV_MJPEG, "MJPG"),
)
"""The first that the build can write is taken."""


class Bounds(NamedTuple):
    """What a clip must keep to; see `DiskClips`."""

    free: Callable[[Path], int]
    max_bytes: int


def shrunk(picture: Redacted, max_px: int) -> Redacted:
    """The picture, its longer side at most `max_px`, both even: VP8 halves the colours."""
    height, width = picture.image.shape[:2]
    wide, high = (max(2, side // 2 * 2) for side in scaled(width, height, max_px))
    return picture.resized(wide, high)


class DiskClips:
    """Implements `agent.command.clip.ClipFolder`."""

    def __init__(
        self,
        folder: Path,
        *,
        formats: tuple[Format, ...] = FORMATS,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        max_bytes: int = MAX_CLIP_BYTES,
    ) -> None:
        """Nothing is done yet.

        Args:
            folder: Holds clips and nothing else; made when it is needed.
            formats: In the order in which they are tried.
            free: Bytes that the disk has left.
            max_bytes: Of a clip.
        """
        self._folder = folder
        self._formats = formats
        self._bounds = Bounds(free, max_bytes)

    def clear(self) -> None:
        """Remove what a crash left."""
        try:
            leftovers = list(self._folder.iterdir()) if self._folder.is_dir() else []
        except OSError as refused:
            log.warning("old clips can't be looked for: %s", refused)
            return
        for left in leftovers:
            try:
                left.unlink()
            except OSError as refused:
                log.warning("an old clip can't be removed: %s", refused)

    async def begin(self, command_id: str, width: int, height: int, fps: int) -> DiskClip:
        """A new clip; see the port."""
        return await asyncio.to_thread(self._begin, command_id, (width, height), fps)

    def _begin(self, command_id: str, size: tuple[int, int], fps: int) -> DiskClip:
        try:
            self._folder.mkdir(exist_ok=True)
            free = self._bounds.free(self._folder)
        except OSError as refused:
            raise CommandRefused(f"{self._folder} can't be written: {refused}", "Look after the disk.") from refused
        if free < MIN_FREE_BYTES + MAX_CLIP_BYTES:
            needed = (MIN_FREE_BYTES + MAX_CLIP_BYTES) // MIB
            raise CommandRefused(f"{free // MIB} MiB of the disk are free; a clip needs {needed}", "Free some space.")
        for each in self._formats:
            path = self._folder / f"{command_id}.{CLIP_TYPES[each.media_type]}"
            writer = cv2.VideoWriter(str(path), each.backend, cv2.VideoWriter.fourcc(*each.fourcc), fps, size)
            if writer.isOpened():
                return DiskClip(path, each.media_type, writer, size, self._bounds)
            path.unlink(missing_ok=True)
        raise CommandRefused("this build of OpenCV can't write a video", "Install opencv-python-headless from PyPI.")


class DiskClip:
    """Implements `agent.command.clip.ClipFile`; everything about the file is done by one thread of low priority."""

    def __init__(
        self, path: Path, media_type: str, writer: cv2.VideoWriter, size: tuple[int, int], bounds: Bounds
    ) -> None:
        self._path = path
        self._media_type = media_type
        self._writer = writer
        self._size = size
        self._bounds = bounds
        self._pictures = 0
        self._said: Redaction | None = None
        self._thread = ThreadPoolExecutor(1, "clip", initializer=_step_back)
        self._discarded = False

    async def add(self, picture: Redacted, times: int) -> None:
        """Show it for so many pictures; see the port."""
        await self._do(lambda: self._add(picture, times))

    async def finish(self) -> Clip:
        """Write what is left; see the port."""
        return await self._do(self._finish)

    def discard(self) -> None:
        """Remove the file; see the port."""
        if not self._discarded:
            self._discarded = True
            self._thread.submit(self._remove)
            self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _add(self, picture: Redacted, times: int) -> None:
        shown = picture.resized(*self._size)  # the camera may have come back with another size
        for _ in range(times):
            self._writer.write(shown.image)
        self._pictures += times
        self._said = _most(self._said, picture.said)
        self._check()

    def _finish(self) -> Clip:
        self._writer.release()
        self._check()
        shown = cv2.VideoCapture(str(self._path))
        playable = shown.isOpened() and shown.read()[0]
        shown.release()
        if not playable:
            raise ClipUnplayable("what the encoder wrote can't be played", "Look at the disk; then ask again.")
        return Clip(self._path, self._media_type, self._path.stat().st_size, self._pictures, self._said)

    def _check(self) -> None:
        """The encoder does not say when it can't write."""
        try:
            free, size = self._bounds.free(self._path.parent), self._path.stat().st_size
        except OSError as refused:
            raise DiskFull(f"the clip can't be written: {refused}", "Look after the disk.") from refused
        if free < MIN_FREE_BYTES:
            raise DiskFull(f"only {free // MIB} MiB of the disk are left", "Free some space.")
        if size > self._bounds.max_bytes:
            raise ClipTooLarge(
                f"the clip is over {self._bounds.max_bytes / MIB:g} MiB",
                "Ask for a shorter one, or a lower fps or max_px.",
            )

    def _remove(self) -> None:
        self._writer.release()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as refused:
            log.warning("the clip %s can't be removed: %s", self._path, refused)
        # An encoder leaves 16 MiB behind, of its code and of what it freed.
        trim()
        hand_back()


def _most(one: Redaction | None, other: Redaction | None) -> Redaction | None:
    if one is None or other is None:
        return one or other
    return Redaction(hide=other.hide, masked=max(one.masked, other.masked), hidden=max(one.hidden, other.hidden))


def _step_back() -> None:
    """On Linux a thread has a niceness of its own, and those that the encoder starts from it inherit it."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
