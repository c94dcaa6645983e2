"""An MQTT client for tests that hears at once that its connection is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiomqtt

T = TypeVar("T")


class Client(aiomqtt.Client):
    """aiomqtt's own waits until its time is over for what can't come any more, so that this would have to be short.

    How a connection ended is looked at here: of one that nobody asks, asyncio complains.
    """

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(f"it hung up before it answered: {reason_code}"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        for ended in (self._connected, self._disconnected):
            if ended.done() and not ended.cancelled():
                ended.exception()

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - aiomqtt's signature
        waiting = asyncio.ensure_future(fut)
        try:
            within_s = self.timeout if timeout is None else timeout
            await asyncio.wait({waiting, self._disconnected}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
        raise aiomqtt.MqttError("the connection is gone" if self._disconnected.done() else "it took too long")
