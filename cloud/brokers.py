"""The broker: the service's own child, or one that somebody else runs; for the rest of the service there is one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cloud.adapters import mosquitto_config as mosquitto
from cloud.adapters.broker_secrets import KeptSecrets, kept_secrets
from cloud.adapters.data_dir import DataDir
from cloud.adapters.files import replace_file
from cloud.adapters.identity_files import IdentityFolder, external_files
from cloud.adapters.mosquitto_door import MosquittoDoor, Threshold
from cloud.adapters.mosquitto_list import GROUP_READS, RevokedList
from cloud.adapters.mqtt_link import LinkSettings
from cloud.adapters.nats_callout import AccountKey, BrokerAddress, open_callout
from cloud.adapters.nats_config import LOOPBACK, BrokerSecrets, BrokerSettings, BrokerTls, render
from cloud.adapters.nats_process import Broker, open_broker
from cloud.config import Settings, is_loopback
from cloud.doors import Doors, open_authority
from cloud.errors import BrokerFailed, LinkLost, PortTaken
from cloud.fleet.revocation import Door
from cloud.identity.authority import Authority
from cloud.identity.errors import AuthorityUnusable
from cloud.ingest.ports import Counter
from cloud.ports import Clock
from cloud.store.database import Database
from cloud.store.identities import IdentityStore
from cloud.web.server import listening

CONFIG_FILE: Final = "broker.conf"
AUTHORITY_FILE: Final = "authority.pem"
CERT_FILE: Final = "broker.pem"
KEY_FILE: Final = "broker.key"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - a broker for other machines; TLS or `allow_plaintext` was demanded before
HEALTH_PORT: Final = 8222
"""Where NATS has it by custom."""
# A broker that is started together with the service has this long to come up.
_THERE_WITHIN_S: Final = 60.0
# A free port that was found may be taken before the broker has it.
_PORT_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Broking:
    """The broker, as the rest of the service uses it.

    Attributes:
        link: How the service's own MQTT session reaches it.
        told_host: The host that devices are told; None for the service's own.
        door: Turns away whoever is connected, and not welcome any more.
        checks: What has to hold of it for the service to be ready, by name.
        certify: Renews the broker's own certificate where it is due, and says whether it was. Waits for the disk.
        read_again: Has it read its certificates again.
        background: What keeps it running, or up to date; None where nothing has to.
    """

    link: LinkSettings
    told_host: str | None
    door: Door
    checks: Mapping[str, Callable[[], bool]]
    certify: Callable[[], bool]
    read_again: Callable[[], Coroutine[Any, Any, None]]
    background: Callable[[], Coroutine[Any, Any, None]] | None


async def open_broking(
    stack: AsyncExitStack,
    settings: Settings,
    data: DataDir,
    doors: Doors,
    database: Database,
    counter: Counter,
    clock: Clock,
) -> Broking:
    """The broker of these settings, until the stack is closed.

    Raises:
        StartRefused: It does not come up, or is not there.
        LinkLost: It takes no connection.
    """
    if settings.broker.host is None:
        return await _embedded(stack, settings, data, doors, counter, clock)
    if settings.broker.kind == "mosquitto":
        return await _mosquitto(settings, data, doors, database, clock)
    return await _external(stack, settings, data, doors, counter, clock)


async def _embedded(
    stack: AsyncExitStack, settings: Settings, data: DataDir, doors: Doors, counter: Counter, clock: Clock
) -> Broking:
    passwords, key = BrokerSecrets(), AccountKey()
    where, broker = await _started(stack, settings, data, doors, passwords, key, counter, clock)
    callout = await stack.enter_async_context(
        open_callout(
            at=BrokerAddress(LOOPBACK, where.client_port),
            passwords=passwords,
            signer=key,
            credentials=doors.credentials,
            counter=counter,
            clock=clock,
        )
    )

    async def read_again() -> None:
        broker.read_again()

    return Broking(
        LinkSettings(reachable(where.mqtt_host), where.mqtt_port, passwords.cloud, doors.link_tls(by_name=False)),
        told_host=None,
        door=callout,
        checks={"broker": lambda: broker.ready, "auth": lambda: callout.connected},
        certify=lambda: False,
        read_again=read_again,
        background=broker.supervise,
    )


async def _started(
    stack: AsyncExitStack,
    settings: Settings,
    data: DataDir,
    doors: Doors,
    passwords: BrokerSecrets,
    key: AccountKey,
    counter: Counter,
    clock: Clock,
) -> tuple[BrokerSettings, Broker]:
    if settings.broker_port != 0:
        _check_free(settings.mqtt_host, settings.broker_port)
    for attempt in range(_PORT_ATTEMPTS):
        where = BrokerSettings(
            mqtt_host=settings.mqtt_host,
            mqtt_port=settings.broker_port or _free_port(settings.mqtt_host),
            client_port=_free_port(LOOPBACK),
            folder=data.broker,
            tls=doors.broker_tls,
        )
        try:
            return where, await stack.enter_async_context(open_broker(where, passwords, key.issuer, counter, clock))
        except BrokerFailed as failed:
            if attempt + 1 == _PORT_ATTEMPTS or "address already in use" not in failed.what:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


# --- one that somebody else runs ------------------------------------------------------------------------------------


async def _external(
    stack: AsyncExitStack, settings: Settings, data: DataDir, doors: Doors, counter: Counter, clock: Clock
) -> Broking:
    host, folder = _named(settings)
    kept = await asyncio.to_thread(_prepare_nats, settings, data, clock)
    making = doors.link_tls(by_name=True)
    tls = None if making is None else await asyncio.to_thread(making)
    try:
        callout = await stack.enter_async_context(
            open_callout(
                at=BrokerAddress(host, settings.broker.client_port, tls, _THERE_WITHIN_S),
                passwords=kept.passwords,
                signer=kept.key,
                credentials=doors.credentials,
                counter=counter,
                clock=clock,
            )
        )
        # It was there before us, and so were those whom it let in; its certificate may have been renewed just now.
        await callout.recall()
        if tls is not None:
            await callout.read_again()
    except LinkLost as lost:
        raise BrokerFailed(
            lost.what, f"Start it: nats-server -c {folder / CONFIG_FILE}; `broker.host` says where it is looked for."
        ) from None

    async def read_again() -> None:
        if tls is not None and doors.files is not None:
            tls.load_cert_chain(doors.files.link_cert_file, doors.files.link_key_file)
        await callout.read_again()

    return Broking(
        LinkSettings(host, settings.broker_port, kept.passwords.cloud, making),
        told_host=host,
        door=callout,
        checks={"broker": lambda: callout.connected, "auth": lambda: callout.connected},
        certify=lambda: _certify(settings, data, clock),
        read_again=read_again,
        background=None,
    )


async def _mosquitto(settings: Settings, data: DataDir, doors: Doors, database: Database, clock: Clock) -> Broking:
    host, folder = _named(settings)
    listed = await asyncio.to_thread(_prepare_mosquitto, settings, data, clock)
    files, link_tls = doors.files, doors.link_tls(by_name=True)
    if files is None:
        raise BrokerFailed("mosquitto knows devices by certificates only", "Set `tls = true`.")

    def believing() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=files.service_ca_file)

    def certify() -> bool:
        made = _certify(settings, data, clock)
        _let_read(folder)
        return made

    async def read_again() -> None:
        await asyncio.to_thread(listed.tell)

    door = MosquittoDoor(
        unwelcome=_Unwelcome(IdentityStore(database), clock),
        listed=listed,
        at=Threshold(host, settings.broker_port, believing),
        clock=clock,
    )
    return Broking(
        LinkSettings(host, settings.broker_port, "", link_tls),
        told_host=host,
        door=door,
        checks={"revocations": lambda: door.working},
        certify=certify,
        read_again=read_again,
        background=door.run,
    )


@dataclass(frozen=True, slots=True)
class _Unwelcome:
    store: IdentityStore
    clock: Clock

    async def revoked(self) -> dict[str, str]:
        return await self.store.revoked(self.clock.wall())

    async def lapsed(self, since: datetime) -> list[str]:
        return await self.store.lapsed(since, self.clock.wall())


def prepare_broker(settings: Settings, data: DataDir, clock: Clock) -> list[str]:
    """Write what a broker that somebody else runs is started with; harmless twice.

    Returns:
        The command that starts it.

    Raises:
        BrokerFailed: No such broker is set, or a file can't be written.
        AuthorityUnusable: Certificates can't be made, or those of an external authority are not there.
    """
    _, folder = _named(settings)
    if settings.broker.kind == "mosquitto":
        _prepare_mosquitto(settings, data, clock)
        return ["mosquitto", "-c", str(folder / mosquitto.CONFIG_FILE)]
    _prepare_nats(settings, data, clock)
    return ["nats-server", "-c", str(folder / CONFIG_FILE)]


def _prepare_mosquitto(settings: Settings, data: DataDir, clock: Clock) -> RevokedList:
    host, folder = _named(settings)
    authority = _embedded_authority(settings, data, clock)
    _make(folder)
    _certify(settings, data, clock)
    where = mosquitto.MosquittoSettings(
        host=host if is_loopback(host) else None,
        port=settings.broker_port,
        folder=folder,
        sessions=settings.broker.sessions,
        ca_file=folder / AUTHORITY_FILE,
        cert_file=folder / CERT_FILE,
        key_file=folder / KEY_FILE,
    )
    _write(folder / mosquitto.CONFIG_FILE, mosquitto.render(where))
    _write(folder / mosquitto.ACCESS_FILE, mosquitto.access_rules())
    data.broker.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed = RevokedList(
        authority, folder / mosquitto.REVOKED_FILE, data.broker / "canary.pem", settings.broker.pid_file
    )
    if not listed.covers(()):
        # Whom it must hold is known to the service, which writes it again; without any, mosquitto does not start.
        listed.write((), clock.wall())
    _let_read(folder)
    return listed


def _let_read(folder: Path) -> None:
    """Let mosquitto, which is another user, of the folder's group."""
    try:
        for file in folder.iterdir():
            file.chmod(GROUP_READS)
    except OSError as refused:
        raise _unwritable(folder, refused) from None


