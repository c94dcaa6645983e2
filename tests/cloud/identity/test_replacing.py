"""The authority is replaced by another while devices go on; what would leave one behind is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from cloud.adapters import identity_files
from cloud.adapters.files import replace_file
from cloud.adapters.identity_files import IdentityFolder, Replacement
from cloud.cli import app
from cloud.identity.errors import AuthorityUnusable
from tests.cloud.broker.mosquitto import KINDS, Serving, served_by
from tests.cloud.identity.certified import Certificated, enrolled, new_request
from tests.cloud.running import Service, eventually
from tests.cloud.samples import NOW, alert, new_id
from wire.codec import decode, encode
from wire.identity import CERTIFICATES_PATH, Certified, Renewal
from wire.topics import Channel


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


@pytest.fixture(params=KINDS)
async def serving(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    async with served_by(request.param, tmp_path) as serving:
        yield serving


async def types(tmp_path: Path, *words: str, code: int = 0) -> str:
    """What a person types on the service's machine, beside the running service."""
    command = ["authority", *words, "--data-dir", str(tmp_path / "data")]
    done = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert done.exit_code == code, (done.output, done.stderr)
    return done.output + done.stderr


async def renews(device: Certificated) -> None:
    key, request = new_request(device.name)
    asked = Renewal(message_id=new_id(), device=device.name, made_at=NOW, request=request)
    async with device.http() as http:
        answer = await http.post(CERTIFICATES_PATH, content=encode(asked))
    assert answer.status_code == 200, answer.text
    given = decode(Certified, answer.content)
    device.keep(key, given.certificate, given.authorities)


async def is_heard(device: Certificated, service: Service, sequence: int) -> None:
    device.service = service
    async with device.connected() as speaking:
        message = alert(device.name, sequence=sequence)
        await speaking.say(Channel.ALERTS, message)
        await speaking.until_acked(message)


def its_own(device: Certificated) -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = serialization.load_pem_private_key((device.folder / "device.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, (device.folder / "device.pem").read_text()


def signed_by(device: Certificated, data: Path) -> bool:
    """By the authority that there is now."""
    authority = x509.load_pem_x509_certificate((data / "identity" / "authority.pem").read_bytes())
    try:
        device.certificate.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):
        return False
    return True


def test_each_step_has_devices_believe_those_that_there_are(folder: IdentityFolder) -> None:
    first = folder.authority(NOW)
    assert believed(folder) == {first.digest}
    folder.begin_replacement(NOW)
    coming = folder.authority(NOW)
    assert coming.digest == first.digest
    assert len(believed(folder)) == 2
    folder.note_served(NOW)
    assert folder.replacement() == Replacement(phase="coming", served_at=NOW)
    folder.switch()
    second = folder.authority(NOW)
    assert second.digest != first.digest
    assert believed(folder) == {first.digest, second.digest}
    assert folder.replacement() == Replacement(phase="retiring")
    assert second.revocation_list(["ab"], NOW, timedelta(days=1)).count(b"BEGIN X509 CRL") == 2
    folder.finish_replacement()
    assert folder.authority(NOW).digest == second.digest
    assert believed(folder) == {second.digest}
    assert folder.replacement() is None
    assert {file.name for file in folder.root.iterdir()} == {"authority.key", "authority.pem", "authorities.pem"}


def believed(folder: IdentityFolder) -> set[str]:
    folder.authority(NOW)
    found = x509.load_pem_x509_certificates(folder.files.ca_file.read_bytes())
    return {f"sha256:{one.fingerprint(hashes.SHA256()).hex()}" for one in found}


@pytest.mark.parametrize("written", range(1, 6))
def test_a_switch_that_breaks_off_is_done_again(
    folder: IdentityFolder, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = folder.authority(NOW).digest
    folder.begin_replacement(NOW)
    count = 0

    def breaks_off(path: Path, text: str) -> None:
        nonlocal count
        count += 1
        if count == written:
            raise OSError(28, "No space left on device")
        replace_file(path, text)

    monkeypatch.setattr(identity_files, "replace_file", breaks_off)
    with pytest.raises(AuthorityUnusable, match="can't be written"):
        folder.switch()
    monkeypatch.undo()
    folder.switch()
    assert folder.authority(NOW).digest != first
    assert len(believed(folder)) == 2


def test_only_one_replacement_at_a_time_and_a_damaged_note_is_named(folder: IdentityFolder) -> None:
    folder.authority(NOW)
    folder.begin_replacement(NOW)
    with pytest.raises(AuthorityUnusable, match="being replaced already"):
        folder.begin_replacement(NOW)
    (folder.root / "replacement.json").write_text("{")
    with pytest.raises(AuthorityUnusable, match="is damaged"):
        folder.replacement()


async def test_steps_out_of_order_and_an_external_authority_are_refused(tmp_path: Path) -> None:
    for step in ("switch", "finish"):
        assert "not the next step" in await types(tmp_path, step, code=1)
    (tmp_path / "service.toml").write_text(
        'tls = true\n[identity]\nauthority = "external"\nca_file = "a"\ncert_file = "b"\nkey_file = "c"\n'
    )
    said = await types(tmp_path, "replace", "--config", str(tmp_path / "service.toml"), code=1)
    assert "the authority is an external one" in said


@pytest.mark.parts
async def test_a_fleet_comes_to_another_authority_without_enrolling_anew(serving: Serving, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving() as service:
        cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
        first = (data / "identity" / "authority.pem").read_text()
        cam_1.keep(*its_own(cam_1), first)
        await types(tmp_path, "replace")
        assert "was not restarted" in await types(tmp_path, "switch", code=1)
        await is_heard(cam_1, service, 1)
    async with serving() as service:
        await is_heard(cam_1, service, 2)
        assert "enrolled anew: cam-1" in await types(tmp_path, "switch", code=1)
        await renews(cam_1)
        assert "Every device is done" in await types(tmp_path, "show")
        await types(tmp_path, "switch")
    assert (data / "identity" / "authority.pem").read_text() != first
    async with serving() as service:
        # Its certificate is by the old one still, and the service's by the new one, in which it believes.
        assert not signed_by(cam_1, data)
        await is_heard(cam_1, service, 3)
        assert "enrolled anew: cam-1" in await types(tmp_path, "finish", code=1)
        newcomer = await enrolled(service, "cam-2", tmp_path / "cam-2")
        await is_heard(newcomer, service, 1)
        by_the_old = Certificated("cam-1", tmp_path / "old", service)
        by_the_old.keep(*its_own(cam_1), (cam_1.folder / "authorities.pem").read_text())
        await renews(cam_1)
        assert signed_by(cam_1, data)
        await types(tmp_path, "finish")
    async with serving() as service:
        await is_heard(cam_1, service, 4)
        await is_heard(newcomer, service, 2)
        by_the_old.service = service

        async def is_kept_out() -> bool:
            try:
                async with by_the_old.mqtt():
                    return False
            except aiomqtt.MqttError:
                return True

        await eventually(is_kept_out)
