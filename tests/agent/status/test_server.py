"""The page's server, over real sockets, with visitors who mean well and others."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from agent.adapters.status_server import MAX_CONNECTIONS, MAX_HEAD, StatusServer
from agent.deliver.faults import Faults
from agent.status.doors import HTML, Reply
from agent.status.settings import ListenAt

BOUND_S = 60.0


class Doors:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.opened = asyncio.Event()
        self.opened.set()
        self.waiting = 0
        self.changed = asyncio.Condition()

    async def answer(self, path: str) -> Reply:
        self.asked.append(path)
        async with self.changed:
            self.waiting += 1
            self.changed.notify_all()
        await self.opened.wait()
        return Reply(200, HTML, b"<p>here")


@asynccontextmanager
async def serving(
    doors: Doors, caplog: pytest.LogCaptureFixture, allowed: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[str, int]]:
    caplog.set_level(logging.INFO)
    stop = asyncio.Event()
    server = StatusServer(ListenAt("127.0.0.1", 0), doors.answer, allowed_hosts=allowed, faults=Faults())
    task = asyncio.create_task(server.run(stop))
    async with asyncio.timeout(BOUND_S):
        while (found := re.search(r"http://([\d.]+):(\d+)/", caplog.text)) is None:  # noqa: ASYNC110 - a turn or two
            await asyncio.sleep(0)
    try:
        yield found[1], int(found[2])
    finally:
        stop.set()
        async with asyncio.timeout(BOUND_S):
            await task


async def say(where: tuple[str, int], data: bytes) -> bytes:
    """All that is answered to these bytes."""
    reader, writer = await asyncio.open_connection(*where)
    writer.write(data)
    try:
        async with asyncio.timeout(BOUND_S):
            return await reader.read()
    finally:
        writer.close()


async def test_a_page_is_answered_with_the_headers_that_keep_it_apart(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors()
    async with serving(doors, caplog) as (host, port), httpx.AsyncClient(base_url=f"http://{host}:{port}") as http:
        answer = await http.get("/frame/yard.jpg?t=1")
        head = await http.head("/")
    assert (answer.status_code, answer.text) == (200, "<p>here")
    assert doors.asked == ["/frame/yard.jpg", "/"]
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "7")
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "gate.lan.evil.example", ""])
async def test_another_name_is_not_answered_to(host: str, caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors()
    async with serving(doors, caplog, frozenset({"gate.lan"})) as where:
        assert b" 421 " in (await say(where, b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())).splitlines()[0]
        assert b" 200 " in (await say(where, b"GET / HTTP/1.1\r\nHost: gate.lan:80\r\n\r\n")).splitlines()[0]
    assert doors.asked == ["/"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed_here(method: str, caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors()
    async with serving(doors, caplog) as (host, port), httpx.AsyncClient(base_url=f"http://{host}:{port}") as http:
        answer = await http.request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert doors.asked == []


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.0\r\n\r\n", b" 421 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b" 400 "),
        (b"GET /" + b"x" * (MAX_HEAD + 1), b" 431 "),
    ],
    ids=["no-http", "no-host", "two-hosts", "no-host-1.0", "tls", "endless"],
)
async def test_what_is_no_request_is_refused(said: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors()
    async with serving(doors, caplog) as where:
        assert status in (await say(where, said)).splitlines()[0]
        assert b" 200 " in (await say(where, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")).splitlines()[0]
    assert doors.asked == ["/"]


async def test_visitors_are_bounded_and_the_stop_waits_for_none(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors()
    doors.opened.clear()
    async with serving(doors, caplog) as where:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        visits = [asyncio.create_task(say(where, request)) for _ in range(MAX_CONNECTIONS)]
        async with asyncio.timeout(BOUND_S), doors.changed:
            await doors.changed.wait_for(lambda: doors.waiting == MAX_CONNECTIONS)
        assert await say(where, b"") == b""
    left = await asyncio.gather(*visits, return_exceptions=True)
    assert all(one == b"" or isinstance(one, OSError) for one in left)


async def test_a_taken_address_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    faults, stop = Faults(), asyncio.Event()
    caplog.set_level(logging.INFO)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = ListenAt(*taken.getsockname())
        server = StatusServer(where, Doors().answer, allowed_hosts=frozenset(), faults=faults, again_s=0.01)
        task = asyncio.create_task(server.run(stop))
        async with asyncio.timeout(BOUND_S):
            while faults.counts().get("StatusUnavailable", 0) < 2:  # noqa: ASYNC110 - nothing there to be woken by
                await asyncio.sleep(0.005)
    async with asyncio.timeout(BOUND_S):
        while "status page at" not in caplog.text:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
    stop.set()
    await task


async def test_without_an_address_there_is_nothing_to_do() -> None:
    async with asyncio.timeout(BOUND_S):
        await StatusServer(None, Doors().answer, allowed_hosts=frozenset(), faults=Faults()).run(asyncio.Event())
