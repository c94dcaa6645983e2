from __future__ import annotations

import ssl

import pytest

from agent.adapters.system_clock import SystemClock
from agent.errors import ConfigInvalid, DownloadFailed, RepositoryUnreachable
from tests.agent.self_signed import certificate
from tests.agent.update.trust.hostile_server import HostileServer, drip


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
        # A hundred bytes a second come; metadata come at once, and must not look slow on a machine that is busy.
        encrypted.fetch(min_rate_bytes_s=1000.0, rate_window_s=3.0)


def test_certificates_that_are_none_are_named(encrypted):
    encrypted.ca_file.write_bytes(b"")
    with pytest.raises(ConfigInvalid, match="ca_file"):
        encrypted.repository()
