"""A device that has a key and a certificate, and speaks to the real service over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.doors import open_authority, open_identities
from cloud.fleet.enrolment import Enrolment
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from tests.cloud.running import Service, settings_for
from tests.cloud.samples import BOUND_S, NOW, Device, new_id
from tests.mqtt import Client
from wire.codec import decode, encode
from wire.identity import ENROLMENTS_PATH, Certified, Claim
from wire.identity import Enrolment as EnrolmentMessage


def new_request(name: str, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[ec.EllipticCurvePrivateKey, str]:
    """A key, and a signing request by it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return key, built.public_bytes(serialization.Encoding.PEM).decode()


async def claim_for(service: Service, name: str, **settings: object) -> Claim:
    """As `vedette device enroll` makes one."""
    chosen = settings_for(service.data_dir, tls=True, **settings)
    data = DataDir(service.data_dir)
    async with open_database(data.database_url) as database:
        clock = SystemClock()
        if name not in {device.id for device in await DeviceStore(database).all()}:
            await Enrolment(DeviceStore(database), clock).enroll(name)
        identities = open_identities(chosen, open_authority(chosen, data, clock), database, clock)
        return await identities.claim(name, http=service.addresses.devices, mqtt=service.addresses.mqtt)


@dataclass
class Certificated:
    """A device's key and certificate, in files."""

    name: str
    folder: Path
    service: Service

    @property
    def context(self) -> ssl.SSLContext:
        told = self.folder / "authorities.pem"
        believed = told if told.exists() else self.service.data_dir / "identity" / "authority.pem"
        made = ssl.create_default_context(cafile=str(believed))
        if (self.folder / "device.pem").exists():
            made.load_cert_chain(self.folder / "device.pem", self.folder / "device.key")
        return made

    def keep(self, key: ec.EllipticCurvePrivateKey, certificate: str, authorities: str | None = None) -> None:
        """`authorities` is whom to believe from now on; without them, whoever the service's authority is."""
        self.folder.mkdir(exist_ok=True)
        if authorities is not None:
            (self.folder / "authorities.pem").write_text(authorities)
        (self.folder / "device.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (self.folder / "device.pem").write_text(certificate)

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "device.pem").read_bytes())

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.service.addresses.devices, verify=self.context, timeout=BOUND_S)

    def mqtt(
        self, *, user: str | None = None, client_id: str | None = None, will: aiomqtt.Will | None = None
    ) -> aiomqtt.Client:
        parts = urlsplit(self.service.addresses.mqtt)
        assert parts.hostname is not None
        assert parts.port is not None
        return Client(
            parts.hostname,
            parts.port,
            username=user or self.name,
            identifier=client_id or self.name,
            clean_session=False,
            timeout=BOUND_S,
            tls_context=self.context,
            will=will,
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Device]:
        async with self.mqtt() as client:
            device = Device(client, self.name)
            await client.subscribe(f"vedette/v1/{self.name}/down/#", qos=1)
            listening = asyncio.create_task(device.listen())
            try:
                yield device
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


async def redeem(stranger: Certificated, claim: Claim, request: str, device: str | None = None) -> httpx.Response:
    asked = EnrolmentMessage(
        message_id=new_id(), device=device or claim.device, made_at=NOW, secret=claim.secret, request=request
    )
    async with stranger.http() as http:
        return await http.post(ENROLMENTS_PATH, content=encode(asked))


async def enrolled(service: Service, name: str, folder: Path) -> Certificated:
    """A device that has redeemed its claim."""
    made = Certificated(name, folder, service)
    key, request = new_request(name)
    answer = await redeem(made, await claim_for(service, name), request)
    assert answer.status_code == 200, answer.text
    made.keep(key, decode(Certified, answer.content).certificate)
    return made
