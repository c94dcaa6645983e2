"""The service with a broker that somebody else runs: the same rules, and neither's restart loses anything."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiomqtt
import nats
import nats.errors
import pytest
from cryptography import x509
from typer.testing import CliRunner

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.adapters.nats_callout import AccountKey, BrokerAddress, Holder, open_callout
from cloud.adapters.nats_claims import Connecting
from cloud.adapters.nats_config import BrokerSecrets
from cloud.brokers import AUTHORITY_FILE, CERT_FILE, CONFIG_FILE, KEY_FILE, prepare_broker
from cloud.cli import app
from cloud.config import load_settings
from cloud.errors import BindRefused, BrokerFailed, LinkLost, SettingsInvalid
from cloud.identity.errors import AuthorityUnusable
from cloud.ingest.counters import Counters
from tests.cloud.broker.external import external_broker
from tests.cloud.identity.certified import Certificated, enrolled
from tests.cloud.running import eventually, running, settings_for
from tests.cloud.samples import BOUND_S, alert, connected
from tests.ports import free_port
from wire.topics import Channel


def spelt(file: Path) -> str:
    return ssl.PEM_cert_to_DER_cert(file.read_text()).hex()


async def refused(client: aiomqtt.Client) -> bool:
    try:
        async with client:
            return False
    except aiomqtt.MqttError:
        return True


@pytest.mark.parts
async def test_device_is_known_by_its_certificate_and_nobody_else_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with (
        external_broker(tmp_path, data, tls=True, device_port=0) as broker,
        running(data, **broker.options) as service,
    ):
        assert service.addresses.mqtt == f"mqtts://127.0.0.1:{broker.options['mqtt_port']}"
        cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
        thief = await enrolled(service, "cam-2", tmp_path / "cam-2")
        async with cam_1.connected() as device:
            assert await refused(thief.mqtt(user="cam-1", client_id="cam-1"))
            assert await refused(Certificated("cam-3", tmp_path / "nobody", service).mqtt())
            message = alert()
            await device.say(Channel.ALERTS, message)
            await device.until_acked(message)
        # A device's certificate opens the service's own door to the broker no further than MQTT's.
        at = f"tls://127.0.0.1:{broker.options['broker']['client_port']}"  # type: ignore[index]
        for words in ({}, {"user": "cam-1", "password": "x"}, {"user": "system", "password": "x"}):
            with pytest.raises((nats.errors.Error, OSError)):
                await nats.connect(at, tls=cam_1.context, allow_reconnect=False, error_cb=_silent, **words)


async def _silent(_error: Exception) -> None:
    """The library logs otherwise."""


@pytest.mark.parts
async def test_revoked_while_the_service_was_away_is_cut_off_when_it_is_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with external_broker(tmp_path, data, tls=True, device_port=0) as broker:
        async with running(data, **broker.options) as service:
            cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
            client = cam_1.mqtt()
            await client.__aenter__()
        # The broker keeps the device, and its words, while there is no service.
        await asyncio.wait_for(client.publish("vedette/v1/cam-1/up/alerts", b"{}", qos=1), BOUND_S)
        await service.revoke("cam-1")
        async with running(data, **broker.options), asyncio.timeout(BOUND_S):
            await asyncio.wait({client._disconnected})  # aiomqtt says it here alone


@pytest.mark.parts
async def test_what_is_said_while_the_service_is_away_and_over_the_brokers_death_is_stored(tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = [alert(sequence=number) for number in (1, 2, 3)]
    async with external_broker(tmp_path, data) as broker:
        async with running(data, **broker.options) as service:
            token = await service.enroll("cam-1")
            async with connected(service.addresses.mqtt, "cam-1", token) as device:
                await device.say(Channel.ALERTS, said[0])
                await device.until_acked(said[0])

                await broker.kill()

                async def says(ready: int) -> bool:
                    return (await service.http.get("/readyz")).status_code == ready

                await eventually(lambda: says(503))
                await broker.start()
                await eventually(lambda: says(200))
            device = connected(service.addresses.mqtt, "cam-1", token)
            again = await device.__aenter__()
        await again.say(Channel.ALERTS, said[1])
        async with running(data, **broker.options) as service:
            await again.until_acked(said[1])
            await again.say(Channel.ALERTS, said[2])
            await again.until_acked(said[2])
            shown = await service.get("/api/alerts")
            assert len(shown["alerts"]) == 3  # type: ignore[index]
            await device.__aexit__(None, None, None)


@pytest.mark.parts
async def test_the_brokers_certificate_is_made_anew_where_it_is_due_and_taken_up_without_a_restart(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    file = tmp_path / "broker" / CERT_FILE
    async with external_broker(tmp_path, data, tls=True, device_port=0) as broker:
        async with running(data, **broker.options) as service:
            cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")

        async def shown() -> str:
            port = broker.options["mqtt_port"]
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=cam_1.context)
            der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            return der.hex()

        before = spelt(file)
        assert await shown() == before
        file.unlink()
        async with running(data, **broker.options):
            assert spelt(file) != before

            async def is_new() -> bool:
                return await shown() == spelt(file)

            await eventually(is_new)


def test_prepared_twice_is_as_prepared_once(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path / "data", tls=True, mqtt_port=8883, broker={"host": "broker", "folder": str(tmp_path / "for")}
    )
    data = DataDir(settings.data_dir)
    data.make()
    prepare_broker(settings, data, SystemClock())
    first = {file.name: file.read_bytes() for file in (tmp_path / "for").iterdir()}
    prepare_broker(settings, data, SystemClock())
    assert {file.name: file.read_bytes() for file in (tmp_path / "for").iterdir()} == first
    assert first.keys() == {CONFIG_FILE, AUTHORITY_FILE, CERT_FILE, KEY_FILE}
    assert {oct(file.stat().st_mode & 0o777) for file in (tmp_path / "for").iterdir()} == {"0o600"}
    told = x509.load_pem_x509_certificate(first[CERT_FILE]).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert told.value.get_values_for_type(x509.DNSName) == ["broker"]


def test_an_authority_of_ones_own_certifies_the_broker_itself(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    files = {name: str(tmp_path / "ca.pem") for name in ("ca_file", "cert_file", "key_file")}
    folder = tmp_path / "for"
    settings = settings_for(
        tmp_path / "data",
        tls=True,
        mqtt_port=8883,
        identity={"authority": "external", **files},
        broker={"host": "broker", "folder": str(folder)},
    )
    data = DataDir(settings.data_dir)
    data.make()
    with pytest.raises(AuthorityUnusable, match=r"broker\.pem and broker\.key of broker are not in"):
        prepare_broker(settings, data, SystemClock())
    for name in (CERT_FILE, KEY_FILE):
        (folder / name).write_text("")
    prepare_broker(settings, data, SystemClock())
    assert (folder / AUTHORITY_FILE).read_text() == (tmp_path / "ca.pem").read_text()


@pytest.mark.parametrize("broken", ["{", '{"cloud": "feed"}'])
def test_damaged_secrets_are_named_and_never_shown(tmp_path: Path, broken: str) -> None:
    settings = settings_for(tmp_path, mqtt_port=1883, broker={"host": "127.0.0.1", "folder": str(tmp_path / "for")})
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "secrets.json").write_text(broken)
    with pytest.raises(BrokerFailed, match="vedette broker prepare") as failed:
        prepare_broker(settings, DataDir(tmp_path), SystemClock())
    assert "feed" not in str(failed.value)


def test_a_broker_is_not_spoken_to_in_plain_text_over_a_network(tmp_path: Path) -> None:
    broker = {"host": "broker.example", "folder": str(tmp_path / "for")}
    with pytest.raises(BindRefused, match=r"broker\.host"):
        prepare_broker(settings_for(tmp_path, mqtt_port=1883, broker=broker), DataDir(tmp_path), SystemClock())
    allowed = settings_for(tmp_path, mqtt_port=1883, broker=broker, allow_plaintext=True)
    prepare_broker(allowed, DataDir(tmp_path), SystemClock())
    assert "tls" not in (tmp_path / "for" / CONFIG_FILE).read_text()


def test_without_a_broker_there_is_nothing_to_prepare(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["broker", "prepare", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "the service runs its own" in done.stderr) == (3, True)


@pytest.mark.parametrize("half", ['host = "broker"', 'folder = "broker"', 'hots = "broker"'])
def test_half_of_a_broker_is_refused(tmp_path: Path, half: str) -> None:
    (tmp_path / "service.toml").write_text(f"[broker]\n{half}\n")
    with pytest.raises(SettingsInvalid, match=r"broker"):
        load_settings(tmp_path / "service.toml", {})


def test_any_free_port_is_no_port_of_a_broker_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(f'mqtt_port = 0\n[broker]\nhost = "127.0.0.1"\nfolder = "{tmp_path}"\n')
    with pytest.raises(SettingsInvalid, match="mqtt_port"):
        load_settings(tmp_path / "service.toml", {})


class Nobody:
    async def holder(self, who: Connecting) -> Holder | None:
        return None


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    at = BrokerAddress("127.0.0.1", free_port(), within_s=0.2)
    with pytest.raises(LinkLost, match=f"127.0.0.1:{at.port} can't be reached as auth"):
        async with open_callout(
            at=at,
            passwords=BrokerSecrets(),
            signer=AccountKey(),
            credentials=Nobody(),
            counter=Counters(),
            clock=SystemClock(),
        ):
            pass
