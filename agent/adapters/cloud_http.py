"""The cloud's HTTP door from the device's side: one request, one outcome."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from agent.adapters.lean_httpx import httpx
from agent.adapters.tls import RenewedContext
from agent.ask.questions import header_value
from agent.ask.settings import AskSettings
from agent.deliver.ledger import Ledger, Why, http_request_size
from agent.deliver.receipts import Receipts, Sending
from agent.errors import AnswerInvalid, AskRefused, AskUnreachable, ConfigInvalid, EgressUnwritable
from wire.audits import AUDIT_HEADER, AUDITS_PATH, Audit, AuditOutcome
from wire.codec import decode
from wire.commands import CLIPS_PATH, SNAPSHOTS_PATH
from wire.errors import VedetteError, WireError
from wire.messages import (
    KIB,
    PICTURE_HEADER,
    PICTURES_PATH,
    QUESTION_HEADER,
    QUESTIONS_PATH,
    Message,
    Pending,
    PictureNote,
    Question,
    Redaction,
    Refusal,
    Verdict,
)

M = TypeVar("M", bound=Message)

MAX_ANSWER_BYTES: Final = 16 * KIB
"""The largest answer of the contract, a `Pending`; no more than that is read of any response."""
MAX_RETRY_AFTER_S: Final = 300.0
"""A cloud that asks for more gets this, so that a slip there cannot silence a device for a day."""
PASSING: Final = {408, 425, 429}
"""Of the client errors, those that the same request may not meet again."""
UNKNOWN_TOKEN_S: Final = 60.0
"""Between tries with a token that was refused: the service limits how often."""
CHUNK_BYTES: Final = 64 * KIB
"""Of a file, in memory at once."""
KEEP_ALIVE_S: Final = 60.0
"""uvicorn, nginx and cloud balancers close an idle connection after 5 to 75 s; httpx notices."""


def _unheard() -> None:
    """Nobody wants to know."""


class TryAgain(Exception):
    """The request did not get through, and may later."""

    def __init__(self, error: VedetteError, at_least_s: float = 0.0) -> None:
        self.error = error
        self.at_least_s = at_least_s
        super().__init__(str(error))


@dataclass(frozen=True, slots=True)
class Shown:
    """What an upload shows, for its receipt.

    Attributes:
        what: Id of the question, alert, audit or command.
        camera: None where it is not known.
        redaction: None where nothing was painted over.
    """

    what: str
    camera: str | None = None
    redaction: Redaction | None = None


class CloudHttp:
    """Keeps connections alive between requests; belongs to one event loop."""

    def __init__(
        self, settings: AskSettings, *, token: Callable[[], str | None], ledger: Ledger, receipts: Receipts
    ) -> None:
        """Prepare; nothing is connected yet. May read files, so call it off the event loop.

        Raises:
            ConfigInvalid: `ca_file` can't be used.
        """
        self._url = settings.url
        self._token = token
        self._ledger = ledger
        self._receipts = receipts
        self._tls = _tls(settings)
        self._settings = settings
        # A context that is never used, and far cheaper than loading the system's roots.
        self._line = self._new_line(
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self._tls is None else self._tls.context
        )

    def _new_line(self, context: ssl.SSLContext) -> _Line:
        settings = self._settings
        client = httpx.AsyncClient(
            verify=context,
            # What the environment says about proxies is meant for programs of people, not for a service.
            trust_env=False,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "vedette-agent"},
            timeout=httpx.Timeout(None, connect=settings.connect_timeout_s),
            limits=httpx.Limits(
                max_connections=settings.max_concurrent,
                max_keepalive_connections=settings.max_concurrent,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
        )
        return _Line(client)

    async def _present_line(self) -> _Line:
        """Connections under the certificate as it is now: one that is kept alive shows the one that it began with."""
        context = None if self._tls is None else await asyncio.to_thread(self._tls.renewed)
        if context is not None:
            before, self._line = self._line, self._new_line(context)
            await before.retire()
        return self._line

    async def close(self) -> None:
        """Close all connections."""
        await self._line.retire()

    async def ask(
        self, question: Question, jpeg: bytes, *, timeout_s: float, left: Callable[[], object] = _unheard
    ) -> Verdict | None:
        """Put the question; None where the verdict will come over MQTT.

        Args:
            question: What is said beside the picture.
            jpeg: The picture.
            timeout_s: For the whole exchange.
            left: Called where bytes of it left the device, whatever came of it; ahead of the return.

        Raises:
            AskRefused: For good.
            TryAgain: It did not get through.
        """
        headers = {QUESTION_HEADER: header_value(question)}
        shown = Shown(question.message_id, question.camera, question.redaction)
        status, body = await self._send("POST", QUESTIONS_PATH, jpeg, headers, timeout_s, Why.QUESTIONS, shown, left)
        if status == httpx.codes.OK:
            verdict = _read(Verdict, body)
            _check(verdict.question_id == question.message_id and verdict.alert_id == question.alert_id)
            return verdict
        if status == httpx.codes.ACCEPTED:
            _check(_read(Pending, body).question_id == question.message_id)
            return None
        raise TryAgain(AnswerInvalid(f"the cloud answered a question with status {status}"))

    async def audit(self, audit: Audit, jpeg: bytes, *, timeout_s: float) -> AuditOutcome | None:
        """Send a frame for audit; None where the cloud has it, and has not looked yet.

        Raises:
            AskRefused, TryAgain: as `ask`.
        """
        headers = {AUDIT_HEADER: header_value(audit)}
        shown = Shown(audit.message_id, audit.camera, audit.redaction)
        answer = await self._send("POST", AUDITS_PATH, jpeg, headers, timeout_s, Why.AUDITS, shown)
        return _outcome(audit, *answer)

    async def audit_outcome(self, audit: Audit, *, timeout_s: float) -> AuditOutcome | None:
        """What came of a frame that the cloud has; None where it has not looked yet.

        Raises:
            AskRefused, TryAgain: as `ask`.
        """
        path, shown = f"{AUDITS_PATH}/{audit.message_id}", Shown(audit.message_id, audit.camera)
        return _outcome(audit, *await self._send("GET", path, b"", {}, timeout_s, Why.AUDITS, shown))

    async def put_picture(
        self, alert_id: str, jpeg: bytes, note: PictureNote | None = None, *, timeout_s: float
    ) -> None:
        """Store an alert's picture, and what is said of it.

        Raises:
            AskRefused, TryAgain: as `ask`.
        """
        headers = {} if note is None else {PICTURE_HEADER: header_value(note)}
        shown = Shown(alert_id) if note is None else Shown(alert_id, note.camera, note.redaction)
        await self._send("PUT", f"{PICTURES_PATH}/{alert_id}", jpeg, headers, timeout_s, Why.PICTURES, shown)

    async def put_snapshot(self, shown: Shown, jpeg: bytes, *, timeout_s: float) -> None:
        """Send the picture that a command asked for.

        Raises:
            AskRefused, TryAgain: as `ask`.
        """
        await self._send("PUT", f"{SNAPSHOTS_PATH}/{shown.what}", jpeg, {}, timeout_s, Why.SNAPSHOTS, shown)

    async def put_clip(self, shown: Shown, file: Path, media_type: str, *, timeout_s: float) -> None:
        """Send the video that a command asked for, from its file.

        Raises:
            AskRefused, TryAgain: as `ask`.
            OSError: The file can't be read.
        """
        size = (await asyncio.to_thread(file.stat)).st_size
        headers = {"Content-Type": media_type, "Content-Length": str(size)}
        body = await asyncio.to_thread(_FileBody, file, size)
        await self._send("PUT", f"{CLIPS_PATH}/{shown.what}", body, headers, timeout_s, Why.CLIPS, shown)

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | _FileBody,
        headers: dict[str, str],
        timeout_s: float,
        why: Why,
        shown: Shown,
        left: Callable[[], object] = _unheard,
    ) -> tuple[int, bytes]:
        """One exchange, with its receipt; the status, 2xx, and the body."""
        kind = {"Content-Type": "image/jpeg"} if content else {}
        headers = kind | headers | await self._authorisation()
        way = _Way()
        request = self._line.client.build_request(
            method, self._url + path, content=content, headers=headers, extensions={"trace": way}
        )

        head = http_request_size(method, request.url.raw_path.decode("ascii"), request.headers.raw, b"")
        sending = Sending(
            why=why,
            what=shown.what,
            camera=shown.camera,
            host=request.url.netloc.decode("ascii"),
            size=head + (content.size if isinstance(content, _FileBody) else len(content)),
            body=content.size if isinstance(content, _FileBody) else len(content),
            sha256=content.sha256 if isinstance(content, _FileBody) else hashlib.sha256(content).hexdigest(),
            redaction=None if shown.redaction is None else shown.redaction.model_dump(mode="json"),
        )
        try:
            # Not a byte before it is written down: a crash from here on finds it there.
            ticket = await asyncio.to_thread(self._receipts.begin, sending)
        except EgressUnwritable as refused:
            raise TryAgain(refused) from refused
        sent, outcome = True, "cut off by the agent's end"
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._present_line()
                status, body, retry_after = await line.exchange(request)
            outcome = f"status {status}"
        except (httpx.ConnectError, httpx.ConnectTimeout) as lost:  # nothing was sent
            sent, outcome = False, "not reached"
            raise TryAgain(AskUnreachable(f"the cloud at {self._url} can't be reached ({lost!r})")) from lost
        except httpx.HTTPError as lost:
            outcome = "hung up"
            raise TryAgain(AskUnreachable(f"the cloud at {self._url} hung up ({lost!r})")) from lost
        except TimeoutError as late:
            outcome = "not reached" if way.is_sought else "no answer in time"
            raise TryAgain(
                AskUnreachable(f"the cloud at {self._url} did not answer within {timeout_s:.1f} s")
            ) from late
        except TryAgain:
            outcome = "an answer of no use"
            raise
        finally:
            body_sent = content.sent if isinstance(content, _FileBody) else len(content)
            size = head + body_sent if sent and not way.is_sought else 0
            if size:
                self._ledger.spend(why, size)
                left()
            await asyncio.shield(asyncio.to_thread(self._receipts.end, ticket, outcome, size))
        return _judged(status, body, retry_after)

    async def _authorisation(self) -> dict[str, str]:
        try:
            token = await asyncio.to_thread(self._token)
        except ConfigInvalid as missing:
            raise TryAgain(missing) from missing
        return {} if token is None else {"Authorization": f"Bearer {token}"}


class _Way:
    """Whether a request still looks for its way: what is given up before it is connected did not leave."""

    def __init__(self) -> None:
        self.is_sought = False

    async def __call__(self, event: str, _info: object) -> None:
        """As httpcore's extension `trace` is told each step."""
        if event == "connection.connect_tcp.started":
            self.is_sought = True
        elif event == "connection.connect_tcp.complete":
            self.is_sought = False


