"""Giving out claims and certificates, and telling whose a certificate is."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from cloud.identity.authority import Authority, Request, identity_of, read_request, serial_of
from cloud.identity.errors import CertificateRefused, ClaimRefused, SigningRefused
from cloud.identity.settings import IdentitySettings
from cloud.ports import Clock
from cloud.store.devices import DeviceStore
from cloud.store.identities import CertificateRecord, IdentityStore
from wire.identity import Claim

log = logging.getLogger(__name__)

_ASK_AGAIN: Final = "Ask the operator for a new one: `vedette device enroll NAME`."


class Identities:
    """The one place where claims and certificates are made and checked."""

    def __init__(
        self,
        *,
        authority: Authority | None,
        store: IdentityStore,
        devices: DeviceStore,
        clock: Clock,
        settings: IdentitySettings,
    ) -> None:
        """Prepare.

        Args:
            authority: None where an external one gives out certificates.
            store: Claims and certificates.
            devices: For those of an external authority, who is welcome.
            clock: The service's.
            settings: How long what lives.
        """
        self._authority = authority
        self._store = store
        self._devices = devices
        self._clock = clock
        self._settings = settings

    async def claim(self, device: str, *, http: str, mqtt: str, life: timedelta | None = None) -> Claim:
        """A claim for a device that is known; its earlier ones end.

        Raises:
            ClaimRefused: An external authority gives out the certificates.
        """
        authority = self._required()
        now = self._clock.wall()
        expires_at = now + (life or timedelta(minutes=self._settings.claim_minutes))
        secret = secrets.token_urlsafe(32)
        await self._store.add_claim(_digest(secret), device, now, expires_at)
        return Claim(
            device=device, http=http, mqtt=mqtt, authority=authority.digest, secret=secret, expires_at=expires_at
        )

    async def redeem(self, device: str, secret: str, request_pem: str) -> x509.Certificate:
        """The certificate that the claim entitles to.

        The same key may redeem its claim again while that lives: an answer that got lost costs nothing.

        Raises:
            ClaimRefused: Unknown, expired, another's, or used for another key.
            SigningRefused: The signing request can't be granted.
        """
        authority = self._required()
        request = _request_of(device, request_pem)
        claim = await self._store.claim(_digest(secret))
        now = self._clock.wall()
        if claim is None or claim.device != device:
            raise ClaimRefused("there is no such claim for this device", _ASK_AGAIN)
        if not claim.welcome:
            raise ClaimRefused(f"{device} is revoked", "Enrol it under another name.")
        if claim.expires_at <= now:
            raise ClaimRefused("the claim has expired", _ASK_AGAIN)
        certificate = authority.certify_device(request, now, self._life)
        if not await self._store.redeem(_digest(secret), request.key_digest, _record(certificate, device, now)):
            raise ClaimRefused("the claim was used already", _ASK_AGAIN)
        log.info("certificate issued", extra={"device": device, "serial": serial_of(certificate)})
        return certificate

    async def renew(self, device: str, request_pem: str) -> x509.Certificate:
        """A certificate for a device that showed a good one.

        Raises:
            ClaimRefused, SigningRefused: As `redeem`.
        """
        authority = self._required()
        request = _request_of(device, request_pem)
        now = self._clock.wall()
        certificate = authority.certify_device(request, now, self._life)
        await self._store.add_certificate(_record(certificate, device, now))
        log.info("certificate renewed", extra={"device": device, "serial": serial_of(certificate)})
        return certificate

    async def bearer(self, certificate: x509.Certificate) -> tuple[str, datetime]:
        """The device whose verified certificate this is, and until when.

        Raises:
            CertificateRefused: It names nobody, is over, was revoked, or its device was.
        """
        identity = identity_of(certificate)
        if identity is None:
            raise CertificateRefused("the certificate names no device")
        now = self._clock.wall()
        if self._authority is None:
            found = await self._devices.some([identity.name])
            welcome = bool(found) and found[0].revoked_at is None and identity.expires_at > now
        else:
            welcome = await self._store.bearer(identity.serial, now) == identity.name
        if not welcome:
            raise CertificateRefused("the certificate is of no device that is welcome", _ASK_AGAIN)
        return identity.name, identity.expires_at

    async def of_device(self, device: str) -> list[CertificateRecord]:
        """The certificates that a device was given, newest first."""
        return await self._store.of_device(device)

    @property
    def authority_pem(self) -> str:
        """The authority that claims pin.

        Raises:
            ClaimRefused: An external authority gives out the certificates.
        """
        return self._required().certificate_pem.decode()

    @property
    def authorities_pem(self) -> str:
        """Whom devices are to believe.

        Raises:
            ClaimRefused: An external authority gives out the certificates.
        """
        return self._required().believed_pem.decode()

    @property
    def _life(self) -> timedelta:
        return timedelta(hours=self._settings.certificate_hours)

    def _required(self) -> Authority:
        if self._authority is None:
            raise ClaimRefused(
                "certificates are given out by an external authority",
                "Have it certify the device's key, with the device's id as the common name.",
            )
        return self._authority


def _request_of(device: str, pem: str) -> Request:
    request = read_request(pem)
    if request.name != device:
        raise SigningRefused(
            f"the signing request is for {request.name[:80]!a}, not for {device}",
            "Enrol with `vedette-agent enroll`.",
        )
    return request


def _record(certificate: x509.Certificate, device: str, now: datetime) -> CertificateRecord:
    return CertificateRecord(serial_of(certificate), device, now, certificate.not_valid_after_utc)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
