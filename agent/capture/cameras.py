"""All cameras of an agent: started, watched and stopped together."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from agent.capture.camera import STOP_BOUND_S, Camera, Pause, pause
from agent.domain import Clock
from wire.messages import CameraState

WATCH_EVERY_S: Final = 0.5
"""The shortest stall timeout: a stall is reported at most this much late."""


class Cameras:
    """Starts cameras, notices those whose read is stuck, and stops them within one bound for all."""

    def __init__(self, cameras: Sequence[Camera], clock: Clock, wait: Pause = pause) -> None:
        self._cameras = tuple(cameras)
        self._clock = clock
        self._wait = wait
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="camera watch", daemon=True)

    @property
    def by_name(self) -> Mapping[str, Camera]:
        """The cameras under their names."""
        return {camera.name: camera for camera in self._cameras}

    @property
    def states(self) -> Mapping[str, CameraState]:
        """How each is doing."""
        return {camera.name: camera.state for camera in self._cameras}

    def start(self) -> None:
        """Begin to read and to watch."""
        for camera in self._cameras:
            camera.start()
        self._watcher.start()

    def stop(self, timeout_s: float = STOP_BOUND_S) -> tuple[str, ...]:
        """Stop all; returns the names of those that did not end in time, because a read is blocked in a driver."""
        until = self._clock.monotonic() + timeout_s
        self._stop.set()
        for camera in self._cameras:
            camera.request_stop()
        late = [c.name for c in self._cameras if not c.stop(max(0.0, until - self._clock.monotonic()))]
        if self._watcher.ident is not None:
            self._watcher.join(max(0.0, until - self._clock.monotonic()))
        return tuple(late)

    def _watch(self) -> None:
        while not self._wait(self._stop, WATCH_EVERY_S):
            for camera in self._cameras:
                camera.check_stall()
