"""`vedette-agent enroll` and `renew`: the device makes its key, and gets a certificate for it.

1. The claim is read: who the device is, where the service is, and the digest of the authority to believe.
2. The authority's certificate is fetched from whoever answers there, and believed only if the digest is the claim's.
3. The key is made, and kept before it is spoken of; an enrolment that broke off goes on with the same key.
4. Under TLS that this authority vouches for, the signing request and the claim's secret are sent.
5. The certificate must be for this key and this device; then it is put in place.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from agent.adapters.identity_folder import Enrolled, IdentityFolder, renewal_at
from agent.adapters.lean_httpx import httpx
from agent.adapters.tls import client_context
from agent.errors import AuthorityMismatch, ConfigInvalid, EnrolmentFailed
from wire.codec import decode, encode
from wire.errors import VedetteError
from wire.identity import (
    AUTHORITY_PATH,
    CERTIFICATES_PATH,
    ENROLMENTS_PATH,
    Certified,
    Claim,
    Enrolment,
    Renewal,
    read_claim,
)
from wire.messages import KIB, Message, Refusal

SILENCE_S: Final = 15.0
ANSWER_WITHIN_S: Final = 60.0
"""Whoever answers to the claim's address may send for ever, a byte at a time."""
MAX_ANSWER_BYTES: Final = max(64 * KIB, Certified.MAX_BYTES)
"""Of an authority, or a certificate; no more than that is read of any answer."""
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class _Source:
    """Whom a certificate is for, and where it came from."""

    device: str
    http: str
    mqtt: str
    claim: str | None


def enroll(word: str, folder: IdentityFolder, now: Callable[[], datetime]) -> Enrolled:
    """Redeem a claim.

    Raises:
        WireError: It is no claim.
        EnrolmentFailed: The service can't be reached, refused, or is not the one that the claim names.
    """
    claim = read_claim(word)
    authority = _authority_of(claim)
    key = _pending(folder) or ec.generate_private_key(ec.SECP256R1())
    folder.begin(_private(key))
    message = Enrolment(
        message_id=secrets.token_hex(16),
        device=claim.device,
        made_at=now(),
        secret=claim.secret,
        request=_request(key, claim.device),
    )
    context = ssl.create_default_context(cadata=authority)
    certified = _post(claim.http + ENROLMENTS_PATH, message, context)
    return _keep(folder, key, certified, _Source(claim.device, claim.http, claim.mqtt, _digest(word)), now)


def enroll_once(
    word: str, folder: IdentityFolder, now: Callable[[], datetime]
) -> tuple[Enrolled, VedetteError | None]:
    """Redeem a claim that is handed over at each start, as systemd does with a credential.

    An identity that is there is not given up for it: the device goes on while a new claim can't be redeemed.

    Args:
        word: The claim; without one, there must be an enrolment.
        folder: Where the identity is kept, and renewed, from then on.
        now: The time.

    Returns:
        Who the device is, and why a new claim was not redeemed.

    Raises:
        As `enroll`, where there is no identity yet.
        ConfigInvalid: The identity is damaged, and there is no claim.
    """
    word = "".join(word.split())
    try:
        enrolled = folder.enrolled()
    except ConfigInvalid:
        if not word:
            raise
        enrolled = None
    if enrolled is None and not word:
        raise EnrolmentFailed("there is neither an identity nor a claim", "`vedette device enroll` makes a claim.")
    if enrolled is not None and (not word or enrolled.claim == _digest(word)):
        return enrolled, None
    try:
        return enroll(word, folder, now), None
    except VedetteError as failed:
        if enrolled is None:
            raise
        return enrolled, failed


def renew(folder: IdentityFolder, now: Callable[[], datetime]) -> Enrolled:
    """Get the next certificate, for a new key, under the present one.

    Raises:
        EnrolmentFailed: There was no enrolment, or the service can't be reached or refused; the present one stays.
    """
    enrolled = folder.enrolled()
    if enrolled is None:
        raise EnrolmentFailed(f"no device is enrolled in {folder.root}", "`vedette-agent enroll` comes first.")
    key = ec.generate_private_key(ec.SECP256R1())
    message = Renewal(
        message_id=secrets.token_hex(16),
        device=enrolled.device,
        made_at=now(),
        request=_request(key, enrolled.device),
    )
    context = client_context("identity", folder.authority_file, folder.device_file, None)
    certified = _post(enrolled.http + CERTIFICATES_PATH, message, context)
    source = _Source(enrolled.device, enrolled.http, enrolled.mqtt, enrolled.claim)
    return _keep(folder, key, certified, source, now)


