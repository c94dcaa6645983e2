from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.adapters.system_clock import SystemClock
from agent.errors import ConfigInvalid, DownloadFailed, RepositoryUnreachable
from tests.agent.update.trust.hostile_server import HostileServer, drip


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signed itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return pem


@pytest.fixture
def encrypted(device, tmp_path):
    pem = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    device.server.stop()
    device.server = HostileServer(device.signed.files, tls)
    device.ca_file = pem
    return device


def test_it_is_fetched_over_https(encrypted):
    encrypted.fetch()
    assert encrypted.installed()


def test_a_certificate_that_nobody_vouches_for_is_refused(encrypted):
    encrypted.ca_file = None
    with pytest.raises(RepositoryUnreachable, match="certificate"):
        encrypted.fetch()


def test_a_drip_is_seen_through_the_encryption(encrypted):
    encrypted.clock = SystemClock()
    encrypted.server.behave("model.tflite", drip)
    with pytest.raises(DownloadFailed, match="slow"):
        encrypted.fetch(min_rate_bytes_s=100_000.0, rate_window_s=0.2)


def test_certificates_that_are_none_are_named(encrypted):
    encrypted.ca_file.write_bytes(b"")
    with pytest.raises(ConfigInvalid, match="ca_file"):
        encrypted.repository()
