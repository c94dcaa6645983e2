"""`vedette-agent enroll` against the real service, and against what is not it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.adapters.cloud_http import CloudHttp, Shown
from agent.adapters.identity_folder import IdentityFolder
from agent.app.enrol import enroll, enroll_once, renew
from agent.ask.settings import AskSettings
from agent.config import check_config
from agent.deliver.ledger import Ledger
from agent.errors import AskRefused, AuthorityMismatch, ConfigInvalid, EnrolmentFailed
from tests.agent.deliver.kept_receipts import KeptReceipts
from tests.cloud.identity.certified import claim_for
from tests.cloud.running import Service, running
from tests.cloud.samples import BOUND_S, JPEG
from tests.ports import free_port
from wire.errors import NotOurs, VedetteError
from wire.identity import Claim

pytestmark = pytest.mark.parts


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path / "data", tls=True, device_port=0) as service:
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


def now() -> datetime:
    return datetime.now(UTC)


async def enrol(claim: Claim, folder: IdentityFolder):
    return await asyncio.to_thread(enroll, claim.spell(), folder, now)


async def test_claim_becomes_a_certificate_and_a_configuration(service: Service, folder: IdentityFolder) -> None:
    enrolled = await enrol(await claim_for(service, "gate-1"), folder)
    assert (enrolled.device, enrolled.http, enrolled.mqtt) == (
        "gate-1",
        service.addresses.devices,
        service.addresses.mqtt,
    )
    life = enrolled.expires_at - now()
    assert 0.6 < (enrolled.renew_at - now()) / life < 0.7
    ssl.create_default_context().load_cert_chain(folder.device_file)
    values = {
        "identity": str(folder.root),
        "data_dir": "x",
        "cameras": [{"name": "gate", "source": "clip.avi"}],
        "rules": [{"name": "anyone", "labels": ["person"]}],
    }
    quiet = check_config(values, "agent.toml")
    assert (quiet.device, quiet.link.url, quiet.link.cert_file, quiet.ask) == (
        "gate-1",
        service.addresses.mqtt,
        folder.device_file,
        None,
    )
    asking = check_config(values | {"ask": {}, "link": {"url": "mqtts://elsewhere"}}, "agent.toml")
    assert asking.ask is not None
    assert (asking.ask.url, asking.ask.ca_file) == (service.addresses.devices, folder.authority_file)
    assert (asking.link.url, asking.link.cert_file) == ("mqtts://elsewhere", None)


async def test_another_authority_than_the_claim_s_is_never_spoken_to(
    service: Service, folder: IdentityFolder
) -> None:
    claim = await claim_for(service, "gate-1")
    false = claim.model_copy(update={"authority": "sha256:" + "00" * 32})
    with pytest.raises(AuthorityMismatch, match="another authority"):
        await enrol(false, folder)
    assert not folder.root.exists()
    # It was not told the secret: the claim is good still.
    await enrol(claim, folder)


async def test_enrolment_that_broke_off_goes_on_with_the_same_claim(service: Service, folder: IdentityFolder) -> None:
    claim = await claim_for(service, "gate-1")
    away = claim.model_copy(update={"http": f"https://127.0.0.1:{free_port()}"})
    with pytest.raises(EnrolmentFailed, match="can't be reached"):
        await enrol(away, folder)
    # The answer came, and the disk refused it.
    in_the_way = folder.root / "device.pem"
    in_the_way.mkdir(parents=True)
    with pytest.raises(EnrolmentFailed, match="can't be written"):
        await enrol(claim, folder)
    assert folder.enrolled() is None
    in_the_way.rmdir()
    assert (await enrol(claim, folder)).device == "gate-1"
    assert sorted(file.name for file in folder.root.iterdir()) == ["authority.pem", "device.pem", "enrolment.json"]


async def test_used_claim_is_refused_in_words(service: Service, folder: IdentityFolder, tmp_path: Path) -> None:
    claim = await claim_for(service, "gate-1")
    await enrol(claim, folder)
    with pytest.raises(EnrolmentFailed, match="the claim was used already"):
        await enrol(claim, IdentityFolder(tmp_path / "thief"))


async def test_renewal_changes_the_key_and_a_revoked_device_keeps_what_it_had(
    service: Service, folder: IdentityFolder
) -> None:
    await enrol(await claim_for(service, "gate-1"), folder)
    before = folder.device_file.read_bytes()
    await asyncio.to_thread(renew, folder, now)
    after = folder.device_file.read_bytes()
    assert after != before
    await service.revoke("gate-1")
    with pytest.raises(EnrolmentFailed, match="CertificateRefused"):
        await asyncio.to_thread(renew, folder, now)
    assert folder.device_file.read_bytes() == after


async def test_what_is_asked_over_https_is_asked_under_the_certificate_as_it_is_now(
    service: Service, folder: IdentityFolder
) -> None:
    await enrol(await claim_for(service, "gate-1"), folder)
    receipts = KeptReceipts()
    settings = AskSettings(url=service.addresses.devices, ca_file=folder.authority_file, cert_file=folder.device_file)
    cloud = CloudHttp(settings, token=lambda: None, ledger=Ledger(), receipts=receipts)
    for renewed in (False, True, True):
        if renewed:
            # What the device had before ends with it, the connection that is kept alive included.
            await enrol(await claim_for(service, "gate-1"), folder)
        with pytest.raises(AskRefused, match="there is no command"):
            await cloud.put_snapshot(Shown("0" * 32), JPEG, timeout_s=BOUND_S)
    await cloud.close()
    assert [outcome for _, outcome, _ in receipts.ended] == ["status 404"] * 3


async def test_plain_http_and_strangers_are_no_service(service: Service, folder: IdentityFolder) -> None:
    claim = await claim_for(service, "gate-1")
    plain = claim.model_copy(update={"http": service.addresses.http})
    with pytest.raises(EnrolmentFailed):
        await enrol(plain, folder)
    with pytest.raises(NotOurs):
        await asyncio.to_thread(enroll, "hello", folder, now)


def test_without_an_enrolment_there_is_nothing_to_renew_or_to_run(folder: IdentityFolder) -> None:
    with pytest.raises(EnrolmentFailed, match="no device is enrolled"):
        renew(folder, now)
    with pytest.raises(ConfigInvalid, match="no device is enrolled"):
        check_config({"identity": str(folder.root)}, "agent.toml")


def test_damaged_enrolment_is_named(folder: IdentityFolder) -> None:
    folder.root.mkdir()
    (folder.root / "enrolment.json").write_text('{"device": "gate-1"')
    with pytest.raises(ConfigInvalid, match="damaged"):
        check_config({"identity": str(folder.root)}, "agent.toml")


# --- a claim that is handed over at each start ----------------------------------------------------------------------


async def once(word: str, folder: IdentityFolder):
    return await asyncio.to_thread(enroll_once, word, folder, now)


async def test_a_claim_that_stays_in_its_place_is_redeemed_once(service: Service, folder: IdentityFolder) -> None:
    word = (await claim_for(service, "gate-1")).spell()
    enrolled, failed = await once(word + "\n", folder)
    assert (enrolled.device, failed) == ("gate-1", None)
    await asyncio.to_thread(renew, folder, now)
    renewed = folder.device_file.read_bytes()
    for again in (word, ""):
        assert (await once(again, folder))[1] is None
    assert folder.device_file.read_bytes() == renewed, "what was renewed is what counts"


async def test_another_claim_in_its_place_replaces_the_identity(service: Service, folder: IdentityFolder) -> None:
    await once((await claim_for(service, "gate-1")).spell(), folder)
    before = folder.device_file.read_bytes()
    assert (await once((await claim_for(service, "gate-1")).spell(), folder))[1] is None
    assert folder.device_file.read_bytes() != before


async def test_a_claim_that_can_t_be_redeemed_does_not_cost_the_identity_that_is_there(
    service: Service, folder: IdentityFolder, tmp_path: Path
) -> None:
    used, other = await claim_for(service, "gate-2"), IdentityFolder(tmp_path / "other")
    await enrol(used, other)
    away = used.model_copy(update={"http": f"https://127.0.0.1:{free_port()}"})
    for word in (used.spell(), away.spell(), "hello"):
        with pytest.raises(VedetteError):
            await once(word, folder)
    await once((await claim_for(service, "gate-1")).spell(), folder)
    kept = folder.device_file.read_bytes()
    for word in (used.spell(), away.spell(), "hello"):
        enrolled, failed = await once(word, folder)
        assert enrolled.device == "gate-1"
        assert failed is not None
    assert folder.device_file.read_bytes() == kept


async def test_a_damaged_identity_is_mended_by_a_claim_only(service: Service, folder: IdentityFolder) -> None:
    word = (await claim_for(service, "gate-1")).spell()
    await once(word, folder)
    (folder.root / "enrolment.json").write_text("{")
    with pytest.raises(ConfigInvalid, match="damaged"):
        await once("", folder)
    assert (await once((await claim_for(service, "gate-1")).spell(), folder))[1] is None


@pytest.mark.parametrize("handed_over", ["none", "none\n", "", None])
def test_neither_identity_nor_claim_is_named(
    folder: IdentityFolder, tmp_path: Path, handed_over: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "claim"
    if handed_over is not None:
        file.write_text(handed_over)
    assert main(["enroll", "--identity", str(folder.root), "--claim", str(file)]) != 0
    assert "there is neither an identity nor a claim" in capsys.readouterr().err
    assert not folder.root.exists()
