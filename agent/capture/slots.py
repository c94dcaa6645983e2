"""Where the cameras' threads and the one judging thread meet: one place per camera, holding one frame at most."""

from __future__ import annotations

import threading

from agent.domain import Frame


class FrameSlot:
    """One camera's place; made by `FrameSlots.add`.

    `frame`, `last_turn` and `ended` belong to whoever holds the lock that both conditions share.
    """

    def __init__(self, camera: str, fresh: threading.Condition, room: threading.Condition) -> None:
        self.camera = camera
        self.frame: Frame | None = None
        self.last_turn = -1
        self.ended = False
        self._fresh = fresh
        self._room = room

    def put(self, frame: Frame) -> bool:
        """Lay the newest frame here; returns whether one that was not taken in time was dropped for it."""
        with self._fresh:
            if self.ended:
                return True
            dropped = self.frame is not None
            self.frame = frame
            self._fresh.notify()
        return dropped

    def offer(self, frame: Frame) -> bool:
        """Wait until the frame before was taken, then lay this one here; returns False if the slot ended instead."""
        with self._room:
            self._room.wait_for(lambda: self.frame is None or self.ended)
            if self.ended:
                return False
            self.frame = frame
            self._fresh.notify()
        return True

    def end(self) -> None:
        """Nothing more will come; a frame that lies here can still be taken."""
        with self._fresh:
            self.ended = True
            self._room.notify_all()
            self._fresh.notify()

    def withdraw(self) -> None:
        """Nothing more will come, and what lies here is not wanted any more."""
        with self._fresh:
            self.frame = None
        self.end()


class FrameSlots:
    """Hands the judging thread one frame at a time, from the camera that has waited longest since its last turn."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self._fresh = threading.Condition(lock)
        self._room = threading.Condition(lock)
        self._slots: list[FrameSlot] = []
        self._turn = 0
        self._ends_seen = 0
        self._woken = False
        self._closed = False

    def add(self, camera: str) -> FrameSlot:
        """A place for `camera`; one that it had before must have ended, and is forgotten."""
        slot = FrameSlot(camera, self._fresh, self._room)
        with self._fresh:
            slot.ended = self._closed
            self._slots = [other for other in self._slots if other.camera != camera]
            self._slots.append(slot)
            self._ends_seen = self._count_ended()
        return slot

    def take(self, timeout_s: float | None) -> Frame | None:
        """The next frame in fairness, waiting up to `timeout_s` (None: without end) for one.

        Returns None when the time is over, when `wake` or `close` was called, or when a camera ended: time to look
        at whatever else there is.
        """
        with self._fresh:
            self._fresh.wait_for(self._has_news, timeout_s)
            self._woken = False
            self._ends_seen = self._count_ended()
            if self._closed:
                return None
            waiting = [slot for slot in self._slots if slot.frame is not None]
            if not waiting:
                return None
            slot = min(waiting, key=lambda one: one.last_turn)
            frame, slot.frame = slot.frame, None
            slot.last_turn = self._turn
            self._turn += 1
            self._room.notify_all()
        return frame

    def wake(self) -> None:
        """Have the present or next `take` return at once."""
        with self._fresh:
            self._woken = True
            self._fresh.notify_all()

    def close(self) -> None:
        """No frame goes in or out from here on; whoever waits is let go."""
        with self._fresh:
            self._closed = True
            for slot in self._slots:
                slot.ended, slot.frame = True, None
            self._fresh.notify_all()
            self._room.notify_all()

    @property
    def all_ended(self) -> bool:
        """No camera will give another frame, and none lies waiting."""
        with self._fresh:
            return all(slot.ended and slot.frame is None for slot in self._slots)

    def _has_news(self) -> bool:
        return (
            self._closed
            or self._woken
            or self._count_ended() != self._ends_seen
            or any(slot.frame is not None for slot in self._slots)
        )

    def _count_ended(self) -> int:
        return sum(slot.ended for slot in self._slots)
