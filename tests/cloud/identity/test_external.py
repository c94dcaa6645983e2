"""Devices that an operator's own authority certifies: against the real service, taken in by the command line."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import tomllib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typer.testing import CliRunner

from agent.config import check_config
from cloud.cli import app
from cloud.identity.authority import Authority, new_key, pem_of, private_pem, read_request
from tests.cloud.identity.certified import Certificated, new_request
from tests.cloud.identity.test_doors import check_refused, refused
from tests.cloud.running import Service, running
from tests.cloud.samples import BOUND_S, alert
from wire.topics import Channel

pytestmark = pytest.mark.parts

NOW = datetime.now(UTC)
LIFE = timedelta(days=1)
ANYTHING = "/v1/repository/metadata/root.json"


def for_servers_and_clients(key: ec.EllipticCurvePrivateKey, authority: Authority) -> x509.Certificate:
    """The service answers devices under it, and shows it to the broker."""
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vedette")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=10))
        .not_valid_after(NOW + LIFE)
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.certificate.public_key()), critical=False
        )
    )
    signing = serialization.load_pem_private_key(authority.key_pem, None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    return built.sign(signing, hashes.SHA256())


class Operator:
    """Has an authority, and the service's command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(NOW, "An authority of one's own")
        key = new_key()
        own = for_servers_and_clients(key, self.authority)
        self.files = {name: str(folder / name) for name in ("ca_file", "cert_file", "key_file")}
        for name, pem in (
            ("ca_file", self.authority.certificate_pem),
            ("cert_file", pem_of(own).encode()),
            ("key_file", private_pem(key)),
        ):
            (folder / name).write_bytes(pem)
        identity = "\n".join(f'{name} = "{file}"' for name, file in self.files.items())
        self.config = folder / "service.toml"
        self.config.write_text(
            f'tls = true\ndata_dir = "{folder / "data"}"\n[identity]\nauthority = "external"\n{identity}\n'
        )

    def types(self, *words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--config", str(self.config)])
        assert done.exit_code == 0, done.output
        return done.stdout

    def certified(self, service: Service, name: str) -> Certificated:
        key, request = new_request(name)
        device = Certificated(name, self.folder / name, service)
        device.keep(
            key,
            pem_of(self.authority.certify_device(read_request(request), NOW, LIFE)),
            self.authority.certificate_pem.decode(),
        )
        return device


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
async def service(operator: Operator) -> AsyncIterator[Service]:
    identity = {"authority": "external", **operator.files}
    async with running(operator.folder / "data", tls=True, device_port=0, identity=identity) as service:
        yield service


async def test_taken_in_it_speaks_and_revoked_it_is_cut_off(operator: Operator, service: Service) -> None:
    await asyncio.to_thread(operator.types, "device", "enroll", "cam-1")
    device = operator.certified(service, "cam-1")
    async with device.http() as http, device.connected() as speaking:
        message = alert()
        await speaking.say(Channel.ALERTS, message)
        await speaking.until_acked(message)
        assert (await http.get(ANYTHING)).status_code == 404
        await asyncio.to_thread(operator.types, "device", "revoke", "cam-1")
        await check_refused(await http.get(ANYTHING), 401, "CertificateRefused")
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait({speaking.client._disconnected})  # aiomqtt says it here alone
    assert await refused(device.mqtt())


async def test_who_was_not_taken_in_is_refused_though_the_authority_vouches_for_it(
    operator: Operator, service: Service
) -> None:
    stranger = operator.certified(service, "cam-2")
    assert await refused(stranger.mqtt())
    async with stranger.http() as http:
        await check_refused(await http.get(ANYTHING), 401, "CertificateRefused")


async def test_whom_another_authority_certified_is_refused(operator: Operator, service: Service) -> None:
    await asyncio.to_thread(operator.types, "device", "enroll", "cam-1")
    other = Authority.create(NOW)
    key, request = new_request("cam-1")
    forged = Certificated("cam-1", operator.folder / "forged", service)
    certificate = pem_of(other.certify_device(read_request(request), NOW, LIFE))
    forged.keep(key, certificate, operator.authority.certificate_pem.decode())
    assert await refused(forged.mqtt())
    async with forged.http() as http:
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            await http.get(ANYTHING)


async def test_the_settings_that_enrolling_prints_are_for_the_running_service(
    operator: Operator, service: Service
) -> None:
    printed = await asyncio.to_thread(operator.types, "device", "enroll", "cam-1")
    config = check_config(tomllib.loads(printed[printed.index("device = ") :]), "printed")
    assert config.device == "cam-1"
    assert config.link.url == service.addresses.mqtt
    assert config.ask is not None
    assert config.ask.url == service.addresses.devices
    assert config.link.key_file == config.ask.key_file == Path("device.key")
    assert "claim" not in printed
    (told,) = [json.loads(await asyncio.to_thread(operator.types, "device", "enroll", "cam-1", "--json"))]
    assert told == {"device": "cam-1", "http": service.addresses.devices, "mqtt": service.addresses.mqtt}
