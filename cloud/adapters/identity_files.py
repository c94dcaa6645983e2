"""The identities on the service's disk: the embedded authority, the service's own certificate, and its link's.

```
identity/authority.{key,pem}    the embedded authority; absent with an external one
identity/coming.{key,pem}       the one that is to replace it
identity/retiring.{key,pem}     the one that it has replaced
identity/replacement.json       how far that is
identity/authorities.pem        the certificates of those that there are: whom to believe
identity/service.{key,pem}      under which HTTPS and MQTT are served
identity/link.{key,pem}         the service's own connection to its broker
```
A key is written before its certificate, so a certificate without a key means damage, and a key without one an
interrupted beginning, which is begun again.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from cloud.adapters.files import replace_file
from cloud.identity.authority import Authority, PrivateKey, Request, new_key, pem_of, private_pem
from cloud.identity.errors import AuthorityUnusable
from cloud.identity.settings import IdentitySettings

SERVICE_LIFE: Final = timedelta(days=90)
COMING: Final = "coming"
RETIRING: Final = "retiring"
RENEW_AFTER: Final = 2 / 3
"""Of a certificate's life: a third is left to notice that renewing fails."""


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Where everything lies that a TLS server or client needs.

    Attributes:
        ca_file: Whose certificates of devices are believed.
        link_cert_file, link_key_file: Of the service's own connection to its broker.
        service_ca_file: Whom that connection believes.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path
    link_cert_file: Path
    link_key_file: Path
    service_ca_file: Path


