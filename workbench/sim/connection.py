"""Real connections for simulated devices: one socket and one timer each, no task and no thread."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.deliver.link import Address
from workbench.errors import MqttBroken
from workbench.sim.device import Device
from workbench.sim.mqtt import Reader

CONNECTING_AT_ONCE: Final = 64
"""Between dialling and birth. A device that starts with all others would wait for its turn at the broker anyway, and
be given up there after 5 s: so long may the broker's question to the service take."""
OPEN_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Dialling:
    """What all lines have in common.

    Attributes:
        turn: How many may be on their way at once.
        look: Called when a device wants its release looked up.
        settled: Called whenever a device has come or gone.
    """

    address: Address
    turn: asyncio.Semaphore
    look: Callable[[Device], None]
    settled: Callable[[], None]


class Line(asyncio.Protocol):
    """A device's way to the broker; connects again by itself until `end`."""

    __slots__ = (
        "_connect_at", "_connecting", "_dialling", "_ended", "_known_online", "_reader", "_timer", "_tls",
        "_transport", "device",
    )  # fmt: skip

    def __init__(self, device: Device, dialling: Dialling, tls: ssl.SSLContext | None = None) -> None:
        self.device = device
        self._dialling = dialling
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._reader = Reader()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._known_online = asyncio.Event()
        self._connect_at: float | None = None
        self._ended = False

    def begin(self) -> None:
        """Connect, from within the loop."""
        self._connect_at = None
        self._connecting = asyncio.get_running_loop().create_task(self._connect(), name=f"connect-{self.device.name}")

    def look_again(self) -> None:
        """Something outside of the connection happened to the device."""
        self._move_on()

    async def end(self, *, politely: bool) -> None:
        """Close it for good."""
        self._ended = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is None:
            return
        if politely:
            self.device.say_goodbye()
            self._transport.write(self.device.take())
            self._transport.close()
        else:
            self._transport.abort()

    # --- asyncio's callbacks --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"a stream was asked for, {transport!r} came")
        self._transport = transport
        self._reader = Reader()
        self.device.opened()
        self._move_on()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        try:
            packets = self._reader.feed(data)
        except MqttBroken:
            self._hang_up()
            return
        for packet in packets:
            self.device.heard(packet)
        self._move_on()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The socket is closed."""
        self._transport = None
        self._known_online.set()
        self._try_again()

    # --- in between -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        async with self._dialling.turn:
            self._known_online.clear()
            address = self._dialling.address
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(OPEN_WITHIN_S):
                    name = address.host if self._tls is not None else None
                    await loop.create_connection(
                        lambda: self, address.host, address.port, ssl=self._tls, server_hostname=name
                    )
            except OSError:
                self._try_again()
                return
            await self._known_online.wait()

    def _try_again(self) -> None:
        if self._ended:
            return
        self._connect_at = asyncio.get_running_loop().time() + self.device.lost()
        self._dialling.settled()
        self._move_on()

    def _due(self) -> None:
        self._timer = None
        self.device.tick()
        if self._connect_at is not None and self._connect_at <= asyncio.get_running_loop().time():
            self.begin()
        self._move_on()

    def _move_on(self) -> None:
        """Send what there is to say, and see when the device wants to be asked again."""
        device, transport = self.device, self._transport
        said = device.take()
        if transport is not None and said and not transport.is_closing():
            transport.write(said)
        if device.online and not self._known_online.is_set():
            self._known_online.set()
            self._dialling.settled()
        if device.looks:
            device.looks = False
            self._dialling.look(device)
        if device.hangs_up:
            self._hang_up()
        else:
            self._set_timer()

    def _hang_up(self) -> None:
        self.device.hangs_up = False
        if self._transport is not None:
            self._transport.abort()

    def _set_timer(self) -> None:
        """For what comes first; a device that is away goes on watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wanted = [at for at in (self.device.due, self._connect_at) if at is not None]
        if wanted and not self._ended:
            self._timer = asyncio.get_running_loop().call_at(min(wanted), self._due)
