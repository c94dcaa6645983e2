"""TLS as bytes: one context for all, and each connection under its own device's certificate."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.adapters.identity_folder import IdentityFolder
from workbench.errors import IdentityUnusable, TlsBroken
from workbench.sim.tls import Certificates, Tunnel

HOST = "127.0.0.1"


class Authority:
    """Gives out certificates; its own certifies servers, too."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("authority", self.key, authority=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def certified(self, name: str) -> bytes:
        """A new key and a certificate for it, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + self._signed(name, key).public_bytes(serialization.Encoding.PEM)

    def enrol(self, folder: Path, name: str) -> Path:
        """A device's folder; again for another certificate."""
        identity = folder / name
        identity.mkdir(exist_ok=True)
        (identity / "authority.pem").write_bytes(self.pem)
        (identity / "device.pem").write_bytes(self.certified(name))
        return identity

    def server(self, folder: Path) -> ssl.SSLContext:
        own = folder / "server.pem"
        own.write_bytes(self.certified(HOST))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(own)
        return context

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool = False) -> x509.Certificate:
        issuer = name if authority else "authority"
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if name == HOST:
            made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        return made.sign(self.key, hashes.SHA256())


class Server:
    """The other end of one connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=True)
        self.shaken = False

    def heard(self, data: bytes) -> bytes:
        """What it answers to that."""
        self._in.write(data)
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    def say(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._out.read()

    @property
    def serial(self) -> str:
        shown = self.tls.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])


@pytest.fixture
def authority() -> Authority:
    return Authority()


def shake(tunnel: Tunnel, server: Server) -> None:
    while not (tunnel.open and server.shaken):
        answer = server.heard(tunnel.take())
        assert answer, "neither side has anything to say"
        tunnel.heard(answer)
        if tunnel.open:
            # Its answer to that are session tickets.
            assert tunnel.heard(server.heard(tunnel.take())) == b""


def serial_in(identity: Path) -> str:
    shown = x509.load_pem_x509_certificate((identity / "device.pem").read_bytes())
    return f"{shown.serial_number:X}"


def test_each_of_many_handshakes_at_once_shows_its_own_certificate(authority, tmp_path):
    identities = [authority.enrol(tmp_path, f"sim-{number}") for number in range(5)]
    certificates, context = Certificates(), authority.server(tmp_path)
    begun = [(certificates.begin(identity, HOST), Server(context)) for identity in identities]
    assert len({certificates.load(identity) for identity in identities}) == 1
    for tunnel, server in reversed(begun):
        shake(tunnel, server)
    serials = [server.serial.lstrip("0") for _, server in begun]
    assert serials == [serial_in(identity) for identity in identities]


def test_a_renewed_certificate_is_shown_from_the_next_connection_on(authority, tmp_path):
    identity = authority.enrol(tmp_path, "sim-1")
    certificates, context = Certificates(), authority.server(tmp_path)
    before, first = serial_in(identity), Server(context)
    tunnel = certificates.begin(identity, HOST)
    authority.enrol(tmp_path, "sim-1")
    shake(tunnel, first)
    second = Server(context)
    shake(certificates.begin(identity, HOST), second)
    assert [server.serial.lstrip("0") for server in (first, second)] == [before, serial_in(identity)]
    assert before != serial_in(identity)


@pytest.mark.parametrize("size", [1, 100, 16_384, 100_000])
def test_what_is_said_arrives_on_either_side(authority, tmp_path, size):
    tunnel = Certificates().begin(authority.enrol(tmp_path, "sim-1"), HOST)
    server = Server(authority.server(tmp_path))
    shake(tunnel, server)
    said = bytes(number % 251 for number in range(size))
    tunnel.say(said)
    server.heard(tunnel.take())
    heard = b""
    while len(heard) < size:
        heard += server.tls.read(65_536)
    assert heard == said
    sealed = server.say(said)
    assert size < 100 or said not in sealed
    # However the network cuts it.
    opened = [tunnel.heard(sealed[at : at + 1000]) for at in range(0, len(sealed), 1000)]
    assert b"".join(opened) == said


def test_a_goodbye_is_heard_and_said(authority, tmp_path):
    tunnel = Certificates().begin(authority.enrol(tmp_path, "sim-1"), HOST)
    server = Server(authority.server(tmp_path))
    shake(tunnel, server)
    tunnel.say_goodbye()
    server.heard(tunnel.take())
    assert server.tls.read(10) == b""
    tunnel = Certificates().begin(authority.enrol(tmp_path, "sim-2"), HOST)
    server = Server(authority.server(tmp_path))
    shake(tunnel, server)
    last = server.say(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        server.tls.unwrap()
    assert tunnel.heard(last + server._out.read()) == b"last"
    assert tunnel.ended


def test_nothing_can_be_said_after_a_goodbye(authority, tmp_path):
    tunnel = Certificates().begin(authority.enrol(tmp_path, "sim-1"), HOST)
    shake(tunnel, Server(authority.server(tmp_path)))
    tunnel.say_goodbye()
    with pytest.raises(TlsBroken):
        tunnel.say(b"one more thing")


def test_a_server_of_another_authority_is_not_believed(authority, tmp_path):
    tunnel = Certificates().begin(authority.enrol(tmp_path, "sim-1"), HOST)
    stranger = Server(Authority().server(tmp_path))
    with pytest.raises(TlsBroken, match="CERTIFICATE_VERIFY_FAILED"):
        shake(tunnel, stranger)
    assert tunnel.take(), "the other side is told why"


def test_devices_of_two_authorities_believe_each_their_own(authority, tmp_path):
    other, certificates = Authority(), Certificates()
    for each in (authority, other, authority):
        folder = tmp_path / str(id(each))
        folder.mkdir(exist_ok=True)
        shake(certificates.begin(each.enrol(folder, "sim-1"), HOST), Server(each.server(folder)))


def test_a_device_that_is_not_believed_hears_why(authority, tmp_path):
    identity = authority.enrol(tmp_path, "sim-1")
    (identity / "device.pem").write_bytes(Authority().certified("sim-1"))
    tunnel, server = Certificates().begin(identity, HOST), Server(authority.server(tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(tunnel, server)
    with pytest.raises(TlsBroken, match=r"UNKNOWN_CA|DECRYPT_ERROR|BAD_CERTIFICATE"):
        tunnel.heard(server._out.read())


def test_what_is_no_tls_has_a_name(authority, tmp_path):
    tunnel = Certificates().begin(authority.enrol(tmp_path, "sim-1"), HOST)
    with pytest.raises(TlsBroken):
        tunnel.heard(b"INFO {} this is NATS speaking\r\n" * 4)


@pytest.mark.parametrize("name", ["authority.pem", "device.pem"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nnothing\n", b"\xff\xfe"])
def test_an_identity_that_can_t_be_used_is_named_and_harms_no_other(authority, tmp_path, name, content):
    good, broken = authority.enrol(tmp_path, "sim-1"), authority.enrol(tmp_path, "sim-2")
    certificates = Certificates()
    certificates.load(good)
    file = broken / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(IdentityUnusable, match="sim-2") as refused:
        certificates.begin(broken, HOST)
    assert "vedette device enroll" in refused.value.mend
    server = Server(authority.server(tmp_path))
    shake(certificates.begin(good, HOST), server)
    assert server.serial.lstrip("0") == serial_in(good)


def test_a_certificate_with_another_one_s_key_is_refused(authority, tmp_path):
    identity = authority.enrol(tmp_path, "sim-1")
    key, _, _ = authority.certified("sim-1").partition(b"-----BEGIN CERTIFICATE")
    _, mark, certificate = (identity / "device.pem").read_bytes().partition(b"-----BEGIN CERTIFICATE")
    IdentityFolder(identity).device_file.write_bytes(key + mark + certificate)
    with pytest.raises(IdentityUnusable):
        Certificates().begin(identity, HOST)
