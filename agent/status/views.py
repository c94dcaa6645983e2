"""What people look at: the frame that a camera's judging is at, and the latest alerts."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from agent.domain import AlertChange, Frame, Track

REMEMBERED: Final = 20
"""As many as fit on a page."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame, and what was made of it."""

    frame: Frame
    tracks: Sequence[Track]


class Views:
    """Implements `agent.judging.ports.Viewer`. Keeps no frame: it is megabytes, and wanted only while one looks."""

    def __init__(self) -> None:
        self._wanted: dict[str, list[Future[Look]]] = {}
        self._alerts: OrderedDict[str, AlertChange] = OrderedDict()
        self._lock = threading.Lock()

    def looked(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """Give the frame to who waits for one of its camera; by the judging thread."""
        if not self._wanted:
            return
        with self._lock:
            waiting = self._wanted.pop(frame.camera, [])
        look = Look(frame, tracks)
        for one in waiting:
            if one.set_running_or_notify_cancel():
                one.set_result(look)

    def changed(self, change: AlertChange) -> None:
        """Remember the alert as it stands; by the judging thread."""
        with self._lock:
            self._alerts[change.id] = change
            if len(self._alerts) > REMEMBERED:
                self._alerts.popitem(last=False)

    def alerts(self) -> list[AlertChange]:
        """The latest alerts as they stand, newest first."""
        with self._lock:
            return list(reversed(self._alerts.values()))

    async def next(self, camera: str, timeout_s: float) -> Look | None:
        """The camera's next frame; None where it gave none in time."""
        wanted: Future[Look] = Future()
        with self._lock:
            self._wanted.setdefault(camera, []).append(wanted)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(wanted)
        except TimeoutError:
            return None
        finally:
            self._forget(camera, wanted)

    def _forget(self, camera: str, wanted: Future[Look]) -> None:
        """A camera that gives no frames must not gather up who asked for one."""
        with self._lock:
            left = [one for one in self._wanted.get(camera, []) if one is not wanted]
            if left:
                self._wanted[camera] = left
            else:
                self._wanted.pop(camera, None)
