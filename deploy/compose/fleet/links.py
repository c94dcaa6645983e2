"""The bad links of the profile `chaos`: a proxy that is broker and cloud to the agents behind it.

What a device's link is like follows from its number: flaky (cut, and back again), far (every byte comes late), slow
(few bytes a second), silent (nothing comes through for a while, and nobody is told). The bytes themselves are not
looked at, and could not be: they are TLS. It needs nothing but Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from deploy.compose.fleet.names import NoDevice, Replica, replica_at

log: Final = logging.getLogger(__name__)

CHUNK: Final = 4096
IN_FLIGHT: Final = 64
"""Chunks under way in each direction of a connection; a sender has to wait then, as for a real link."""


class Weather(Enum):
    """How a link is right now."""

    OPEN = "open"
    CUT = "cut"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Quality:
    """What a link is like.

    Attributes:
        latency_s: From one end to the other, each way.
        bytes_per_s: Of all the device's connections together; None without a bound.
        good_s, bad_s: How long it works, and is `bad` then, over and over; 0 for never.
    """

    name: str
    latency_s: float = 0.02
    bytes_per_s: float | None = None
    good_s: float = 0.0
    bad_s: float = 0.0
    bad: Weather = Weather.CUT

    def weather(self, at_s: float) -> Weather:
        """How it is `at_s` after the beginning."""
        if not self.bad_s or at_s % (self.good_s + self.bad_s) < self.good_s:
            return Weather.OPEN
        return self.bad

    def change_s(self, at_s: float) -> float:
        """How long until that changes; infinite where it never does."""
        if not self.bad_s:
            return float("inf")
        within = at_s % (self.good_s + self.bad_s)
        return self.good_s - within if within < self.good_s else self.good_s + self.bad_s - within


QUALITIES: Final = (
    Quality("flaky", good_s=30, bad_s=12, bad=Weather.CUT),
    Quality("far", latency_s=0.4),
    Quality("slow", latency_s=0.1, bytes_per_s=64_000),
    Quality("silent", good_s=40, bad_s=25, bad=Weather.SILENT),
)


def quality_of(replica: Replica) -> Quality:
    """The same for the same number."""
    return QUALITIES[(replica.number - 1) % len(QUALITIES)]


class Clock:
    """The machine's."""

    def monotonic(self) -> float:
        """Seconds that only go up."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let others work."""
        await asyncio.sleep(seconds)


class Link:
    """All the connections of one device."""

    def __init__(self, quality: Quality, clock: Clock) -> None:
        self._quality = quality
        self._clock = clock
        self._begun = clock.monotonic()
        self._free_at = self._begun
        self._open: set[asyncio.StreamWriter] = set()
        self._clear = asyncio.Event()
        self._clear.set()
        self._cut = False

    async def run(self) -> None:
        """Let the weather change, until cancelled."""
        while True:
            at_s = self._clock.monotonic() - self._begun
            self._become(self._quality.weather(at_s))
            until_s = self._quality.change_s(at_s)
            if until_s == float("inf"):
                return
            await self._clock.sleep(until_s)

    def _become(self, weather: Weather) -> None:
        self._cut = weather is Weather.CUT
        if self._cut:
            for writer in list(self._open):
                writer.transport.abort()
        if weather is Weather.SILENT:
            self._clear.clear()
        else:
            self._clear.set()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        """Carry a connection to `host` until either end closes it, or the link is cut."""
        if self._cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError as refused:
            log.info("%s:%s can't be reached: %s", host, port, refused)
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, far_writer))
                both.create_task(self._carry(far_reader, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        delivering = asyncio.create_task(self._deliver(under_way, writer))
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(CHUNK):
                    await self._send(len(data))
                    await under_way.put((self._clock.monotonic() + self._quality.latency_s, data))
            await under_way.put((0.0, b""))
            await delivering
        finally:
            delivering.cancel()

    async def _send(self, size: int) -> None:
        """Wait until the link has taken that many bytes."""
        if self._quality.bytes_per_s is None:
            return
        now = self._clock.monotonic()
        self._free_at = max(now, self._free_at) + size / self._quality.bytes_per_s
        await self._clock.sleep(self._free_at - now)

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = await under_way.get()
                if (wait_s := due - self._clock.monotonic()) > 0:
                    await self._clock.sleep(wait_s)
                await self._clear.wait()
                if not data:
                    writer.write_eof() if writer.can_write_eof() else writer.close()
                    return
                writer.write(data)
                await writer.drain()


class Links:
    """A link for each device that comes, made when it first does.

    Args:
        who: Tells the device behind an address; raises `NoDevice`.
        clock: For all of them.
    """

    def __init__(self, who: Callable[[str], Awaitable[Replica]], clock: Clock) -> None:
        self._who = who
        self._clock = clock
        self._links: dict[str, Link] = {}
        self._weather: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        """A device has called."""
        try:
            replica = await self._who(writer.get_extra_info("peername")[0])
        except NoDevice as nobody:
            log.warning("turned away: %s", nobody)
            writer.transport.abort()
            return
        link = self._links.get(replica.device)
        if link is None:
            quality = quality_of(replica)
            log.info("%s has a %s link", replica.device, quality.name)
            link = self._links[replica.device] = Link(quality, self._clock)
            self._weather.add(asyncio.create_task(link.run(), name=f"weather-{replica.device}"))
        await link.join(reader, writer, host, port)


async def serve(links: Links, host: str, port: int) -> asyncio.Server:
    """Listen on `port`, and carry what comes to the same port of `host`."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await links.take(reader, writer, host, port)

    return await asyncio.start_server(take, "0.0.0.0", port)  # noqa: S104 - it is on networks of the fleet alone


async def run(project: str, targets: list[tuple[str, int]]) -> None:
    """Carry until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def who(address: str) -> Replica:
        return await asyncio.to_thread(replica_at, address, project)

    links = Links(who, Clock())
    servers = [await serve(links, host, port) for host, port in targets]
    await stop.wait()
    for server in servers:
        server.close()


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(message)s")
    targets = [target.rpartition(":") for target in os.environ["VEDETTE_FLEET_TARGETS"].split()]
    asyncio.run(
        run(os.environ["VEDETTE_FLEET_PROJECT"], [(host, int(port)) for host, _, port in targets]),
    )