class Replacement(BaseModel):
    """How far the authority is replaced by another.

    Attributes:
        phase: `coming` while devices learn of the new one, `retiring` while certificates by the old one run out.
        served_at: When the service first started with that; None before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Literal["coming", "retiring"]
    served_at: AwareDatetime | None = None


class IdentityFolder:
    """`DATA_DIR/identity`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def files(self) -> IdentityFiles:
        """The paths, whether or not they exist."""
        names = ("authorities.pem", "service.pem", "service.key", "link.pem", "link.key", "authorities.pem")
        return IdentityFiles(*(self.root / name for name in names))

    def authority(self, now: datetime) -> Authority:
        """The embedded authority; made at the first call.

        Raises:
            AuthorityUnusable: Its files can't be read or written, or don't fit each other.
        """
        with self._held():
            if not (self.root / "authority.pem").exists():
                self._keep("authority", Authority.create(now))
            found = self._read("authority")
            coming, retiring = (
                self._read(name) if (self.root / f"{name}.pem").exists() else None for name in (COMING, RETIRING)
            )
            whole = found.beside(coming=None if coming is None else coming.certificate, retiring=retiring)
            believed, file = whole.believed_pem.decode(), self.root / "authorities.pem"
            if not file.exists() or _read(file).decode("ascii", "replace") != believed:
                self._write(file, believed)
            return whole

    # --- replacing it -----------------------------------------------------------------------------------------------

    def replacement(self) -> Replacement | None:
        """How far it is replaced; None where nobody wants to.

        Raises:
            AuthorityUnusable: The note about it is damaged.
        """
        file = self.root / "replacement.json"
        if not file.exists():
            return None
        try:
            return Replacement.model_validate_json(_read(file))
        except ValidationError:
            raise AuthorityUnusable(f"{file} is damaged", "Restore it from a backup.") from None

    def begin_replacement(self, now: datetime) -> None:
        """Make the one that is to come; from the service's next start devices are told of it.

        Raises:
            AuthorityUnusable: One is under way already, or the disk refused.
        """
        with self._held():
            if self.replacement() is not None:
                raise AuthorityUnusable(
                    "the authority is being replaced already", "`vedette authority show` says how far."
                )
            self._keep(COMING, Authority.create(now))
            self._note(Replacement(phase="coming"))

    def switch(self) -> None:
        """Let the one that was to come sign, and the present one retire; again where that broke off.

        Raises:
            AuthorityUnusable: The disk refused.
        """
        with self._held():
            if not (self.root / f"{RETIRING}.pem").exists():
                self._keep(RETIRING, self._read("authority"))
            self._keep("authority", self._read(COMING))
            self._note(Replacement(phase="retiring"))
            self._remove(COMING)

    def finish_replacement(self) -> None:
        """Forget the one that retired; what it signed is believed no longer.

        Raises:
            AuthorityUnusable: The disk refused.
        """
        with self._held():
            self._remove(RETIRING)
            self._remove(COMING)  # left over where the switch broke off at its end
            _unlink(self.root / "replacement.json")

    def note_served(self, now: datetime) -> None:
        """The service has started with how it stands now: certificates given out from here on tell of it.

        Raises:
            AuthorityUnusable: The disk refused.
        """
        found = self.replacement()
        if found is not None and found.served_at is None:
            with self._held():
                self._note(found.model_copy(update={"served_at": now}))

    def _note(self, replacement: Replacement) -> None:
        self._write(self.root / "replacement.json", replacement.model_dump_json() + "\n")

    def _keep(self, name: str, authority: Authority) -> None:
        self._write(self.root / f"{name}.key", authority.key_pem.decode())
        self._write(self.root / f"{name}.pem", authority.certificate_pem.decode())

    def _read(self, name: str) -> Authority:
        return Authority.read(_read(self.root / f"{name}.key"), _read(self.root / f"{name}.pem"))

    def _remove(self, name: str) -> None:
        # The certificate first: a key alone is a beginning that broke off.
        for ending in ("pem", "key"):
            _unlink(self.root / f"{name}.{ending}")

    # --- the service's own ------------------------------------------------------------------------------------------

    def certify(self, authority: Authority, hosts: Sequence[str], link_name: str, now: datetime) -> bool:
        """Have the service's two certificates where they are missing, due, or of other names; whether any was made.

        Raises:
            AuthorityUnusable: They can't be read or written.
        """
        files = self.files
        with self._held():
            made = False
            if not _is_good(files.cert_file, authority, now, hosts):
                key = new_key()
                self._pair(
                    files.key_file, files.cert_file, key, authority.certify_service(hosts, key, now, SERVICE_LIFE)
                )
                made = True
            if not _is_good(files.link_cert_file, authority, now, ()):
                key = new_key()
                own = authority.certify_device(Request(link_name, key.public_key()), now, SERVICE_LIFE)
                self._pair(files.link_key_file, files.link_cert_file, key, own)
                made = True
            return made

    def certify_broker(self, authority: Authority, host: str, pair: tuple[Path, Path], now: datetime) -> bool:
        """Have a certificate for a broker that runs elsewhere, where it is missing or due; whether it was made.

        Args:
            authority: Signs it.
            host: The broker's name or address.
            pair: Where its key goes, and its certificate.
            now: The time.

        Raises:
            AuthorityUnusable: They can't be read or written.
        """
        key_file, cert_file = pair
        with self._held():
            if _is_good(cert_file, authority, now, (host,)):
                return False
            key = new_key()
            self._pair(key_file, cert_file, key, authority.certify_service((host,), key, now, SERVICE_LIFE))
            return True

    def _pair(self, key_file: Path, cert_file: Path, key: PrivateKey, certificate: x509.Certificate) -> None:
        # The old certificate goes first: between the two writes it must not stand beside a key that is not its own.
        _unlink(cert_file)
        self._write(key_file, private_pem(key).decode())
        self._write(cert_file, pem_of(certificate))

    def _write(self, path: Path, text: str) -> None:
        try:
            replace_file(path, text)
        except OSError as refused:
            raise AuthorityUnusable(
                f"{path} can't be written: {refused.strerror}", "Free the disk, or its rights."
            ) from None

    @contextmanager
    def _held(self) -> Iterator[None]:
        """One at a time: `vedette device enroll` may run beside the service."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.root, os.O_RDONLY)
        except OSError as refused:
            raise AuthorityUnusable(f"{self.root} can't be used: {refused.strerror}", "Correct its rights.") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def external_files(settings: IdentitySettings) -> IdentityFiles:
    """The files that an external authority's settings name; the service's own certificate serves its link as well.

    Raises:
        AuthorityUnusable: One is not named.
    """
    ca, certificate, key = settings.ca_file, settings.cert_file, settings.key_file
    if ca is None or certificate is None or key is None:
        raise AuthorityUnusable("an external authority needs ca_file, cert_file and key_file", "Name all three.")
    return IdentityFiles(ca, certificate, key, certificate, key, settings.server_ca_file or ca)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it is time for the next one."""
    begun, over = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begun + (over - begun) * RENEW_AFTER


def _is_good(file: Path, authority: Authority, now: datetime, hosts: Sequence[str]) -> bool:
    """Whether a certificate of ours is there, not due, and for these hosts; one that is none is made anew."""
    if not file.exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(_read(file))
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return not is_due(certificate, now) and set(map(_spelt, hosts)) <= _hosts(certificate)


def _hosts(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def _spelt(host: str) -> str:
    """As a certificate spells it: of an address there are several ways."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as refused:
        raise AuthorityUnusable(
            f"{path} can't be removed: {refused.strerror}", "Correct its folder's rights."
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as refused:
        raise AuthorityUnusable(
            f"{path} can't be read: {refused.strerror}", "Restore it, or correct its rights."
        ) from None