def _authority_of(claim: Claim) -> str:
    """The authority's certificate, PEM: from anybody, but the one that the claim names."""
    nobody_verified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody_verified.check_hostname = False
    nobody_verified.verify_mode = ssl.CERT_NONE
    answer = _exchange("GET", claim.http + AUTHORITY_PATH, None, nobody_verified)
    try:
        text = answer.decode("ascii")
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text.strip())).hexdigest()
    except ValueError:
        raise EnrolmentFailed(
            f"what answers at {claim.http} is no Vedette service", "Check the address in the claim."
        ) from None
    if f"sha256:{found}" != claim.authority:
        raise AuthorityMismatch(
            f"{claim.http} shows another authority than the claim names",
            "Somebody may listen in between: don't go on, and ask the operator.",
        )
    return text


def _post(url: str, message: Message, context: ssl.SSLContext) -> Certified:
    try:
        return decode(Certified, _exchange("POST", url, encode(message), context))
    except EnrolmentFailed:
        raise
    except VedetteError as broken:
        raise EnrolmentFailed(
            f"the service's answer can't be used: {broken.what}", "Update the older side."
        ) from None


def _exchange(method: str, url: str, body: bytes | None, context: ssl.SSLContext) -> bytes:
    try:
        status, answer = asyncio.run(_answered(method, url, body, context))
    except (httpx.HTTPError, httpx.InvalidURL) as failed:
        raise _unreachable(url, failed) from None
    except TimeoutError:
        raise EnrolmentFailed(
            f"{_service_of(url)} did not answer within {ANSWER_WITHIN_S:g} s",
            "Check the network and the address, then try again with the same claim.",
        ) from None
    if status != httpx.codes.OK:
        raise _refused(answer, status)
    return answer


async def _answered(method: str, url: str, body: bytes | None, context: ssl.SSLContext) -> tuple[int, bytes]:
    """Status and body."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "vedette-agent"}
    answer = bytearray()
    async with (
        asyncio.timeout(ANSWER_WITHIN_S),
        httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=SILENCE_S) as http,
        http.stream(method, url, content=body, headers=headers) as response,
    ):
        async for piece in response.aiter_raw():
            answer += piece
            if len(answer) > MAX_ANSWER_BYTES:
                what = f"what answers at {_service_of(url)} is no Vedette service"
                raise EnrolmentFailed(
                    f"{what}: it sends over {MAX_ANSWER_BYTES} bytes", "Check the address in the claim."
                )
    return response.status_code, bytes(answer)


def _service_of(url: str) -> str:
    return url.rpartition("/v1/")[0]


def _unreachable(url: str, failed: Exception) -> EnrolmentFailed:
    cause: BaseException | None = failed
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None and cause.verify_code in {_NOT_YET_VALID, _EXPIRED}:
        return EnrolmentFailed(
            "by this device's clock the service's certificate is not valid now",
            "Set the clock (`timedatectl` shows it), then try again.",
        )
    return EnrolmentFailed(
        f"{_service_of(url)} can't be reached ({str(failed) or type(failed).__name__})",
        "Check the network and the address, then try again with the same claim.",
    )


def _refused(body: bytes, status: int) -> EnrolmentFailed:
    try:
        said = Refusal.model_validate_json(body)
    except ValidationError:
        return EnrolmentFailed(f"the service answered {status}", "Check the address in the claim.")
    return EnrolmentFailed(f"the service refused: {said.error}, {said.message}", said.mend)


def _keep(
    folder: IdentityFolder, key: Key, certified: Certified, source: _Source, now: Callable[[], datetime]
) -> Enrolled:
    not_ours = EnrolmentFailed("the service gave a certificate that is not this device's", "Ask the operator.")
    try:
        certificate = x509.load_pem_x509_certificate(certified.certificate.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        its_key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise not_ours from None
    if its_key != key.public_key() or [name.value for name in names] != [source.device]:
        raise not_ours
    # How long it lives is by the service's clock: what the certificate itself calls its beginning is set back. When
    # that is over is by the device's, which may be minutes off.
    expires_at = certificate.not_valid_after_utc
    life, here = expires_at - certified.made_at, now()
    enrolled = Enrolled(
        device=source.device,
        http=source.http,
        mqtt=source.mqtt,
        renew_at=renewal_at(here, here + life),
        expires_at=expires_at,
        claim=source.claim,
    )
    folder.keep(_private(key), certified.certificate, certified.authorities, enrolled)
    return enrolled


def _pending(folder: IdentityFolder) -> Key | None:
    kept = folder.pending_key()
    if kept is None:
        return None
    try:
        key = serialization.load_pem_private_key(kept, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _request(key: Key, device: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM).decode()


def _digest(word: str) -> str:
    return hashlib.sha256("".join(word.split()).encode()).hexdigest()


def _private(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
