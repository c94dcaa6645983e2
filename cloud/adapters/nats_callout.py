"""Answers the broker's question who a connection is, and has connections closed."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import nats
import nats.errors
import nkeys
from cryptography import x509
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from cloud.adapters.nats_claims import Connecting, Signer, admit, read_connections, read_request, read_server, refuse
from cloud.adapters.nats_config import AUTH_USER, SYSTEM_USER, BrokerSecrets
from cloud.errors import CloudError, LinkLost, LinkRefused
from cloud.identity.errors import CertificateRefused
from cloud.ingest.ports import Counter
from cloud.ports import Clock

log = logging.getLogger(__name__)

SECRET_BYTES: Final = 32
_SUBJECT: Final = "$SYS.REQ.USER.AUTH"
# Well within the broker's own patience, so that it hears a refusal and not nothing.
_ANSWER_WITHIN_S: Final = 2.0
_KICK_WITHIN_S: Final = 2.0
_RECONNECT_S: Final = 0.1
_RELOAD_WITHIN_S: Final = 5.0
# What the broker lists of its connections in one answer.
_PAGE: Final = 1024
# Connections remembered so that they can be closed; beyond it the oldest is left to its expiry.
_MAX_REMEMBERED: Final = 100_000


class Credentials(Protocol):
    """Whom what a connection shows makes it."""

    async def holder(self, who: Connecting) -> Holder | None:
        """The device; None if nobody's, or revoked."""


class TokenCheck(Protocol):
    """Who holds a token."""

    async def device_of(self, token: str) -> str | None:
        """The device whose token this is; None if nobody's, or revoked."""


class CertificateCheck(Protocol):
    """Whose a certificate is."""

    async def bearer(self, certificate: x509.Certificate) -> tuple[str, datetime]:
        """The device, and until when.

        Raises:
            CertificateRefused: Nobody who is welcome.
        """


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is let in, and until when; None is as long as usual."""

    device: str
    until: datetime | None = None


class TokenCredentials:
    """The password is the device's token."""

    def __init__(self, tokens: TokenCheck) -> None:
        self._tokens = tokens

    async def holder(self, who: Connecting) -> Holder | None:
        """See `Credentials`."""
        device = await self._tokens.device_of(who.password) if who.password else None
        return None if device is None else Holder(device)


class CertificateCredentials:
    """TLS verified the device's certificate; a password counts for nothing."""

    def __init__(self, certificates: CertificateCheck) -> None:
        self._certificates = certificates

    async def holder(self, who: Connecting) -> Holder | None:
        """See `Credentials`."""
        if who.certificate is None:
            return None
        try:
            device, until = await self._certificates.bearer(x509.load_pem_x509_certificate(who.certificate.encode()))
        except (CertificateRefused, ValueError):
            return None
        return Holder(device, until)


