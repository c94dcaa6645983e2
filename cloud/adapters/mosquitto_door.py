"""Turning devices away from mosquitto, which can't ask who is revoked.

1. The list of revoked certificates is written anew, a *canary* among them: a certificate made for nothing else.
2. mosquitto reads it on SIGHUP, sent from here or by whoever runs the broker (`deploy/broker`).
3. The canary knocks. Only when it is refused as revoked is the list in force; until then nothing is called done.
4. mosquitto leaves open the connections of those on the list (measured on 2.0.11). So the device's place is taken:
   a client of the same name ends the older connection, and the authority can certify one for a minute.
5. Nor does mosquitto mind that a certificate ends while its connection lasts. When a device's last one does, its
   place is taken as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cloud.adapters.mosquitto_list import CANARY, RevokedList
from cloud.errors import BrokerFailed, LinkLost, StoreError
from cloud.log import Trouble
from cloud.ports import Clock

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
# Whose certificate ended while the service was away for longer than this stays connected until it goes by itself.
_LAPSED_BEFORE: Final = timedelta(days=7)
_KNOCK_WITHIN_S: Final = 3.0
# mosquitto reads its files within a tenth of a second; whom somebody else tells takes a little longer.
_PROOFS: Final = 10
_PROOF_EVERY_S: Final = 0.2
_REFUSED_WITHIN_S: Final = 0.3
_REVOKED: Final = "CERTIFICATE_REVOKED"
_CONNACK, _CONNACK_BYTES, _DISCONNECT = 0x20, 4, b"\xe0\x00"


class Unwelcome(Protocol):
    """Whose certificates are not to be believed any more."""

    async def revoked(self) -> dict[str, str]:
        """Device by serial, of certificates that would still be good.

        Raises:
            StoreError: They can't be read.
        """

    async def lapsed(self, since: datetime) -> list[str]:
        """Devices, not revoked, whose last certificate ended since then.

        Raises:
            StoreError: They can't be read.
        """


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where to knock.

    Attributes:
        believing: Makes a context that believes the broker, and shows nothing yet.
    """

    host: str
    port: int
    believing: Callable[[], ssl.SSLContext]


class MosquittoDoor:
    """`run` keeps the list in force; `cut_off` ends a connection."""

    def __init__(self, *, unwelcome: Unwelcome, listed: RevokedList, at: Threshold, clock: Clock) -> None:
        self._unwelcome = unwelcome
        self._listed = listed
        self._at = at
        self._clock = clock
        self._looking = asyncio.Lock()
        self._in_force: dict[str, str] | None = None
        self._trouble = Trouble()
        self._lapses_seen = clock.wall() - _LAPSED_BEFORE

    @property
    def working(self) -> bool:
        """Whether mosquitto keeps out whoever is to be kept out."""
        return self._in_force is not None

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            with contextlib.suppress(LinkLost):
                await self.look()
                await self._end_lapsed()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Have the list in force that the store makes necessary.

        Raises:
            LinkLost: It is not, for now; the log says why, once.
        """
        async with self._looking:
            try:
                await self._look()
            except (LinkLost, BrokerFailed, StoreError) as failed:
                if self._trouble.begins(failed):
                    log.error("revocations do not reach the broker: %s", failed)  # noqa: TRY400 - an error of ours
                raise LinkLost(failed.what, failed.mend) from None
            if self._trouble.ends():
                log.info("revocations reach the broker again")

    async def cut_off(self, device: str) -> None:
        """Close the device's connection, if it may have one.

        Raises:
            LinkLost: The broker can't be reached, or would let it in again.
        """
        await self.look()
        if device not in (self._in_force or {}).values():
            return
        await self._take_place(device)

    async def _take_place(self, device: str) -> None:
        guest = await asyncio.to_thread(self._listed.guest, device, self._clock.wall())
        if not await self._is_let_in(guest, device):
            raise LinkLost("the broker does not let the service take a device's place")
        log.info("connection closed", extra={"device": device})

    async def _end_lapsed(self) -> None:
        now = self._clock.wall()
        try:
            lapsed = await self._unwelcome.lapsed(self._lapses_seen)
        except StoreError as failed:
            raise LinkLost(failed.what, failed.mend) from None
        for device in lapsed:
            await self._take_place(device)
        self._lapses_seen = now

    async def _look(self) -> None:
        wanted = await self._unwelcome.revoked()
        covered = await asyncio.to_thread(self._listed.covers, wanted)
        if covered and self._in_force is not None and wanted.keys() <= self._in_force.keys():
            return
        self._in_force = None
        if not covered:
            await asyncio.to_thread(self._listed.write, wanted, self._clock.wall())
            await asyncio.to_thread(self._listed.tell)
        canary = await asyncio.to_thread(self._listed.canary)
        try:
            for _ in range(_PROOFS):
                if not await self._is_let_in(canary, CANARY, listening_s=_REFUSED_WITHIN_S):
                    self._in_force = wanted
                    return
                await self._clock.sleep(_PROOF_EVERY_S)
        except LinkLost:
            # It may know another authority still, by which the canary is not.
            await asyncio.to_thread(self._listed.tell)
            raise
        # Told once more: the first time, it may just have been starting.
        await asyncio.to_thread(self._listed.tell)
        raise LinkLost(
            "mosquitto has not read the list of revoked certificates",
            f"Have it reload (SIGHUP) whenever {self._listed.file} changes: deploy/broker.",
        )

    async def _is_let_in(self, pem: str, name: str, *, listening_s: float = 0.0) -> bool:
        """Whether mosquitto takes a connection under that certificate; not so if it calls it revoked.

        Args:
            pem: Key and certificate.
            name: In the certificate.
            listening_s: For how long to listen before speaking, where a refusal is expected. With TLS 1.3 it comes
                after the handshake, and who has spoken by then may get a reset in its place.

        Raises:
            LinkLost: It does neither.
        """
        try:
            async with asyncio.timeout(_KNOCK_WITHIN_S):
                return await self._knocked(pem, name, listening_s)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            if isinstance(error, ssl.SSLError) and _REVOKED in str(error):
                return False
            why = str(error) or type(error).__name__
            raise LinkLost(
                f"the broker at {self._at.host}:{self._at.port} does not answer: {why}",
                "Start it: `vedette broker prepare` says how.",
            ) from None

    async def _knocked(self, pem: str, name: str, listening_s: float) -> bool:
        context = await asyncio.to_thread(_showing, self._at.believing, pem)
        reader, writer = await asyncio.open_connection(self._at.host, self._at.port, ssl=context)
        try:
            if listening_s:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(listening_s):
                        await reader.read(1)
            writer.write(_connect_packet(name))
            answer = await reader.readexactly(_CONNACK_BYTES)
            writer.write(_DISCONNECT)
            await writer.drain()
        finally:
            writer.transport.abort()
        return answer[0] == _CONNACK and answer[-1] == 0


def _connect_packet(name: str) -> bytes:
    """MQTT 3.1.1's CONNECT, beginning a clean session."""
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(name).to_bytes(2, "big") + name.encode("ascii")
    return bytes((0x10, len(body))) + body


def _showing(believing: Callable[[], ssl.SSLContext], pem: str) -> ssl.SSLContext:
    context = believing()
    # Python takes certificates from files only.
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder:
        file = Path(folder) / "shown.pem"
        file.touch(mode=0o600)
        file.write_text(pem, "ascii")
        context.load_cert_chain(file)
    return context
