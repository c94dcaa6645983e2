"""Waking an asyncio task from another thread."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """An event that any thread may set and one task waits for; several settings before a wait count as one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self) -> None:
        """Belong to the running loop; settings before that are not lost."""
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        """Wake the waiting task, or the next that waits."""
        if self._loop is None:
            self._event.set()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to wake
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until set, and clear it; False when the time was up first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
