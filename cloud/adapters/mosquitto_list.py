"""The list of revoked certificates that mosquitto reads, and the canary that tells whether it did; on the disk."""

from __future__ import annotations

import signal
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.adapters.files import replace_file
from cloud.errors import BrokerFailed, LinkLost
from cloud.identity.authority import Authority, Request, new_key, pem_of, private_pem, serial_of

CANARY: Final = "_vedette_canary"
"""No device id begins with an underscore."""
GROUP_READS: Final = 0o640
_PROGRAM: Final = "mosquitto"
_BEGINS: Final = b"-----BEGIN X509 CRL-----"
_GUEST_LIFE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RevokedList:
    """Certificates made here are key and certificate in one PEM.

    Attributes:
        file: Where mosquitto reads it.
        canary_file: The canary, in the service's own data.
        pid_file: mosquitto's, where the service may signal it; None where somebody else does.
    """

    authority: Authority
    file: Path
    canary_file: Path
    pid_file: Path | None = None

    def covers(self, serials: Collection[str]) -> bool:
        """Whether the list that lies there is ours and holds all of them, and the canary that we have."""
        try:
            canary = x509.load_pem_x509_certificate(self.canary_file.read_bytes())
            text = self.file.read_bytes()
            listed = x509.load_pem_x509_crl(text)
        except (OSError, ValueError):
            return False
        if text.count(_BEGINS) != (1 if self.authority.retiring is None else 2):
            return False
        key = self.authority.certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not listed.is_signature_valid(key):
            return False
        return {serial_of(canary), *serials} <= {f"{one.serial_number:x}" for one in listed}

    def write(self, serials: Collection[str], now: datetime) -> None:
        """Write it anew, with a canary of its own.

        It never ends: were it to, while the service is away, mosquitto would keep the whole fleet out.

        Raises:
            BrokerFailed: The disk refused.
        """
        until = self.authority.certificate.not_valid_after_utc
        canary = self._made(CANARY, now, until - now)
        serial = serial_of(x509.load_pem_x509_certificate(canary.encode()))
        text = self.authority.revocation_list(sorted({serial, *serials}), now, until - now).decode()
        try:
            # In this order: a canary that no list holds makes it be written again.
            replace_file(self.canary_file, canary)
            replace_file(self.file, text)
            self.file.chmod(GROUP_READS)
        except OSError as refused:
            raise BrokerFailed(
                f"{self.file} can't be written: {refused.strerror}", "Correct its rights, or free the disk."
            ) from None

    def canary(self) -> str:
        """The certificate whose refusal proves that the list was read.

        Raises:
            BrokerFailed: It can't be read.
        """
        try:
            return self.canary_file.read_text("ascii")
        except (OSError, ValueError) as refused:
            raise BrokerFailed(f"{self.canary_file} can't be read: {refused}", "Correct its rights.") from None

    def guest(self, device: str, now: datetime) -> str:
        """A certificate that takes a device's place, for a minute; it is on no disk for longer."""
        return self._made(device, now, _GUEST_LIFE)

    def tell(self) -> None:
        """Have mosquitto read it, where that is ours to do.

        Raises:
            LinkLost: It runs under another user.
        """
        if self.pid_file is None:
            return
        try:
            process = psutil.Process(int(self.pid_file.read_text("ascii")))
            # The file outlives a kill -9, and its number may be somebody else's by now.
            if process.name() == _PROGRAM:
                process.send_signal(signal.SIGHUP)
        except (ValueError, FileNotFoundError, psutil.NoSuchProcess):
            return  # It does not run, and will read the list when it does.
        except (PermissionError, psutil.AccessDenied):
            raise LinkLost(
                f"the process that {self.pid_file} names may not be signalled by the service",
                "Take `pid_file` out of [broker], and have systemd reload it: deploy/broker.",
            ) from None

    def _made(self, name: str, now: datetime, life: timedelta) -> str:
        key = new_key()
        certificate = self.authority.certify_device(Request(name, key.public_key()), now, life)
        return private_pem(key).decode() + pem_of(certificate)
