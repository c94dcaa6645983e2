"""What the device says of itself: the model, and how each camera is doing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from wire.messages import CameraState, CameraStatus, ModelStatus

log: Final = logging.getLogger(__name__)

OnChange = Callable[[ModelStatus, tuple[CameraStatus, ...]], None]


class StatusBoard:
    """Collects the cameras' states from their threads, and passes on the whole picture at each change."""

    def __init__(self, model: ModelStatus) -> None:
        self._model = model
        self._cameras: dict[str, CameraStatus] = {}
        self._on_change: OnChange | None = None
        self._lock = threading.Lock()

    @property
    def condition(self) -> tuple[ModelStatus, tuple[CameraStatus, ...]]:
        """As things stand."""
        with self._lock:
            return self._model, tuple(self._cameras.values())

    def call_when_changed(self, on_change: OnChange) -> None:
        """Pass changes on, beginning with how things stand."""
        with self._lock:
            self._on_change = on_change
            on_change(self._model, tuple(self._cameras.values()))

    def model(self, model: ModelStatus) -> None:
        """Another model judges from now on; from the judging thread."""
        log.info("%s %s judges from now on", model.name, model.version)
        with self._lock:
            self._model = model
            if self._on_change is not None:
                self._on_change(self._model, tuple(self._cameras.values()))

    def camera(self, name: str, state: CameraState, detail: str) -> None:
        """A camera's new state; from its thread."""
        level = logging.WARNING if state is CameraState.LOST else logging.INFO
        log.log(level, "camera %s is %s%s", name, state, f": {detail}" if detail else "")
        with self._lock:
            self._cameras[name] = CameraStatus(name=name, state=state, detail=detail)
            if self._on_change is not None:
                self._on_change(self._model, tuple(self._cameras.values()))