class _Line:
    """The connections under one certificate; once retired, they are closed when nothing is under way any more."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._busy = 0
        self._retired = False

    async def exchange(self, request: httpx.Request) -> tuple[int, bytes, str | None]:
        """Status, body and `Retry-After`.

        Raises:
            httpx.HTTPError: It did not come to an answer.
            TryAgain: The answer is too large.
        """
        self._busy += 1
        try:
            response = await self.client.send(request, stream=True)
            try:
                body = bytearray()
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        raise TryAgain(AnswerInvalid(f"the cloud's answer is over {MAX_ANSWER_BYTES} bytes"))
                return response.status_code, bytes(body), response.headers.get("Retry-After")
            finally:
                await response.aclose()
        finally:
            self._busy -= 1
            await self._close_if_done()

    async def retire(self) -> None:
        """No more requests come."""
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._busy:
            await self.client.aclose()


class _FileBody:
    """A file as a request's body, read piece by piece.

    Attributes:
        size: In bytes.
        sha256: Of all of it.
        sent: Bytes that were handed to the connection.
    """

    def __init__(self, file: Path, size: int) -> None:
        """Read it once, for its digest.

        Raises:
            OSError: It can't be read.
        """
        self._file = file
        self.size = size
        self.sent = 0
        with file.open("rb") as opened:
            self.sha256 = hashlib.file_digest(opened, "sha256").hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent = 0
        with await asyncio.to_thread(self._file.open, "rb") as opened:
            while piece := await asyncio.to_thread(opened.read, CHUNK_BYTES):
                yield piece
                self.sent += len(piece)


def _judged(status: int, body: bytes, retry_after: str | None) -> tuple[int, bytes]:
    if httpx.codes.is_success(status):
        return status, body
    said = _said(status, body)
    if status == httpx.codes.UNAUTHORIZED:
        # A new token may be on its way to the file; what was asked is worth keeping until then.
        raise TryAgain(AskRefused(f"the cloud does not know this device: {said}"), UNKNOWN_TOKEN_S)
    if httpx.codes.is_client_error(status) and status not in PASSING:
        raise AskRefused(f"the cloud refused: {said}")
    # A redirect is no answer of ours either: most likely a captive portal, which somebody will pass.
    raise TryAgain(AskUnreachable(f"the cloud can't answer now: {said}"), _seconds(retry_after))


def _said(status: int, body: bytes) -> str:
    try:
        refusal = Refusal.model_validate_json(body)
    except ValidationError:
        return f"status {status}"
    return f"status {status}, {refusal.error}: {refusal.message}"


def _seconds(retry_after: str | None) -> float:
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return 0.0
    return min(float(retry_after), MAX_RETRY_AFTER_S)


def _read(kind: type[M], body: bytes) -> M:
    try:
        return decode(kind, body)
    except WireError as refused:
        raise TryAgain(AnswerInvalid(f"the cloud's answer can't be read ({refused.name}: {refused.what})")) from None


def _outcome(audit: Audit, status: int, body: bytes) -> AuditOutcome | None:
    if status == httpx.codes.OK:
        outcome = _read(AuditOutcome, body)
        _check(outcome.audit_id == audit.message_id)
        return outcome
    if status == httpx.codes.ACCEPTED:
        _check(_read(Pending, body).question_id == audit.message_id)
        return None
    raise TryAgain(AnswerInvalid(f"the cloud answered an audit with status {status}"))


def _check(fits: bool) -> None:  # noqa: FBT001 - an assertion by another name
    if not fits:
        raise TryAgain(AnswerInvalid("the cloud answered another question than ours"))


def _tls(settings: AskSettings) -> RenewedContext | None:
    if settings.url.startswith("http://"):
        return None
    return RenewedContext("ask", settings.ca_file, settings.cert_file, settings.key_file)
