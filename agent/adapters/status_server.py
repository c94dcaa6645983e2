"""The status page's HTTP server: asyncio and h11, which the device carries for its questions already.

Small on purpose: GET and HEAD, one request on each connection, a bound on everything that a caller can make grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import h11

from agent.deliver.faults import Faults
from agent.errors import StatusUnavailable
from agent.status.doors import HEADERS, Reply, is_ours
from agent.status.settings import ListenAt

log: Final = logging.getLogger(__name__)

MAX_HEAD: Final = 8 * 1024
"""Of a request's line and headers; a browser sends under 1 KiB."""
MAX_CONNECTIONS: Final = 16
"""A browser opens six; a picture waits for the next frame."""
REQUEST_WITHIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 10.0
AGAIN_S: Final = 30.0
"""How long to wait where the address is taken."""

Answer = Callable[[str], Awaitable[Reply]]
"""What is answered to a GET of this path."""


class StatusServer:
    """`run` is its one task."""

    def __init__(
        self,
        at: ListenAt | None,
        answer: Answer,
        *,
        allowed_hosts: frozenset[str],
        faults: Faults,
        again_s: float = AGAIN_S,
    ) -> None:
        self._at = at
        self._answer = answer
        self._allowed = allowed_hosts
        self._faults = faults
        self._again_s = again_s
        self._visits: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; return at once where there is nowhere to.

        Where the address can't be had, it is tried again: the agent's work goes on meanwhile.
        """
        while self._at is not None and not stop.is_set():
            try:
                server = await asyncio.start_server(self._serve, self._at.host, self._at.port, limit=MAX_HEAD)
            except OSError as refused:
                where = f"{self._at.host}:{self._at.port}"
                self._faults.note(
                    StatusUnavailable(
                        f"the status page can't be served on {where} ({refused.strerror or refused})",
                        "Choose another address in [status] listen.",
                    )
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._again_s):
                        await stop.wait()
                continue
            host, port = server.sockets[0].getsockname()[:2]
            log.info("status page at http://%s:%d/", f"[{host}]" if ":" in host else host, port)
            try:
                await stop.wait()
            finally:
                await self._close(server)

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        visits = tuple(self._visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        if visit is None or len(self._visits) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._visits.add(visit)
        try:
            await self._one(reader, writer)
        except (OSError, TimeoutError):
            log.debug("a visitor of the status page went away")
        finally:
            self._visits.discard(visit)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        try:
            async with asyncio.timeout(REQUEST_WITHIN_S):
                request = await _request(conversation, reader)
        except h11.RemoteProtocolError as broken:
            await _send(
                conversation, writer, Reply(broken.error_status_hint, body=b"that is no HTTP request\n"), "GET"
            )
            return
        if request is None:
            return
        method = request.method.decode("ascii")
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reply = await self._reply(request, method)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await _send(conversation, writer, reply, method)

    async def _reply(self, request: h11.Request, method: str) -> Reply:
        hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
        if len(hosts) != 1 or not is_ours(hosts[0], self._allowed):
            return Reply(421, body=b"this device does not answer to that name: see [status] allowed_hosts\n")
        if method not in {"GET", "HEAD"}:
            return Reply(405, body=b"only GET and HEAD\n")
        path = request.target.decode("latin-1").partition("?")[0]
        return await self._answer(path)


async def _request(conversation: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The head of the request; None where the caller went away before its end. A body is never read."""
    while True:
        event = conversation.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        conversation.receive_data(await reader.read(MAX_HEAD))


async def _send(conversation: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, method: str) -> None:
    headers = [
        ("Content-Type", reply.kind),
        ("Content-Length", str(len(reply.body))),
        ("Connection", "close"),
        *HEADERS,
    ]
    if reply.status == 405:  # noqa: PLR2004 - RFC 9110, 15.5.6
        headers.append(("Allow", "GET, HEAD"))
    writer.write(
        conversation.send(
            h11.Response(status_code=reply.status, headers=headers, reason=HTTPStatus(reply.status).phrase.encode())
        )
        or b""
    )
    if method != "HEAD":
        writer.write(conversation.send(h11.Data(data=reply.body)) or b"")
    await writer.drain()
