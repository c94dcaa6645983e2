"""The folder that an enrolment makes: the device's key and certificate, whom it believes, and where its service is.

```
device.pem        the key and the certificate in one file, so that one rename replaces both
authority.pem     whose services are believed
enrolment.json    the device's id, the service's addresses, and when to renew
pending.key       while an enrolment is under way: a second try must bring the same key
```
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent.adapters.durable_file import replace_file
from agent.errors import ConfigInvalid, EnrolmentFailed
from wire.fields import DeviceId
from wire.identity import Url

MAX_ENROLMENT_BYTES: Final = 64 << 10
PRIVATE: Final = 0o600


class Enrolled(BaseModel):
    """What `enrolment.json` says.

    Attributes:
        http, mqtt: The service's addresses.
        renew_at: From then on the next certificate is asked for; two thirds of the present one's life.
        claim: SHA-256 of the claim that it began with, so that one that stays in its place is redeemed once.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: DeviceId
    http: Url
    mqtt: Url
    renew_at: AwareDatetime
    expires_at: AwareDatetime
    claim: str | None = None


class IdentityFolder:
    """Reads and replaces the files; each in one step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.device_file = root / "device.pem"
        self.authority_file = root / "authority.pem"
        self._enrolment_file = root / "enrolment.json"
        self._pending_file = root / "pending.key"

    def enrolled(self) -> Enrolled | None:
        """What the enrolment said; None where there was none.

        Raises:
            ConfigInvalid: It can't be read, or is damaged.
        """
        try:
            with self._enrolment_file.open("rb") as file:
                return Enrolled.model_validate_json(file.read(MAX_ENROLMENT_BYTES))
        except FileNotFoundError:
            return None
        except OSError as refused:
            raise ConfigInvalid(
                f"identity: {str(self._enrolment_file)!r} can't be read ({refused.strerror})", "Correct its rights."
            ) from None
        except ValidationError:
            raise ConfigInvalid(
                f"identity: {str(self._enrolment_file)!r} is damaged",
                "Enrol the device again: `vedette-agent enroll`.",
            ) from None
        except ValueError:
            # A path with a null character in it, which TOML may hold.
            raise ConfigInvalid(
                f"identity: {str(self.root)!r} is no path", "Name the folder of an enrolment."
            ) from None

    def pending_key(self) -> bytes | None:
        """The key of an enrolment that did not end."""
        try:
            return self._pending_file.read_bytes()
        except OSError:
            return None

    def begin(self, key: bytes) -> None:
        """Keep the key before it is spoken of.

        Raises:
            EnrolmentFailed: The disk refuses.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as refused:
            raise _unwritable(self.root, refused) from None
        self._write(self._pending_file, key)

    def keep(self, key: bytes, certificate: str, authorities: str, enrolled: Enrolled) -> None:
        """Put a new certificate in place, the note about it last.

        Raises:
            EnrolmentFailed: The disk refuses; what was there before, or all that is new, is good.
        """
        self._write(self.authority_file, authorities.encode())
        self._write(self.device_file, key + certificate.encode())
        self._write(self._enrolment_file, enrolled.model_dump_json().encode() + b"\n")
        self._pending_file.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        try:
            # Nobody else may read it at any moment, so the rights are those of the file before it has content.
            temporary = path.with_name(f"{path.name}.new")
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, PRIVATE))
            temporary.chmod(PRIVATE)
            replace_file(path, content)
        except OSError as refused:
            raise _unwritable(path, refused) from None


def renewal_at(issued_at: datetime, expires_at: datetime) -> datetime:
    """When to renew: after two thirds, so that a third is left for an outage."""
    return issued_at + (expires_at - issued_at) * 2 / 3


def _unwritable(path: Path, refused: OSError) -> EnrolmentFailed:
    return EnrolmentFailed(f"{path} can't be written: {refused.strerror}", "Free the disk, or choose --identity.")
