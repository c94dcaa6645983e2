"""Real connections for simulated devices: one socket and one timer each, no task and no thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.deliver.link import Address
from workbench.errors import IdentityUnusable, MqttBroken, TlsBroken
from workbench.sim.device import Device
from workbench.sim.mqtt import Reader
from workbench.sim.tls import Certificates, Tunnel

CONNECTING_AT_ONCE: Final = 64
"""Between dialling and birth. A device that starts with all others would wait for its turn at the broker anyway, and
be given up there after 5 s: so long may the broker's question to the service take."""
OPEN_WITHIN_S: Final = 10.0
"""For the socket and, with a certificate, the handshake."""
READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Dialling:
    """What all lines have in common.

    Attributes:
        turn: How many may be on their way at once.
        look: Called when a device wants its release looked up.
        settled: Called whenever a device has come or gone.
        refused: Told why a connection came to nothing.
        certificates: Shows those of devices that have one.
        buffer: What arrives lies here until the call that says so returns: one buffer does for all.
    """

    address: Address
    turn: asyncio.Semaphore
    look: Callable[[Device], None]
    settled: Callable[[], None]
    refused: Callable[[str], None]
    certificates: Certificates = field(default_factory=Certificates)
    open_within_s: float = OPEN_WITHIN_S
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))


class Line(asyncio.BufferedProtocol):
    """A device's way to the broker; connects again by itself until `end`."""

    __slots__ = (
        "_connect_at", "_connecting", "_dialling", "_ended", "_identity", "_opened", "_reader", "_settled", "_timer",
        "_transport", "_tunnel", "device",
    )  # fmt: skip

    def __init__(self, device: Device, dialling: Dialling, identity: Path | None = None) -> None:
        self.device = device
        self._dialling = dialling
        self._identity = identity
        self._transport: asyncio.Transport | None = None
        self._tunnel: Tunnel | None = None
        self._reader = Reader()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        # While it connects: until MQTT can be spoken, and until the broker has the birth; or the connection is gone.
        self._opened: asyncio.Future[None] | None = None
        self._settled: asyncio.Future[None] | None = None
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
        if politely and self._opened is None and not self._transport.is_closing():
            self.device.say_goodbye()
            self._send(self._transport, self.device.take())
            if self._tunnel is not None:
                self._tunnel.say_goodbye()
                self._transport.write(self._tunnel.take())
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
        if self._tunnel is None:
            self._open()
        else:
            transport.write(self._tunnel.take())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where to put what comes."""
        return self._dialling.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        try:
            data = self._unsealed(bytes(self._dialling.buffer[:nbytes]))
            packets = self._reader.feed(data)
        except TlsBroken as broken:
            self._refused(broken.what)
            return
        except MqttBroken:
            self._hang_up()
            return
        for packet in packets:
            self.device.heard(packet)
        self._move_on()
        if self._tunnel is not None and self._tunnel.ended:
            self._hang_up()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The socket is closed."""
        self._transport = self._tunnel = None
        self._try_again()

    # --- in between -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        async with self._dialling.turn:
            loop, address = asyncio.get_running_loop(), self._dialling.address
            opened, settled = loop.create_future(), loop.create_future()
            self._opened, self._settled = opened, settled
            try:
                if self._identity is not None:
                    self._tunnel = self._dialling.certificates.begin(self._identity, address.host)
                async with asyncio.timeout(self._dialling.open_within_s):
                    await loop.create_connection(lambda: self, address.host, address.port)
                    await opened
            except IdentityUnusable as unusable:
                self._refused(unusable.name)
            except OSError as failed:
                self._refused(str(failed) or type(failed).__name__)
            else:
                await settled
        if self._connecting is asyncio.current_task():
            self._connecting = None

    def _refused(self, why: str) -> None:
        """It came to nothing: tried again once the socket, if there is one, is closed."""
        self._dialling.refused(why)
        if self._transport is None:
            self._try_again()
        else:
            self._hang_up()

    def _unsealed(self, data: bytes) -> bytes:
        tunnel, transport = self._tunnel, self._transport
        if tunnel is None or transport is None:
            return data
        try:
            heard = tunnel.heard(data)
        finally:
            # The handshake's next step, or the alert that says why there is none.
            if said := tunnel.take():
                transport.write(said)
        if tunnel.open and self._opened is not None:
            self._open()
        return heard

    def _open(self) -> None:
        """MQTT may be spoken."""
        _let_go(self._opened)
        self._opened = None
        self.device.opened()
        self._move_on()

    def _send(self, transport: asyncio.Transport, said: bytes) -> None:
        if self._tunnel is not None:
            try:
                self._tunnel.say(said)
            except TlsBroken as broken:
                self._refused(broken.what)
                return
            said = self._tunnel.take()
        transport.write(said)

    def _try_again(self) -> None:
        _let_go(self._opened)
        _let_go(self._settled)
        self._opened = self._settled = None
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
            self._send(transport, said)
        if device.online and self._settled is not None:
            _let_go(self._settled)
            self._settled = None
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


def _let_go(waited_for: asyncio.Future[None] | None) -> None:
    """Let go on whoever waits for it."""
    if waited_for is not None and not waited_for.done():
        waited_for.set_result(None)
