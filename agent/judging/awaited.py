"""What the judging thread gives, camera by camera, to who waits for it elsewhere."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Awaited(Generic[T]):
    """Given by the judging thread, waited for on the event loop; nothing is kept. True while anybody waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Future[T]]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def give(self, camera: str, what: T) -> None:
        """To all who wait for that camera's next."""
        with self._lock:
            waiting = self._waiting.pop(camera, [])
        for one in waiting:
            if one.set_running_or_notify_cancel():
                one.set_result(what)

    async def next(self, camera: str, timeout_s: float) -> T | None:
        """The camera's next; None where it gave none in time."""
        wanted: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(camera, []).append(wanted)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(wanted)
        except TimeoutError:
            return None
        finally:
            self._forget(camera, wanted)

    def _forget(self, camera: str, wanted: Future[T]) -> None:
        """A camera that gives nothing must not gather up who waited for it."""
        with self._lock:
            left = [one for one in self._waiting.get(camera, []) if one is not wanted]
            if left:
                self._waiting[camera] = left
            else:
                self._waiting.pop(camera, None)
