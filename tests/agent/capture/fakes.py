"""A clock turned by hand, and cameras that play a script."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.capture.source import Shot
from agent.errors import CaptureError
from wire.messages import CameraState

BOUND_S = 60.0
"""How long a test waits for what should happen at once."""
PICTURE = np.zeros((4, 6, 3), np.uint8)


class ManualClock:
    """Stands still until it is advanced; whoever pauses on it waits for that."""

    def __init__(self) -> None:
        self._now = 100.0
        self._changed = threading.Condition()
        self._pausing: list[float] = []
        self._released = False
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        with self._changed:
            return self._now

    def wall(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def pause(self, stop: threading.Event, seconds: float) -> bool:
        with self._changed:
            until = self._now + seconds
            self.pauses.append(seconds)
            self._pausing.append(until)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._now >= until - 1e-9 or self._released)
            self._pausing.remove(until)
            return self._released or stop.is_set()

    def wait_for_pause(self, pausing: int = 1) -> None:
        """Until as many threads pause for a time that has not come."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(until > self._now + 1e-9 for until in self._pausing) == pausing, BOUND_S
            ), "nobody pauses"

    def advance(self, seconds: float) -> None:
        with self._changed:
            self._now += seconds
            self._changed.notify_all()

    def release(self) -> None:
        """Let go of everyone, for good."""
        with self._changed:
            self._released = True
            self._changed.notify_all()


class ScriptedSource:
    """Plays one scene for each opening, the last one again and again.

    A scene is an error, raised on opening, or a list of shots, errors to raise, and events to wait for.
    """

    def __init__(self, *scenes: CaptureError | Sequence[Shot | CaptureError | threading.Event]) -> None:
        self._scenes = list(scenes)
        self._left: list[Shot | CaptureError | threading.Event] = []
        self.openings = 0
        self.is_open = False
        self.reading = threading.Event()
        self.held = threading.Event()
        """Set while a read waits for an event of the script."""
        self.remark = ""

    def open(self) -> None:
        scene = self._scenes[min(self.openings, len(self._scenes) - 1)]
        self.openings += 1
        if isinstance(scene, CaptureError):
            raise scene
        self._left = list(scene)
        self.is_open = True

    def read(self) -> Shot | None:
        self.reading.set()
        while self._left and isinstance(self._left[0], threading.Event):
            self.held.set()
            assert self._left[0].wait(BOUND_S), "the script was not let on"
            self.held.clear()
            self._left.pop(0)
        if not self._left:
            return None
        step = self._left.pop(0)
        if isinstance(step, CaptureError):
            raise step
        return step

    def close(self) -> None:
        self.is_open = False


class StateLog:
    """What a camera told of itself."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.told: list[tuple[str, CameraState, str]] = []

    def __call__(self, name: str, state: CameraState, detail: str) -> None:
        with self._changed:
            self.told.append((name, state, detail))
            self._changed.notify_all()

    def states(self, name: str) -> list[CameraState]:
        with self._changed:
            return [state for told, state, _ in self.told if told == name]

    def wait_for(self, name: str, state: CameraState, times: int = 1) -> str:
        """Until the camera has told the state so often; returns the last detail."""

        def details() -> list[str]:
            return [detail for told, s, detail in self.told if told == name and s is state]

        with self._changed:
            assert self._changed.wait_for(lambda: len(details()) >= times, BOUND_S), f"{state} was not told"
            return details()[-1]


def live(count: int) -> list[Shot]:
    return [Shot(PICTURE, None) for _ in range(count)]


def clip(count: int, fps: float = 10.0) -> list[Shot]:
    return [Shot(PICTURE, index / fps) for index in range(count)]
