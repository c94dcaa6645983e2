from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.identity.authority import Authority, identity_of, new_key, pem_of, read_request
from cloud.identity.errors import AuthorityUnusable, SigningRefused
from tests.cloud.identity.certified import new_request

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LIFE = timedelta(days=30)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(NOW)


def spelt(built: x509.CertificateSigningRequest) -> str:
    return built.public_bytes(serialization.Encoding.PEM).decode()


def test_device_certificate_is_for_clients_of_that_name_alone(authority: Authority) -> None:
    key, request = new_request("gate-1")
    made = authority.certify_device(read_request(request), NOW, LIFE)
    made.verify_directly_issued_by(authority.certificate)
    assert made.public_key() == key.public_key()
    identity = identity_of(made)
    assert identity is not None
    assert (identity.name, identity.expires_at) == ("gate-1", NOW + LIFE)
    extensions = made.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_certificate_never_outlives_its_authority(authority: Authority) -> None:
    late = authority.certificate.not_valid_after_utc - timedelta(days=1)
    made = authority.certify_device(read_request(new_request("gate-1")[1]), late, LIFE)
    assert made.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_serials_differ(authority: Authority) -> None:
    request = read_request(new_request("gate-1")[1])
    assert len({authority.certify_device(request, NOW, LIFE).serial_number for _ in range(20)}) == 20


def test_authority_is_read_as_it_was_written(authority: Authority) -> None:
    again = Authority.read(authority.key_pem, authority.certificate_pem)
    assert again.digest == authority.digest


@pytest.mark.parametrize("broken", ["key", "certificate", "other"])
def test_damaged_authority_is_named(authority: Authority, broken: str) -> None:
    key, certificate = authority.key_pem, authority.certificate_pem
    if broken == "key":
        key = key[:40]
    elif broken == "certificate":
        certificate = certificate[:40]
    else:
        certificate = Authority.create(NOW).certificate_pem
    with pytest.raises(AuthorityUnusable):
        Authority.read(key, certificate)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - what is to be refused
        ec.generate_private_key(ec.SECP192R1()),
        dsa.generate_private_key(1024),  # noqa: S505 - the same
    ],
    ids=["rsa-1024", "p-192", "dsa"],
)
def test_weak_keys_are_refused(key) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate-1")])
    with pytest.raises(SigningRefused, match="its key is neither"):
        read_request(spelt(x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())))


def test_ed25519_and_rsa_of_2048_bits_are_granted() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate-1")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    assert read_request(spelt(builder.sign(ed25519.Ed25519PrivateKey.generate(), None))).name == "gate-1"
    assert read_request(spelt(builder.sign(rsa.generate_private_key(65537, 2048), hashes.SHA256()))).name == "gate-1"


def test_request_that_wants_other_names_is_refused() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate-1")])
    built = x509.CertificateSigningRequestBuilder().subject_name(name)
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("cloud.example")]), critical=False)
    with pytest.raises(SigningRefused, match="extensions"):
        read_request(spelt(built.sign(new_key(), hashes.SHA256())))


@pytest.mark.parametrize("names", [[], ["gate-1", "gate-2"]])
def test_request_without_a_single_name_is_refused(names: list[str]) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(new_key(), hashes.SHA256())
    with pytest.raises(SigningRefused, match="single common name"):
        read_request(spelt(built))


def test_request_signed_by_another_key_is_refused() -> None:
    _, mine = new_request("gate-1")
    der = bytearray(x509.load_pem_x509_csr(mine.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(SigningRefused):
        read_request(spelt_der(bytes(der)))


def spelt_der(der: bytes) -> str:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"


_GENUINE = x509.load_pem_x509_csr(new_request("gate-1")[1].encode()).public_bytes(serialization.Encoding.DER)


VERSION_AT = 7


@given(st.integers(0, len(_GENUINE) - 1), st.integers(1, 255))
@example(VERSION_AT, 1)
def test_no_changed_byte_is_granted_under_another_name_or_key(place: int, change: int) -> None:
    der = bytearray(_GENUINE)
    der[place] ^= change
    try:
        granted = read_request(spelt_der(bytes(der)))
    except SigningRefused:
        return
    # The signature's count of unused bits is no part of what is signed, and OpenSSL looks past it.
    genuine = read_request(spelt_der(_GENUINE))
    assert (granted.name, granted.key_digest) == (genuine.name, genuine.key_digest)
    assert place > len(_GENUINE) // 2


@given(st.text(max_size=300))
def test_any_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(SigningRefused):
        read_request(text)


def test_revocation_list_names_the_serials(authority: Authority) -> None:
    made = authority.certify_device(read_request(new_request("gate-1")[1]), NOW, LIFE)
    found = x509.load_pem_x509_crl(authority.revocation_list([f"{made.serial_number:x}"], NOW, LIFE))
    assert [one.serial_number for one in found] == [made.serial_number]
    assert found.is_signature_valid(authority.certificate.public_key())
    assert pem_of(made)
