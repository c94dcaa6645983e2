"""Reading and writing claims and certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update

from cloud.store.database import Database
from cloud.store.schema import certificates, claims, devices


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A claim as it stands.

    Attributes:
        used_key: Digest of the key that it was used for.
        welcome: The device is known, and not revoked.
    """

    device: str
    expires_at: datetime
    used_key: str | None
    welcome: bool


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate that was issued."""

    serial: str
    device: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


class IdentityStore:
    """Secrets are kept as digests only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_claim(self, secret_sha256: str, device: str, made_at: datetime, expires_at: datetime) -> None:
        """Commit a claim; the device's earlier ones end with it."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(claims)
                .where(claims.c.device == device, claims.c.expires_at > made_at)
                .values(expires_at=made_at)
            )
            row = {"secret_sha256": secret_sha256, "device": device, "made_at": made_at, "expires_at": expires_at}
            await connection.execute(insert(claims), [row])

    async def claim(self, secret_sha256: str) -> ClaimRecord | None:
        """The claim of that secret."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(claims.c.device, claims.c.expires_at, claims.c.used_key, devices.c.id, devices.c.revoked_at)
                .join(devices, devices.c.id == claims.c.device, isouter=True)
                .where(claims.c.secret_sha256 == secret_sha256)
            )
            row = found.one_or_none()
        if row is None:
            return None
        return ClaimRecord(row.device, row.expires_at, row.used_key, row.id is not None and row.revoked_at is None)

    async def redeem(self, secret_sha256: str, key_digest: str, issued: CertificateRecord) -> bool:
        """Commit that the claim was used for this key, and its certificate; whether nobody was faster.

        Whatever certificates the device had before end with it: it was enrolled anew.
        """
        async with self._database.writing() as connection:
            used = await connection.execute(
                update(claims)
                .where(
                    claims.c.secret_sha256 == secret_sha256,
                    claims.c.expires_at > issued.issued_at,
                    (claims.c.used_key.is_(None)) | (claims.c.used_key == key_digest),
                )
                .values(used_at=issued.issued_at, used_key=key_digest)
            )
            if used.rowcount != 1:
                return False
            await connection.execute(
                update(certificates)
                .where(certificates.c.device == issued.device, certificates.c.revoked_at.is_(None))
                .values(revoked_at=issued.issued_at)
            )
            await connection.execute(insert(certificates), [_row(issued)])
        return True

    async def add_certificate(self, issued: CertificateRecord) -> None:
        """Commit a certificate beside the device's others."""
        async with self._database.writing() as connection:
            await connection.execute(insert(certificates), [_row(issued)])

    async def bearer(self, serial: str, now: datetime) -> str | None:
        """The device whose certificate this is; None where it is unknown, over, revoked, or the device is."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(certificates.c.device)
                .join(devices, devices.c.id == certificates.c.device)
                .where(
                    certificates.c.serial == serial,
                    certificates.c.expires_at > now,
                    certificates.c.revoked_at.is_(None),
                    devices.c.revoked_at.is_(None),
                )
            )
            return found.scalar_one_or_none()

    async def of_device(self, device: str) -> list[CertificateRecord]:
        """The device's certificates, newest first."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(certificates)
                .where(certificates.c.device == device)
                .order_by(certificates.c.issued_at.desc(), certificates.c.serial)
            )
            return [CertificateRecord(**row._mapping) for row in found]  # noqa: SLF001 - its public name

    async def revoked(self, now: datetime) -> dict[str, str]:
        """Device by serial, of certificates that would still be good: for brokers that can't ask."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(certificates.c.serial, certificates.c.device)
                .join(devices, devices.c.id == certificates.c.device)
                .where(
                    certificates.c.expires_at > now,
                    certificates.c.revoked_at.is_not(None) | devices.c.revoked_at.is_not(None),
                )
                .order_by(certificates.c.serial)
            )
            return {row.serial: row.device for row in found}

    async def issued_before(self, when: datetime, now: datetime) -> list[str]:
        """Devices, not revoked, whose newest certificate that is still good is of before `when`."""
        newest = func.max(certificates.c.issued_at)
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(certificates.c.device)
                .join(devices, devices.c.id == certificates.c.device)
                .where(
                    devices.c.revoked_at.is_(None),
                    certificates.c.revoked_at.is_(None),
                    certificates.c.expires_at > now,
                )
                .group_by(certificates.c.device)
                .having(newest < when)
                .order_by(certificates.c.device)
            )
            return list(found.scalars())

    async def lapsed(self, since: datetime, now: datetime) -> list[str]:
        """Devices, not revoked, whose last certificate ended in that time: for brokers that let them stay."""
        last = func.max(certificates.c.expires_at)
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(certificates.c.device)
                .join(devices, devices.c.id == certificates.c.device)
                .where(devices.c.revoked_at.is_(None))
                .group_by(certificates.c.device)
                .having(last > since, last <= now)
                .order_by(certificates.c.device)
            )
            return list(found.scalars())


def _row(issued: CertificateRecord) -> dict[str, object]:
    return {
        "serial": issued.serial,
        "device": issued.device,
        "issued_at": issued.issued_at,
        "expires_at": issued.expires_at,
    }
