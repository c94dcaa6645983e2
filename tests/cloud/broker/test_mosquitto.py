"""What is mosquitto's own: the files it is started with, and revocations that it has to be told."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.adapters.mosquitto_door import MosquittoDoor, Threshold
from cloud.adapters.mosquitto_list import RevokedList
from cloud.adapters.mqtt_link import LinkSettings, MqttLink
from cloud.brokers import CERT_FILE, KEY_FILE, prepare_broker
from cloud.cli import app
from cloud.config import load_settings
from cloud.errors import BrokerFailed, LinkLost, SettingsInvalid
from cloud.identity.authority import Authority
from cloud.ingest.counters import Counters
from tests.cloud.broker.mosquitto import mosquitto
from tests.cloud.identity.certified import enrolled
from tests.cloud.running import Service, eventually, running, settings_for
from tests.cloud.samples import BOUND_S, NOW, ManualClock, alert, new_id, question, verdict
from wire.messages import Verdict
from wire.topics import Channel
from wire.updates import Desired

FILES = {"mosquitto.conf", "access.acl", "revoked.pem", "authority.pem", CERT_FILE, KEY_FILE}


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def _answers(service: Service, status: int) -> bool:
    return (await service.http.get("/readyz")).status_code == status


MOSQUITTO = 'tls = true\n[broker]\nkind = "mosquitto"\nhost = "127.0.0.1"\nfolder = "x"\n'
EXTERNAL = '[identity]\nauthority = "external"\nca_file = "a"\ncert_file = "b"\nkey_file = "c"'

# --- the files ------------------------------------------------------------------------------------------------------


def test_prepared_twice_is_as_prepared_once(tmp_path: Path) -> None:
    folder = tmp_path / "for"
    settings = settings_for(
        tmp_path / "data",
        tls=True,
        mqtt_port=8883,
        broker={"kind": "mosquitto", "host": "broker.example", "folder": str(folder)},
    )
    data = DataDir(settings.data_dir)
    data.make()
    command = prepare_broker(settings, data, SystemClock())
    first = files_of(folder)
    assert prepare_broker(settings, data, SystemClock()) == command == ["mosquitto", "-c", f"{folder}/mosquitto.conf"]
    assert files_of(folder) == first
    assert first.keys() == FILES
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {"0o640"}, "for mosquitto's group"
    assert "listener 8883\n" in first["mosquitto.conf"].decode()


def test_the_command_writes_them_and_says_what_to_start(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(
        f'tls = true\n[broker]\nkind = "mosquitto"\nhost = "127.0.0.1"\nfolder = "{tmp_path / "for"}"\n'
    )
    done = CliRunner().invoke(
        app, ["broker", "prepare", "--config", str(tmp_path / "service.toml"), "--data-dir", str(tmp_path / "data")]
    )
    assert (done.exit_code, done.stdout) == (0, f"mosquitto -c {tmp_path / 'for'}/mosquitto.conf\n")
    assert "listener 8883 127.0.0.1\n" in (tmp_path / "for" / "mosquitto.conf").read_text()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('tls = true\n[broker]\nkind = "mosquitto"', "give host and folder"),
        ('[broker]\nkind = "mosquitto"\nhost = "127.0.0.1"\nfolder = "x"', "set tls = true"),
        (MOSQUITTO + EXTERNAL, "embedded authority only"),
        ('[broker]\npid_file = "x"', "belongs to kind"),
    ],
)
def test_what_mosquitto_can_t_do_is_refused(tmp_path: Path, written: str, says: str) -> None:
    (tmp_path / "service.toml").write_text(written)
    with pytest.raises(SettingsInvalid, match=says):
        load_settings(tmp_path / "service.toml", {})


# --- the list -------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path: Path) -> RevokedList:
    return RevokedList(Authority.create(NOW), tmp_path / "revoked.pem", tmp_path / "canary.pem", tmp_path / "pid")


def test_a_list_holds_the_revoked_and_its_canary_as_long_as_the_authority_lives(listed: RevokedList) -> None:
    assert not listed.covers(())
    listed.write(["ab", "cd"], NOW)
    assert listed.covers(["ab"])
    assert listed.covers(["cd", "ab"])
    assert not listed.covers(["ef"])
    read = x509.load_pem_x509_crl(listed.file.read_bytes())
    assert len(read) == 3
    assert read.next_update_utc == listed.authority.certificate.not_valid_after_utc
    canary = listed.canary_file.read_text()
    assert listed.canary() == canary
    assert listed.canary_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["", "-----BEGIN X509 CRL-----\n", "not a list"])
def test_a_damaged_or_foreign_list_covers_nobody(listed: RevokedList, tmp_path: Path, damage: str) -> None:
    listed.write(["ab"], NOW)
    whole = listed.file.read_text()
    listed.file.write_text(damage)
    assert not listed.covers(())
    listed.file.write_text(whole)
    assert listed.covers(["ab"])
    other = RevokedList(Authority.create(NOW), listed.file, listed.canary_file)
    assert not other.covers(())


def test_a_list_that_can_t_be_written_is_named(listed: RevokedList, tmp_path: Path) -> None:
    nowhere = RevokedList(listed.authority, tmp_path / "none" / "revoked.pem", listed.canary_file)
    with pytest.raises(BrokerFailed, match=r"none/revoked\.pem can't be written"):
        nowhere.write((), NOW)


@pytest.mark.parametrize("pid", [None, "", "not a number", str(2**22 - 1)])
def test_a_mosquitto_that_does_not_run_need_not_be_told(listed: RevokedList, tmp_path: Path, pid: str | None) -> None:
    if pid is not None:
        (tmp_path / "pid").write_text(pid)
    listed.tell()


def test_a_process_that_has_mosquitto_s_old_number_is_left_alone(listed: RevokedList, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as somebody:
        (tmp_path / "pid").write_text(str(somebody.pid))
        listed.tell()
        with pytest.raises(subprocess.TimeoutExpired):
            somebody.wait(0.2)
        somebody.kill()


class Welcome:
    async def revoked(self) -> dict[str, str]:
        return {}

    async def lapsed(self, since: datetime) -> list[str]:
        return []


async def test_a_broker_that_is_not_there_is_named_once(
    listed: RevokedList, caplog: pytest.LogCaptureFixture
) -> None:
    at = Threshold("127.0.0.1", 1, ssl.create_default_context)
    door = MosquittoDoor(unwelcome=Welcome(), listed=listed, at=at, clock=ManualClock())
    for _ in range(2):
        with pytest.raises(LinkLost, match=r"the broker at 127\.0\.0\.1:1 does not answer"):
            await door.look()
    assert len([record for record in caplog.records if record.name == "cloud.adapters.mosquitto_door"]) == 1
    assert not door.working


# --- the real one ---------------------------------------------------------------------------------------------------


@pytest.mark.parts
async def test_a_broker_that_does_not_read_the_list_is_told_of_until_it_does(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with mosquitto(tmp_path, data, signalled=False) as broker, running(data, **broker.options) as service:
        cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
        await eventually(lambda: _answers(service, 200))
        async with cam_1.mqtt() as client:
            await service.revoke("cam-1")
            await eventually(lambda: _answers(service, 503))
            answer = (await service.http.get("/readyz")).json()
            assert [name for name, works in answer["parts"].items() if not works] == ["revocations"]
            assert not client._disconnected.done()
            await broker.reload()
            async with asyncio.timeout(BOUND_S):
                await asyncio.wait({client._disconnected})
        await eventually(lambda: _answers(service, 200))


@pytest.mark.parts
async def test_reading_the_list_again_and_again_does_not_bring_it_down_while_devices_come_and_go(
    tmp_path: Path,
) -> None:
    """`mosquitto()` sees at its end that it still ran."""
    data = tmp_path / "data"
    async with mosquitto(tmp_path, data) as broker, running(data, **broker.options) as service:
        devices = [await enrolled(service, name, tmp_path / name) for name in ("cam-1", "cam-2")]
        for sequence in range(1, 21):
            for one in devices:
                async with one.connected() as device:
                    message = alert(one.name, sequence=sequence)
                    await device.say(Channel.ALERTS, message)
                    await device.until_acked(message)
            await broker.reload()


@pytest.mark.parts
async def test_kill_9_of_mosquitto_and_a_service_that_is_away_lose_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = [alert(sequence=number) for number in (1, 2, 3)]
    async with mosquitto(tmp_path, data) as broker:
        async with running(data, **broker.options) as service:
            cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
            async with cam_1.connected() as device:
                await device.say(Channel.ALERTS, said[0])
                await device.until_acked(said[0])
            revoked = (tmp_path / "broker" / "revoked.pem").read_bytes()
        async with cam_1.connected() as device:
            await device.say(Channel.ALERTS, said[1])
        saved = tmp_path / "sessions" / "mosquitto.db"
        since = datetime.now(UTC).timestamp()

        async def is_saved() -> bool:
            return saved.exists() and saved.stat().st_mtime > since

        await eventually(is_saved)
        await broker.kill()
        await broker.start()
        async with running(data, **broker.options) as service, cam_1.connected() as device:
            await device.until_acked(said[1])
            await device.say(Channel.ALERTS, said[2])
            await device.until_acked(said[2])
            assert (tmp_path / "broker" / "revoked.pem").read_bytes() == revoked, "nothing was there to be told"


@pytest.mark.parts
async def test_whose_certificate_ends_is_not_let_stay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with (
        # Long enough for a busy machine to enrol a device and to connect it.
        mosquitto(tmp_path, data, identity={"certificate_hours": 10 / 3600}) as broker,
        running(data, **broker.options) as service,
    ):
        cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
        client = cam_1.mqtt()
        await client.__aenter__()
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait({client._disconnected})
        assert datetime.now(UTC) >= cam_1.certificate.not_valid_after_utc


@pytest.mark.parts
async def test_the_broker_s_new_certificate_is_taken_up(tmp_path: Path) -> None:
    data = tmp_path / "data"
    file = tmp_path / "broker" / CERT_FILE
    async with mosquitto(tmp_path, data) as broker:
        file.unlink()
        async with running(data, **broker.options) as service:
            cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
            await broker.reload()

            async def shows_it() -> bool:
                port = broker.options["mqtt_port"]
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=cam_1.context)
                shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                writer.close()
                return shown == ssl.PEM_cert_to_DER_cert(file.read_text())

            await eventually(shows_it)
            assert (tmp_path / "broker" / KEY_FILE).stat().st_mode & 0o777 == 0o640


@pytest.mark.parts
async def test_what_the_cloud_says_is_heard_and_what_it_wants_is_kept_for_who_comes_later(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with mosquitto(tmp_path, data) as broker:
        async with running(data, **broker.options) as service:
            cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
            async with cam_1.connected():
                pass  # from here on there is a session
        own = DataDir(data).identity

        def shown() -> ssl.SSLContext:
            made = ssl.create_default_context(cafile=str(own / "authority.pem"))
            made.load_cert_chain(own / "link.pem", own / "link.key")
            return made

        link = MqttLink(
            LinkSettings("127.0.0.1", int(str(broker.options["mqtt_port"])), "", shown), Counters(), SystemClock()
        )
        keeping = asyncio.create_task(link.run())
        await asyncio.wait_for(link.established(), BOUND_S)
        late = verdict(question(alert()))
        desired = Desired(message_id=new_id(), device="cam-1", made_at=NOW, version=3, group="default")
        await link.publish("cam-1", Channel.VERDICTS, late)
        await link.publish("cam-1", Channel.DESIRED, desired)
        keeping.cancel()
        async with cam_1.connected() as device:
            assert await device.until_heard(Desired) == desired
            assert await device.until_heard(Verdict) == late
        async with cam_1.connected() as device:
            assert await device.until_heard(Desired) == desired
