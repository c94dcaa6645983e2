"""Who is let in over TLS, by broker and HTTP alike: tried against the real service."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import httpx
import pytest

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.adapters.identity_files import IdentityFolder
from cloud.identity.authority import Authority, pem_of, read_request
from tests.cloud.identity.certified import Certificated, claim_for, enrolled, new_request, redeem
from tests.cloud.running import Service, eventually, running
from tests.cloud.samples import BOUND_S, NOW, alert, new_id
from wire.codec import decode, encode
from wire.identity import AUTHORITY_PATH, CERTIFICATES_PATH, Certified, Renewal
from wire.topics import Channel, topic

pytestmark = pytest.mark.parts


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path / "data", tls=True, device_port=0) as service:
        yield service


@pytest.fixture
async def cam_1(service: Service, tmp_path: Path) -> Certificated:
    return await enrolled(service, "cam-1", tmp_path / "cam-1")


async def refused(client: aiomqtt.Client) -> bool:
    try:
        async with client:
            return False
    except aiomqtt.MqttError:
        return True


async def check_refused(answer: httpx.Response, status: int, error: str) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text


async def test_enrolled_device_speaks_and_is_acked(cam_1: Certificated) -> None:
    async with cam_1.connected() as device:
        message = alert()
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)
    async with cam_1.http() as http:
        assert (await http.get("/v1/repository/metadata/timestamp.json")).status_code == 404


async def test_addresses_are_those_of_tls(service: Service) -> None:
    assert service.addresses.mqtt.startswith("mqtts://")
    assert service.addresses.devices.startswith("https://")


async def test_claim_works_once_and_again_only_for_the_same_key(service: Service, tmp_path: Path) -> None:
    device = Certificated("cam-1", tmp_path / "cam-1", service)
    claim = await claim_for(service, "cam-1")
    key, request = new_request("cam-1")
    first = await redeem(device, claim, request)
    again = await redeem(device, claim, request)
    assert (first.status_code, again.status_code) == (200, 200)
    await check_refused(await redeem(device, claim, new_request("cam-1")[1]), 403, "ClaimRefused")
    device.keep(key, decode(Certified, first.content).certificate)
    async with device.http() as http:
        await check_refused(await http.get("/v1/repository/metadata/root.json"), 401, "CertificateRefused")
    device.keep(key, decode(Certified, again.content).certificate)
    async with device.connected():
        pass


async def test_claim_of_another_device_or_expired_or_replaced_is_refused(service: Service, tmp_path: Path) -> None:
    stranger = Certificated("cam-2", tmp_path / "cam-2", service)
    claim = await claim_for(service, "cam-1")
    await claim_for(service, "cam-2")
    await check_refused(await redeem(stranger, claim, new_request("cam-2")[1], "cam-2"), 403, "ClaimRefused")
    await check_refused(await redeem(stranger, claim, new_request("cam-9")[1]), 400, "SigningRefused")
    await claim_for(service, "cam-1")
    await check_refused(await redeem(stranger, claim, new_request("cam-1")[1]), 403, "ClaimRefused")
    short = await claim_for(service, "cam-1", identity={"claim_minutes": 1e-6})
    await check_refused(await redeem(stranger, short, new_request("cam-1")[1]), 403, "ClaimRefused")


async def test_strangers_are_slowed_down_together(tmp_path: Path) -> None:
    door = {"enrolments_at_once": 2, "enrolments_per_s": 0.001}
    async with running(tmp_path / "data", tls=True, device_port=0, door=door) as service:
        stranger = Certificated("cam-1", tmp_path / "cam-1", service)
        claim = await claim_for(service, "cam-1")
        first, again, more = [await redeem(stranger, claim, new_request("cam-1")[1]) for _ in range(3)]
        assert first.status_code == 200
        await check_refused(again, 403, "ClaimRefused")
        await check_refused(more, 429, "TooManyRequests")
        assert more.json()["message"] == "more devices enrol at once than may"


async def test_authority_is_told_to_strangers_and_nothing_else(service: Service, tmp_path: Path) -> None:
    stranger = Certificated("cam-1", tmp_path / "nobody", service)
    async with stranger.http() as http:
        told = await http.get(AUTHORITY_PATH)
        assert told.text.startswith("-----BEGIN CERTIFICATE-----")
        for path in ("/v1/repository/metadata/root.json", "/v1/questions", CERTIFICATES_PATH):
            await check_refused(await http.post(path), 401, "CertificateRefused")
        for path in ("/", "/api/devices", "/readyz", "/openapi.json"):
            await check_refused(await http.get(path), 404, "NotFound")
    assert await refused(stranger.mqtt())


async def test_dashboard_s_api_is_not_behind_the_devices_door(cam_1: Certificated) -> None:
    async with cam_1.http() as http:
        for path in ("/", "/api/devices", "/api/alerts", "/api/commands"):
            await check_refused(await http.get(path), 404, "NotFound")


async def test_certificate_of_a_foreign_authority_is_refused(service: Service, tmp_path: Path) -> None:

    await enrolled(service, "cam-1", tmp_path / "cam-1")
    now = datetime.now(UTC)
    key, request = new_request("cam-1")
    forged = Certificated("cam-1", tmp_path / "forged", service)
    forged.keep(key, pem_of(Authority.create(now).certify_device(read_request(request), now, timedelta(days=1))))
    assert await refused(forged.mqtt())
    async with forged.http() as http:
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            await http.get("/v1/repository/metadata/root.json")


async def test_neither_user_nor_client_id_of_another_is_lent(
    service: Service, cam_1: Certificated, tmp_path: Path
) -> None:
    thief = await enrolled(service, "cam-2", tmp_path / "cam-2")
    async with cam_1.connected() as rightful:
        assert await refused(thief.mqtt(user="cam-1"))
        assert await refused(thief.mqtt(client_id="cam-1"))
        assert await refused(thief.mqtt(user="cam-1", client_id="cam-1"))
        assert await refused(thief.mqtt(user="_vedette_cloud", client_id="_vedette_cloud"))
        message = alert()
        await rightful.say(Channel.ALERTS, message)
        await rightful.until_acked(message)


async def test_foreign_topics_are_neither_written_nor_read(
    service: Service, cam_1: Certificated, tmp_path: Path
) -> None:
    spy = await enrolled(service, "cam-2", tmp_path / "cam-2")
    async with spy.connected() as listening, cam_1.connected() as device:
        await listening.client.subscribe("vedette/v1/cam-1/#", qos=1)
        spoofed = alert("cam-2")
        await device.client.publish(topic("cam-2", Channel.ALERTS), encode(spoofed), qos=1)
    async with cam_1.connected() as device:
        honest = alert()
        await device.say(Channel.ALERTS, honest)
        await device.until_acked(honest)
    shown = await service.get("/api/alerts")
    assert [one["id"] for one in shown["alerts"]] == [honest.id]  # type: ignore[index]
    assert listening.heard == []


async def test_revoked_device_is_cut_off_and_kept_out_everywhere(service: Service, cam_1: Certificated) -> None:
    async with cam_1.http() as http, cam_1.connected() as device:
        assert (await http.get("/v1/repository/metadata/root.json")).status_code == 404
        await service.revoke("cam-1")
        # The same connection, kept alive.
        await check_refused(await http.get("/v1/repository/metadata/root.json"), 401, "CertificateRefused")
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait({device.client._disconnected})  # aiomqtt says it here alone
    assert await refused(cam_1.mqtt())


async def test_renewed_certificate_is_as_good_and_the_old_one_lives_on(cam_1: Certificated) -> None:
    old = cam_1.certificate.serial_number
    key, request = new_request("cam-1")
    asked = Renewal(message_id=new_id(), device="cam-1", made_at=NOW, request=request)
    async with cam_1.http() as http:
        answer = await http.post(CERTIFICATES_PATH, content=encode(asked))
        other = asked.model_copy(update={"device": "cam-2"})
        await check_refused(await http.post(CERTIFICATES_PATH, content=encode(other)), 403, "DeviceMismatch")
    async with cam_1.connected():
        pass
    cam_1.keep(key, decode(Certified, answer.content).certificate)
    assert cam_1.certificate.serial_number != old
    async with cam_1.connected():
        pass


async def test_service_s_certificate_is_renewed_while_it_runs(service: Service, cam_1: Certificated) -> None:
    (service.data_dir / "identity" / "service.pem").unlink()

    folder = IdentityFolder(DataDir(service.data_dir).identity)
    now = SystemClock().wall()
    assert folder.certify(folder.authority(now), ["127.0.0.1", "localhost"], "_vedette_cloud", now)
    assert not folder.certify(folder.authority(now), ["127.0.0.1"], "_vedette_cloud", now)
    async with cam_1.connected():
        pass
    await eventually(_ready(service))


def _ready(service: Service):
    async def ready() -> bool:
        return (await service.http.get("/readyz")).status_code == 200

    return ready