def _embedded_authority(settings: Settings, data: DataDir, clock: Clock) -> Authority:
    authority = open_authority(settings, data, clock)
    if authority is None:
        raise BrokerFailed("mosquitto can't tell whom an external authority's devices are", "Use NATS with it.")
    return authority


def _prepare_nats(settings: Settings, data: DataDir, clock: Clock) -> KeptSecrets:
    host, folder = _named(settings)
    settings.check_binds()
    kept = kept_secrets(data.broker)
    _make(folder)
    if settings.tls:
        _certify(settings, data, clock)
    where = BrokerSettings(
        mqtt_host=EVERYWHERE,
        mqtt_port=settings.broker_port,
        client_host=EVERYWHERE,
        client_port=settings.broker.client_port,
        folder=folder,
        sessions=settings.broker.sessions,
        health_port=HEALTH_PORT,
        tls=BrokerTls(folder / AUTHORITY_FILE, folder / CERT_FILE, folder / KEY_FILE) if settings.tls else None,
    )
    if not settings.tls and is_loopback(host):
        where = replace(where, mqtt_host=LOOPBACK, client_host=LOOPBACK)
    _write(folder / CONFIG_FILE, render(where, kept.passwords, kept.key.issuer))
    return kept


def _certify(settings: Settings, data: DataDir, clock: Clock) -> bool:
    host, folder = _named(settings)
    authority = open_authority(settings, data, clock)
    if authority is None:
        missing = [name for name in (CERT_FILE, KEY_FILE) if not (folder / name).is_file()]
        if missing:
            raise AuthorityUnusable(
                f"{' and '.join(missing)} of {host} are not in {folder}",
                "Have your authority certify the broker under that name, and put both there.",
            )
        believed = external_files(settings.identity).ca_file
        _write(folder / AUTHORITY_FILE, believed.read_text("ascii"))
        return False
    _write(folder / AUTHORITY_FILE, authority.believed_pem.decode())
    pair = (folder / KEY_FILE, folder / CERT_FILE)
    return IdentityFolder(data.identity).certify_broker(authority, host, pair, clock.wall())


