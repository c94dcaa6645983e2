"""Lines to servers that are no broker: given up in time, counted by name, and tried again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.adapters.system_clock import SystemClock
from agent.deliver.link import Address
from tests.workbench.sim.rig import BORN_WITH
from tests.workbench.sim.test_tls import Authority
from workbench.sim.connection import Dialling, Line
from workbench.sim.device import Device, Life
from workbench.sim.figures import Tally
from workbench.sim.personality import TRAITS, Personality

WITHIN_S = 60.0


class Peer:
    """Accepts, says `greeting` once it hears something, and nothing else."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.heard: list[bytes] = []
        self.again = asyncio.Event()
        self.open: set[asyncio.BaseTransport] = set()

    def hear(self, data: bytes) -> bytes:
        self.heard.append(data)
        if len(self.heard) > 1:
            self.again.set()
        return self.greeting


class Accepted(asyncio.Protocol):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer.open.add(transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.peer.hear(data))

    def connection_lost(self, error: Exception | None) -> None:
        self.peer.open.discard(self.transport)


@asynccontextmanager
async def dialling(peer: Peer, identity: Path, *, open_within_s: float = WITHIN_S) -> AsyncIterator[Counter[str]]:
    server = await asyncio.get_running_loop().create_server(lambda: Accepted(peer), "127.0.0.1", 0)
    tally = Tally(["sim-1"], 1)
    steady = TRAITS[Personality.STEADY]
    device = Device("sim-1", None, steady, Life(None, BORN_WITH), seed=1, clock=SystemClock(), witness=tally)
    host, port = server.sockets[0].getsockname()
    shared = Dialling(
        Address(host, port, tls=True), asyncio.Semaphore(1), lambda _: None, lambda: None, tally.refused,
        open_within_s=open_within_s,
    )  # fmt: skip
    line = Line(device, shared, identity)
    line.begin()
    try:
        yield tally.refusals
    finally:
        await line.end(politely=True)
        server.close()
        async with asyncio.timeout(WITHIN_S):
            while peer.open:  # noqa: ASYNC110 - the last one tells nobody
                await asyncio.sleep(0.01)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return Authority().enrol(tmp_path, "sim-1")


async def test_a_handshake_that_is_not_answered_is_given_up_and_tried_again(identity):
    peer = Peer()
    async with dialling(peer, identity, open_within_s=0.1) as refusals:
        await asyncio.wait_for(peer.again.wait(), WITHIN_S)
        assert refusals["TimeoutError"] >= 1
    # A TLS ClientHello, and no word of MQTT before there is a tunnel for it.
    assert all(heard.startswith(b"\x16\x03") for heard in peer.heard)


async def test_a_server_without_tls_is_counted_and_tried_again(identity):
    peer = Peer(b"INFO {} no TLS here\r\n" * 3)
    async with dialling(peer, identity) as refusals:
        await asyncio.wait_for(peer.again.wait(), WITHIN_S)
        assert refusals
        assert "TimeoutError" not in refusals


async def test_a_certificate_that_can_t_be_read_is_named_and_taken_once_it_can(identity):
    whole = (identity / "device.pem").read_bytes()
    (identity / "device.pem").write_bytes(b"")
    peer = Peer(b"INFO {} no TLS here\r\n" * 3)
    async with dialling(peer, identity) as refusals:
        async with asyncio.timeout(WITHIN_S):
            while not refusals["IdentityUnusable"]:  # noqa: ASYNC110 - a counter tells nobody
                await asyncio.sleep(0.01)
        assert not peer.heard
        (identity / "device.pem").write_bytes(whole)
        await asyncio.wait_for(peer.again.wait(), WITHIN_S)
