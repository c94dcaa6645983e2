"""The next frame of a camera, for whoever asks, taken on its way from the cameras to the judging thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from concurrent.futures import Future
from typing import Protocol

from agent.domain import Frame


class Supply(Protocol):
    """Where frames come from; as the pipeline sees it."""

    def take(self, timeout_s: float) -> Frame | None:
        """The frame that waited longest."""

    def wake(self) -> None:
        """Make a waiting `take` return."""


class WatchedFrames:
    """Passes frames on, and gives them to who waits for one; keeps none, since a frame is megabytes.

    Of cameras in `late` a frame is given only once it was judged, since what is in it says what of it may leave.
    """

    def __init__(self, supply: Supply, cameras: tuple[str, ...], late: Collection[str] = frozenset()) -> None:
        self._supply = supply
        self._cameras = cameras
        self._late = late
        self._wanted: dict[str, list[Future[Frame]]] = {}
        self._lock = threading.Lock()

    @property
    def cameras(self) -> tuple[str, ...]:
        """Their names."""
        return self._cameras

    def take(self, timeout_s: float) -> Frame | None:
        """The frame that waited longest; for the judging thread."""
        frame = self._supply.take(timeout_s)
        if frame is not None and self._wanted and frame.camera not in self._late:
            self._give(frame)
        return frame

    def judged(self, frame: Frame) -> None:
        """It is known what is in the frame; by the judging thread."""
        if self._wanted and frame.camera in self._late:
            self._give(frame)

    def _give(self, frame: Frame) -> None:
        with self._lock:
            waiting = self._wanted.pop(frame.camera, [])
        for one in waiting:
            if one.set_running_or_notify_cancel():
                one.set_result(frame)

    def wake(self) -> None:
        """Make a waiting `take` return."""
        self._supply.wake()

    async def next(self, camera: str, timeout_s: float) -> Frame | None:
        """The camera's next frame; None where it gave none in time."""
        wanted: Future[Frame] = Future()
        with self._lock:
            self._wanted.setdefault(camera, []).append(wanted)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(wanted)
        except TimeoutError:
            return None
