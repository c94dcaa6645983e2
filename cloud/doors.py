"""How devices are let in: by tokens in plain text, or over TLS by certificates; the same for broker and HTTP."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud.adapters.data_dir import DataDir
from cloud.adapters.identity_files import IdentityFiles, IdentityFolder, external_files
from cloud.adapters.mqtt_link import CLIENT_ID
from cloud.adapters.nats_callout import CertificateCredentials, Credentials, TokenCredentials
from cloud.adapters.nats_config import BrokerTls
from cloud.config import Settings
from cloud.fleet.enrolment import Enrolment
from cloud.identity.authority import Authority
from cloud.identity.errors import AuthorityUnusable
from cloud.identity.service import Identities
from cloud.ports import Clock
from cloud.store.database import Database
from cloud.store.devices import DeviceStore
from cloud.store.identities import IdentityStore

ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Doors:
    """What the service is opened with.

    Attributes:
        credentials: How the broker's question who someone is gets answered.
        identities: None where devices have tokens.
        files: Of TLS; None where nothing is encrypted.
        certify: Renews what is due of the service's own certificates, and says whether anything was.
    """

    credentials: Credentials
    identities: Identities | None = None
    files: IdentityFiles | None = None
    certify: Callable[[], bool] | None = None

    @property
    def broker_tls(self) -> BrokerTls | None:
        """For the broker."""
        if self.files is None:
            return None
        return BrokerTls(self.files.ca_file, self.files.cert_file, self.files.key_file)

    def link_tls(self, *, by_name: bool) -> Callable[[], ssl.SSLContext] | None:
        """For the service's own connections to its broker.

        Args:
            by_name: Of the broker's certificate the name counts, too; not so for one that is dialled by an address of
                this machine, whatever names its certificate is for.
        """
        if self.files is None:
            return None
        files = self.files

        def context() -> ssl.SSLContext:
            made = ssl.create_default_context(cafile=files.service_ca_file)
            made.load_cert_chain(files.link_cert_file, files.link_key_file)
            made.check_hostname = by_name
            return made

        return context


def open_doors(settings: Settings, data: DataDir, database: Database, enrolment: Enrolment, clock: Clock) -> Doors:
    """The doors of these settings; makes the authority and the service's certificates where they are missing.

    Raises:
        AuthorityUnusable: Its files can't be used.
    """
    if not settings.tls:
        return Doors(TokenCredentials(enrolment))
    folder = IdentityFolder(data.identity)
    authority = open_authority(settings, data, clock)
    identities = open_identities(settings, authority, database, clock)
    credentials = CertificateCredentials(identities)
    if authority is None:
        files = external_files(settings.identity)
        _check(files)
        return Doors(credentials, identities, files)
    hosts = service_hosts(settings)
    folder.note_served(clock.wall())

    def certify() -> bool:
        return folder.certify(authority, hosts, CLIENT_ID, clock.wall())

    certify()
    _check(folder.files)
    return Doors(credentials, identities, folder.files, certify)


def open_authority(settings: Settings, data: DataDir, clock: Clock) -> Authority | None:
    """The embedded authority; None where another gives out the certificates.

    Raises:
        AuthorityUnusable: Its files can't be used.
    """
    if settings.identity.authority == "external":
        return None
    return IdentityFolder(data.identity).authority(clock.wall())


def open_identities(settings: Settings, authority: Authority | None, database: Database, clock: Clock) -> Identities:
    """Who gives out claims and certificates."""
    return Identities(
        authority=authority,
        store=IdentityStore(database),
        devices=DeviceStore(database),
        clock=clock,
        settings=settings.identity,
    )


def service_hosts(settings: Settings) -> list[str]:
    """The names and addresses under which the service may be reached, the first being the one to tell devices."""
    heard = [settings.device_host, settings.mqtt_host, *([settings.http_host] if settings.https else [])]
    bound = [host for host in heard if host not in ANYWHERE]
    everywhere = [socket.gethostname()] if ANYWHERE.intersection(heard) else []
    return list(dict.fromkeys((*settings.identity.names, *bound, *everywhere, "localhost", "127.0.0.1")))


class WebFiles:
    """The certificate under which the dashboard is served, and its key, in PEM.

    Args:
        cert_file: The whole chain.
        key_file: Its key.
    """

    ca_file: None = None
    """Browsers are asked for no certificate."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self.cert_file = cert_file
        self.key_file = key_file
        self._seen = self._times()
        _load(cert_file, key_file)

    def changed(self) -> bool:
        """Whether there are others than at the last look.

        Raises:
            AuthorityUnusable: They can't be used, or not yet.
        """
        now = self._times()
        if now == self._seen:
            return False
        _load(self.cert_file, self.key_file)
        self._seen = now
        return True

    def _times(self) -> tuple[int, ...]:
        try:
            return tuple(file.stat().st_mtime_ns for file in (self.cert_file, self.key_file))
        except OSError as refused:
            raise AuthorityUnusable(
                f"{refused.filename} can't be read: {refused.strerror}", "Restore it, or correct its rights."
            ) from None


def _check(files: IdentityFiles) -> None:
    """Now rather than at the first connection."""
    context = _load(files.cert_file, files.key_file)
    try:
        context.load_verify_locations(files.ca_file)
    except (OSError, ssl.SSLError) as broken:
        raise AuthorityUnusable(
            f"{files.ca_file} can't be used: {broken}", "Name a file in PEM that holds certificates."
        ) from None


def _load(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert_file, key_file, password="")  # empty, rather than asked for on a terminal
    except (OSError, ssl.SSLError) as broken:
        raise AuthorityUnusable(
            f"the certificate in {cert_file} can't be used: {broken}",
            "Name files in PEM that belong together, the key without a passphrase.",
        ) from None
    return context
