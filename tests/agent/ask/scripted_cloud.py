"""An HTTP server that answers as a test tells it to, down to the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.agent.ask.test_uploads import WALL
from tests.ports import kept_port
from wire.audits import Audit, AuditOutcome, LabelCounts
from wire.codec import encode
from wire.fields import Timestamp
from wire.messages import Decision, Pending, Question, Verdict


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def question(self) -> Question:
        return Question.model_validate_json(self.headers["vedette-question"])


Reply = Callable[[Request], Awaitable[bytes]]


def response(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def verdict_for(question: Question, made_at: Timestamp = WALL, **fields: object) -> bytes:
    given: dict[str, object] = {
        "message_id": "9" * 32, "device": question.device, "made_at": made_at, "question_id": question.message_id,
        "alert_id": question.alert_id, "decision": Decision.CONFIRMED, "label": "person", "score": 0.9,
        "box": question.box, "model": "big 1", "took_ms": 12.0,
    }  # fmt: skip
    return encode(Verdict.model_validate(given | fields))


async def in_time(request: Request) -> bytes:
    return response(200, verdict_for(request.question))


async def later(request: Request) -> bytes:
    pending = Pending(message_id="8" * 32, device="cam-1", made_at=WALL, question_id=request.question.message_id)
    return response(202, encode(pending))


def audit_id(request: Request) -> str:
    """Of the audit that is brought, or whose outcome is asked for."""
    if request.method == "GET":
        return request.path.removeprefix("/v1/audits/")
    return Audit.model_validate_json(request.headers["vedette-audit"]).message_id


async def audited(request: Request) -> bytes:
    outcome = AuditOutcome(
        message_id="7" * 32, device="cam-1", made_at=WALL, audit_id=audit_id(request), model="big 1",
        counts=(LabelCounts(label="person", matched=0, shown=0, there=1),),
    )  # fmt: skip
    return response(200, encode(outcome))


async def audited_later(request: Request) -> bytes:
    pending = Pending(message_id="8" * 32, device="cam-1", made_at=WALL, question_id=audit_id(request))
    return response(202, encode(pending))


async def never(_: Request) -> bytes:
    await asyncio.Event().wait()
    return b""


async def hang_up(_: Request) -> bytes:
    return b""


def always(answer: bytes) -> Reply:
    async def reply(_: Request) -> bytes:
        return answer

    return reply


@dataclass
class ScriptedCloud:
    """Plays `script` from the front; then `otherwise`, for good."""

    script: list[Reply] = field(default_factory=list)
    otherwise: Reply = in_time
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    heard: Callable[[], None] = lambda: None
    tls: ssl.SSLContext | None = None
    _kept: socket.socket = field(default_factory=kept_port)

    @property
    def port(self) -> int:
        """The same after each `start`."""
        return int(self._kept.getsockname()[1])

    async def start(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20, ssl=self.tls)

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._converse(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await self._read(reader)
                self.requests.append(request)
                self.heard()
                reply = self.script.pop(0) if self.script else self.otherwise
                answer = await reply(request)
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
