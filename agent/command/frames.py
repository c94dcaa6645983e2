"""The next frame of a camera, for whoever asks, taken on its way from the cameras to the judging thread."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from agent.domain import Frame
from agent.judging.awaited import Awaited


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
        self._awaited: Awaited[Frame] = Awaited()

    @property
    def cameras(self) -> tuple[str, ...]:
        """Their names."""
        return self._cameras

    def take(self, timeout_s: float) -> Frame | None:
        """The frame that waited longest; for the judging thread."""
        frame = self._supply.take(timeout_s)
        if frame is not None and self._awaited and frame.camera not in self._late:
            self._awaited.give(frame.camera, frame)
        return frame

    def judged(self, frame: Frame) -> None:
        """It is known what is in the frame; by the judging thread."""
        if self._awaited and frame.camera in self._late:
            self._awaited.give(frame.camera, frame)

    def wake(self) -> None:
        """Make a waiting `take` return."""
        self._supply.wake()

    async def next(self, camera: str, timeout_s: float) -> Frame | None:
        """The camera's next frame; None where it gave none in time."""
        return await self._awaited.next(camera, timeout_s)
