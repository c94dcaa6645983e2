"""What people look at: the frame that a camera's judging is at, and the latest alerts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.domain import AlertChange, Frame, Track
from agent.judging.awaited import Awaited

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
        self._awaited: Awaited[Look] = Awaited()
        self._alerts: OrderedDict[str, AlertChange] = OrderedDict()
        self._lock = threading.Lock()

    def looked(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """Give the frame to who waits for one of its camera; by the judging thread."""
        if self._awaited:
            self._awaited.give(frame.camera, Look(frame, tracks))

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
        return await self._awaited.next(camera, timeout_s)
