"""The embedded certificate authority: a P-256 key that signs certificates of devices and of the service. No I/O.

What a certificate says is decided here. Of a signing request only the public key and the common name are heeded; a
request that brings extensions, such as other names, is refused rather than trimmed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud.identity.errors import AuthorityUnusable, SigningRefused

AUTHORITY_LIFE: Final = timedelta(days=3650)
BACKDATED: Final = timedelta(minutes=10)
"""Clocks of devices and service differ by a few minutes; nobody is kept out for it."""
MIN_RSA_BITS: Final = 2048
CURVES: Final = (ec.SECP256R1, ec.SECP384R1)

UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` says of a request that is none; they have no ancestor of their own."""

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a certificate is.

    Attributes:
        name: The common name: a device id, or one of the service's own names.
        serial: Of the certificate, in lower-case hex.
    """

    name: str
    serial: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """What of a signing request is heeded."""

    name: str
    key: PublicKey

    @property
    def key_digest(self) -> str:
        """SHA-256 of the public key, in hex: the same request, sent twice, has the same."""
        return _digest(
            self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )


class Authority:
    """Signs certificates.

    Args:
        key: Its private key.
        certificate: Its own, self-signed.
        coming: The certificate of the one that is to replace it.
        retiring: The one that it has replaced, while there are certificates by it.
    """

    def __init__(
        self,
        key: PrivateKey,
        certificate: x509.Certificate,
        *,
        coming: x509.Certificate | None = None,
        retiring: Authority | None = None,
    ) -> None:
        self._key = key
        self.certificate = certificate
        self.coming = coming
        self.retiring = retiring

    def beside(self, *, coming: x509.Certificate | None, retiring: Authority | None) -> Authority:
        """The same, while it is being replaced or has just replaced another."""
        return Authority(self._key, self.certificate, coming=coming, retiring=retiring)

    @classmethod
    def create(cls, now: datetime, name: str = "Vedette device authority") -> Authority:
        """A new one; its name is its own, since OpenSSL finds an issuer by name while there are two."""
        key = new_key()
        subject = _named(f"{name} {x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]}")
        usage = _usage(signs=False, authority=True)
        built = (
            _begun(subject, subject, key.public_key(), now, now + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(key, built.sign(key, hashes.SHA256()))

    @classmethod
    def read(cls, key: bytes, certificate: bytes) -> Authority:
        """From its two PEM files.

        Raises:
            AuthorityUnusable: They can't be read, or are not each other's.
        """
        try:
            private = serialization.load_pem_private_key(key, None)
            public = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
            raise AuthorityUnusable(
                f"the authority's files can't be read ({type(broken).__name__})", "Restore them from a backup."
            ) from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != public.public_key():
            raise AuthorityUnusable("the authority's key and certificate don't fit", "Restore both from one backup.")
        return cls(private, public)

    @property
    def key_pem(self) -> bytes:
        """The private key; for the disk of the service alone."""
        return private_pem(self._key)

    @property
    def certificate_pem(self) -> bytes:
        """Its certificate; a claim pins it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def believed_pem(self) -> bytes:
        """Whom devices and service are to believe: itself, and who comes before or after it."""
        others = (self.coming, None if self.retiring is None else self.retiring.certificate)
        return self.certificate_pem + b"".join(pem_of(other).encode() for other in others if other is not None)

    @property
    def digest(self) -> str:
        """By which a claim pins it: SHA-256 of the certificate in DER."""
        return f"sha256:{self.certificate.fingerprint(hashes.SHA256()).hex()}"

    def certify_device(self, request: Request, now: datetime, life: timedelta) -> x509.Certificate:
        """A certificate for a device to show; never beyond the authority's own end."""
        until = min(now + life, self.certificate.not_valid_after_utc)
        return self._leaf(request.name, request.key, now, until, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def certify_service(
        self, hosts: Sequence[str], key: PrivateKey, now: datetime, life: timedelta
    ) -> x509.Certificate:
        """A certificate under which the service answers to `hosts`, names or addresses."""
        until = min(now + life, self.certificate.not_valid_after_utc)
        names = tuple(_host(host) for host in hosts)
        return self._leaf("vedette", key.public_key(), now, until, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def revocation_list(self, serials: Sequence[str], now: datetime, life: timedelta) -> bytes:
        """The revoked certificates in PEM, for brokers that can't ask; a second list by the one that is retiring."""
        built = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + life)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(now)
            built = built.add_revoked_certificate(revoked.build())
        by_the_other = b"" if self.retiring is None else self.retiring.revocation_list(serials, now, life)
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + by_the_other

    def _leaf(
        self,
        name: str,
        key: PublicKey,
        now: datetime,
        until: datetime,
        purpose: x509.ObjectIdentifier,
        names: tuple[x509.GeneralName, ...],
    ) -> x509.Certificate:
        built = (
            _begun(_named(name), self.certificate.subject, key, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=True, authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            # Python 3.13 verifies strictly, and then wants both.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return built.sign(self._key, hashes.SHA256())


def read_request(pem: str) -> Request:
    """Check a signing request.

    Raises:
        SigningRefused: It is none, is not signed by its own key, has a weak key, no single name, or wants extensions.
    """
    try:
        found = x509.load_pem_x509_csr(pem.encode())
        proven = found.is_signature_valid
        key, wants = found.public_key(), list(found.extensions)
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        subject = list(found.subject)
    except UNREADABLE as broken:
        raise _refused(f"it can't be read ({type(broken).__name__})") from None
    if not proven:
        raise _refused("it is not signed by the key that it names")
    if wants:
        raise _refused("it wants extensions, and none are given")
    if len(names) != 1 or len(subject) != 1 or not isinstance(names[0].value, str):
        raise _refused("its subject is not a single common name")
    return Request(names[0].value, _strong(key))


def identity_of(certificate: x509.Certificate) -> Identity | None:
    """Whose a certificate is that was verified already; None where it names nobody."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        return None
    return Identity(names[0].value, serial_of(certificate), certificate.not_valid_after_utc)


def serial_of(certificate: x509.Certificate) -> str:
    """Its serial number as it is stored."""
    return f"{certificate.serial_number:x}"


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def new_key() -> PrivateKey:
    """A fresh key for the service's own side."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKey) -> bytes:
    """A private key as text; it goes to a file of the owner's alone."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _strong(key: object) -> PublicKey:
    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, CURVES):
            return key
        case ed25519.Ed25519PublicKey():
            return key
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return key
    raise _refused("its key is neither P-256, P-384, Ed25519 nor RSA of 2048 bits or more")


def _refused(why: str) -> SigningRefused:
    return SigningRefused(f"the signing request is refused: {why}", "Enrol with `vedette-agent enroll`.")


def _begun(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since - BACKDATED)
        .not_valid_after(until)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(data: bytes) -> str:
    hashing = hashes.Hash(hashes.SHA256())
    hashing.update(data)
    return hashing.finalize().hex()