def _named(settings: Settings) -> tuple[str, Path]:
    if settings.broker.host is None or settings.broker.folder is None:
        raise BrokerFailed(
            "these settings name no broker: the service runs its own", "Set host and folder in [broker]."
        )
    return settings.broker.host, settings.broker.folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as refused:
        raise _unwritable(folder, refused) from None


def _write(file: Path, text: str) -> None:
    try:
        if not file.is_file() or file.read_text("utf-8") != text:
            replace_file(file, text)
    except OSError as refused:
        raise _unwritable(file, refused) from None


def _unwritable(path: Path, refused: OSError) -> BrokerFailed:
    return BrokerFailed(f"{path} can't be written: {refused.strerror}", "Correct its rights, or name another folder.")


# --- addresses ------------------------------------------------------------------------------------------------------


def reachable(host: str) -> str:
    """Where this machine reaches what listens there."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def _free_port(host: str) -> int:
    with listening(host, 0) as found:
        return int(found.getsockname()[1])


def _check_free(host: str, port: int) -> None:
    try:
        with listening(host, port):
            return
    except PortTaken:
        raise PortTaken(
            f"MQTT can't be served on {host}:{port}: something else listens there",
            "Stop it, or choose another `mqtt_port`; 0 finds a free one.",
        ) from None