class AccountKey:
    """A key pair.

    Args:
        secret: 32 bytes that it is made from; None for one of this run of the service, which is never written down.

    Raises:
        ValueError: They are not 32 bytes.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        seed = nkeys.encode_seed(secret or secrets.token_bytes(SECRET_BYTES), nkeys.PREFIX_BYTE_ACCOUNT)
        self._pair = nkeys.from_seed(seed)

    @property
    def issuer(self) -> str:
        """The public half, as NATS spells it."""
        return str(self._pair.public_key.decode())

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature."""
        return bytes(self._pair.sign(data))


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker takes the service's own connections.

    Attributes:
        tls: Under which they are made; None for plain text, on loopback.
        within_s: How long to try.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    within_s: float = 5.0

    @property
    def in_url(self) -> str:
        """As it is spelt in an address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Callout:
    """The broker's doorkeeper, for as long as `open_callout` is open."""

    def __init__(
        self,
        *,
        auth: NatsClient,
        system: NatsClient,
        credentials: Credentials,
        signer: Signer,
        counter: Counter,
        clock: Clock,
    ) -> None:
        self._auth = auth
        self._system = system
        self._credentials = credentials
        self._signer = signer
        self._counter = counter
        self._clock = clock
        self._inside: OrderedDict[str, tuple[str, int]] = OrderedDict()

    @property
    def connected(self) -> bool:
        """Whether the broker can ask right now."""
        return bool(self._auth.is_connected)

    async def answer(self, message: Msg) -> None:
        """Answer one question of the broker's; never raises, since a refusal is an answer too."""
        try:
            who = read_request(message.data)
        except LinkRefused as unreadable:
            log.error("%s; is the broker of another version?", unreadable)  # noqa: TRY400 - no trace needed
            return
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                answer = await self._decide(who)
        except (TimeoutError, CloudError) as failed:
            self._counter.count("auth.failed")
            why = str(failed) or f"the database took more than {_ANSWER_WITHIN_S:g} s"
            log.error("a device was refused because it could not be checked: %s", why)  # noqa: TRY400
            answer = refuse(who, "try again", self._signer, self._now())
        await message.respond(answer)

    async def cut_off(self, device: str) -> None:
        """Close the device's connection, if it has one.

        Raises:
            LinkLost: The broker does not answer; the device's stay ends with its expiry.
        """
        inside = self._inside.get(device)
        if inside is None:
            return
        server, connection = inside
        try:
            await self._system.request(
                f"$SYS.REQ.SERVER.{server}.KICK", b'{"cid": %d}' % connection, timeout=_KICK_WITHIN_S
            )
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LinkLost(f"the broker did not close {device}'s connection ({type(error).__name__})") from error
        # Meanwhile the device may have come again, or somebody else have cut it off.
        if self._inside.get(device) == inside:
            del self._inside[device]
        log.info("connection closed", extra={"device": device})

    async def recall(self) -> None:
        """Learn who is connected already, to a broker that was there before the service; to cut them off if need be.

        Raises:
            LinkLost: The broker does not answer.
        """
        offset = 0
        while True:
            asked = json.dumps({"limit": _PAGE, "offset": offset}).encode()
            try:
                said = await self._system.request("$SYS.REQ.SERVER.PING.CONNZ", asked, timeout=_RELOAD_WITHIN_S)
                server, found = read_connections(said.data)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                raise LinkLost(f"the broker does not say who is connected ({type(error).__name__})") from error
            self._inside.update({device: (server, connection) for device, connection in found if device})
            offset += len(found)
            if len(found) < _PAGE:
                return

    async def read_again(self) -> None:
        """Have the broker read its configuration again, and with it its certificates; connections stay.

        Raises:
            LinkLost: It did not.
        """
        try:
            said = await self._system.request("$SYS.REQ.SERVER.PING", b"", timeout=_RELOAD_WITHIN_S)
            server = read_server(said.data)
            await self._system.request(f"$SYS.REQ.SERVER.{server}.RELOAD", b"", timeout=_RELOAD_WITHIN_S)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LinkLost(f"the broker did not read its certificates again ({type(error).__name__})") from error

    async def _decide(self, who: Connecting) -> bytes:
        holder = await self._credentials.holder(who)
        if holder is None:
            return self._refused(who, "unknown", "it shows nothing that makes it a device which is welcome")
        device = holder.device
        if who.user != device:
            return self._refused(who, "user", "the user name is not the device that it shows to be")
        if who.client_id != device:
            return self._refused(who, "client_id", "the client id is not the device's")
        self._inside[device] = (who.server, who.connection)
        self._inside.move_to_end(device)
        if len(self._inside) > _MAX_REMEMBERED:
            self._inside.popitem(last=False)
        self._counter.count("auth.admitted")
        until = None if holder.until is None else int(holder.until.timestamp())
        return admit(who, device, self._signer, self._now(), until)

    def _refused(self, who: Connecting, kind: str, why: str) -> bytes:
        self._counter.count(f"auth.refused.{kind}")
        log.warning("connection refused: %s", why, extra={"user": who.user[:80], "client_id": who.client_id[:80]})
        return refuse(who, why, self._signer, self._now())

    def _now(self) -> int:
        return int(self._clock.wall().timestamp())


@asynccontextmanager
async def open_callout(
    *,
    at: BrokerAddress,
    passwords: BrokerSecrets,
    signer: Signer,
    credentials: Credentials,
    counter: Counter,
    clock: Clock,
) -> AsyncIterator[Callout]:
    """Answer the broker while the context is open, over its restarts too.

    Raises:
        LinkLost: It can't be reached.
    """
    async with (
        _connected(at, AUTH_USER, passwords.auth) as auth,
        _connected(at, SYSTEM_USER, passwords.system) as system,
    ):
        callout = Callout(
            auth=auth, system=system, credentials=credentials, signer=signer, counter=counter, clock=clock
        )
        await auth.subscribe(_SUBJECT, cb=callout.answer)
        await auth.flush()
        yield callout


@asynccontextmanager
async def _connected(at: BrokerAddress, user: str, password: str) -> AsyncIterator[NatsClient]:
    closing = False
    why = "it does not answer"

    async def disconnected() -> None:
        if not closing:
            log.warning("the broker went away", extra={"as": user})

    async def failed(error: Exception) -> None:
        nonlocal why
        why = str(error) or type(error).__name__
        log.debug("%s: %s", user, error)

    client = NatsClient()
    try:
        async with asyncio.timeout(at.within_s):
            await client.connect(
                f"{'nats' if at.tls is None else 'tls'}://{at.in_url}",
                tls=at.tls,
                user=user,
                password=password,
                name=f"vedette-{user}",
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # it is slept, as a float may be
                disconnected_cb=disconnected,
                error_cb=failed,
            )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        await client.close()
        told = why if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        raise LinkLost(f"the broker at {at.in_url} can't be reached as {user}: {told}") from error
    try:
        yield client
    finally:
        closing = True
        await client.close()
