"""Enrolling where what answers is nobody's service."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.adapters.identity_folder import IdentityFolder
from agent.app import enrol
from tests.agent.self_signed import certificate
from wire.errors import VedetteError
from wire.identity import Claim

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PIECE = b"-" * 65_536


def certified(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    return context


@asynccontextmanager
async def answering(folder: Path, answer: Answering) -> AsyncIterator[Claim]:
    """A claim whose address leads to a server that answers so."""

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0, ssl=certified(folder))
    port = server.sockets[0].getsockname()[1]
    try:
        yield Claim(
            device="gate-1",
            secret="a" * 43,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
            http=f"https://127.0.0.1:{port}",
            mqtt="mqtts://127.0.0.1:8883",
            authority="sha256:" + "00" * 32,
        )
    finally:
        server.close()


async def refused(claim: Claim, folder: Path) -> VedetteError:
    word = claim.spell()
    with pytest.raises(VedetteError) as found:
        await asyncio.to_thread(enrol.enroll, word, IdentityFolder(folder / "identity"), lambda: datetime.now(UTC))
    assert not (folder / "identity").exists()
    return found.value


async def test_an_answer_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    async def without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + PIECE + PIECE)
        await writer.drain()
        await reader.read()  # until the caller hangs up

    async with answering(tmp_path, without_end) as claim:
        assert "no Vedette service: it sends over 65536 bytes" in str(await refused(claim, tmp_path))


async def test_an_answer_that_trickles_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrol, "ANSWER_WITHIN_S", 0.5)

    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"-")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with answering(tmp_path, trickling) as claim:
        assert "did not answer within 0.5 s" in str(await refused(claim, tmp_path))


async def test_what_is_no_certificate_is_no_service(tmp_path: Path) -> None:
    async def greeting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()

    async with answering(tmp_path, greeting) as claim:
        assert "is no Vedette service" in str(await refused(claim, tmp_path))
