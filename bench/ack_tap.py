"""A wire between the agent and the broker that notes when the cloud's acks reach the device's side of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from wire.codec import decode_on
from wire.errors import WireError
from wire.messages import Acks

PUBLISH: Final = 3
QOS: Final = 0b0110
MORE: Final = 0x80
CHUNK: Final = 65536


def published(stream: bytearray) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of each whole PUBLISH at the start of an MQTT 3.1.1 stream; what was read is taken out."""
    while (packet := _packet(stream)) is not None:
        first, body = packet
        if first >> 4 != PUBLISH:
            continue
        after_topic = 2 + int.from_bytes(body[:2])
        payload = body[after_topic + (2 if first & QOS else 0) :]
        yield body[2:after_topic].decode(), payload


def _packet(stream: bytearray) -> tuple[int, bytes] | None:
    length = 0
    for i, byte in enumerate(stream[1:5]):
        length += (byte & ~MORE) << (7 * i)
        if not byte & MORE:
            break
    else:
        return None
    start = i + 2
    if len(stream) < start + length:
        return None
    first, body = stream[0], bytes(stream[start : start + length])
    del stream[: start + length]
    return first, body


class AckTap:
    """Runs in a thread of its own. `acked_at` holds, by message id, when its first ack came."""

    def __init__(self, broker: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._broker = urlsplit(broker)
        self._now = now
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ack-tap")
        self._pumps: set[asyncio.Task[None]] = set()
        self.acked_at: dict[str, datetime] = {}
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._join, "127.0.0.1", 0), self._loop
        ).result()
        self._server = server
        self.url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Let go of every connection."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_broker = await asyncio.open_connection(self._broker.hostname, self._broker.port)
        for work in (self._pump(reader, to_broker, None), self._pump(there, writer, bytearray())):
            task = asyncio.create_task(work)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None
    ) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(CHUNK):
                    writer.write(data)
                    if heard is not None:
                        heard += data
                        self._note(heard)
                    await writer.drain()
        finally:
            writer.transport.abort()

    def _note(self, heard: bytearray) -> None:
        at = self._now()
        for topic, payload in published(heard):
            with contextlib.suppress(WireError):
                _, said = decode_on(topic, payload)
                if isinstance(said, Acks):
                    for message_id in said.message_ids:
                        self.acked_at.setdefault(message_id, at)
