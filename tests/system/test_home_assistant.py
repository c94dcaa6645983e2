"""A real Home Assistant beside its own mosquitto shows what a real agent sees; what is pressed there is done."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import insert

from cloud.store.database import open_database
from cloud.store.schema import desired
from tests.cloud.samples import alert, connected, new_id, status
from tests.mqtt import Client
from tests.ports import free_port
from tests.system.engines import need_clip, need_models
from tests.system.home_assistant import PASSWORDS, HomeAssistant, Mosquitto, need_home_assistant
from tests.system.parts import BOUND_S, System, environment, eventually, whole_system
from tests.system.preloaded import programs
from wire.codec import encode
from wire.messages import Alert, AlertEvent, AlertState, CameraState, CameraStatus, Message, Status
from wire.topics import Channel
from wire.updates import Desired, ModelRef, Reported, UpdateState
from workbench.demo.parts import cloud_folder, enrol, start_service, token_file

# Everything in one test: Home Assistant takes seconds to start, and what it shows depends on what came before.
pytestmark = [pytest.mark.system, pytest.mark.timeout(8 * BOUND_S)]

TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
[[rules]]
name = "anyone"
labels = ["person"]
picture = "always"
end_after_s = 1
[telemetry]
every_s = 1
"""
BRIDGE = """
[home_assistant]
url = "mqtt://127.0.0.1:{port}"
username = "vedette"
password_file = "{password}"
off_delay_s = 2
birth_jitter_s = 0.5
enabled = {enabled}
"""
GATE = "vedette_gate_1_camera_gate"
CHANNELS = {Alert: Channel.ALERTS, Status: Channel.STATUS, Reported: Channel.REPORTED}
HOSTILE = 'cat/#+ {{ 7 * 7 }} "x" ~'
"""A label that a foreign model may carry: wildcards, a template, quotes, and Home Assistant's own sign for a base."""


def reported(device: str, running: ModelRef) -> Reported:
    return Reported(
        message_id=new_id(),
        device=device,
        made_at=datetime.now(UTC),
        boot_id=new_id(),
        boot_seq=1,
        state=UpdateState.IDLE,
        running=running,
    )


class AtHome(System):
    """The service with Home Assistant's broker in its settings."""

    home_port = 0

    @property
    def SERVICE_OPTIONS(self) -> tuple[str, ...]:  # type: ignore[override]  # noqa: N802
        return ("--config", str(self.folder / "service.toml"))

    def says(self, device: str, *messages: Message) -> None:
        """A device of which nothing but the messages is there; returns once its alerts are acked."""

        async def speak() -> None:
            token = token_file(self.folder, device).read_text()
            async with connected(self.addresses.mqtt, device, token) as one:
                for message in messages:
                    await one.say(CHANNELS[type(message)], message)
                await one.until_acked(*(message for message in messages if isinstance(message, Alert)))

        asyncio.run(speak())

    def commands(self) -> list[tuple[str, str, str, str | None]]:
        return [tuple(row) for row in self.store.rows("SELECT device, name, issued_by, outcome FROM commands")]

    def revoke(self, device: str) -> None:
        types = [programs().vedette, "device", "revoke", device]
        data = environment(VEDETTE_DATA_DIR=str(cloud_folder(self.folder).root))
        subprocess.run(types, env=data, check=True, capture_output=True, timeout=BOUND_S)

    def wants(self, device: str, model: ModelRef) -> None:
        """As a rollout would."""

        async def commit() -> None:
            wanted = Desired(
                message_id=new_id(), device=device, made_at=datetime.now(UTC), version=1, group="default", model=model
            )
            row = {"device": device, "version": 1, "message": encode(wanted).decode(), "published": True}
            async with (
                open_database(cloud_folder(self.folder).database_url) as database,
                database.writing() as connection,
            ):
                await connection.execute(insert(desired), [row])

        asyncio.run(commit())

    def serve_anew(self, *, bridge_enabled: bool) -> None:
        self.children.stop(self.service)
        bridged(self.folder, self.home_port, enabled=bridge_enabled)
        ports = [
            option
            for name, url in (("--http-port", self.addresses.http), ("--mqtt-port", self.addresses.mqtt))
            for option in (name, url.rpartition(":")[2])
        ]
        self.service, _ = start_service(self.children, self.folder, [*self.SERVICE_OPTIONS, *ports])


def bridged(folder: Path, port: int, *, enabled: bool = True) -> None:
    password = folder / "bridge.password"
    password.write_text(PASSWORDS["vedette"])
    said = BRIDGE.format(port=port, password=password, enabled=str(enabled).lower())
    (folder / "service.toml").write_text(said)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need_models()
    need_home_assistant()
    return tmp_path


@pytest.fixture
def port(folder: Path) -> int:
    found = free_port()
    bridged(folder, found)
    return found


@pytest.fixture
def system(folder: Path, port: int) -> Iterator[AtHome]:
    with whole_system(folder, AtHome) as system:
        system.home_port = port
        yield system


def test_alerts_show_in_home_assistant_and_its_buttons_are_answered(folder: Path, port: int, system: AtHome) -> None:
    broker = Mosquitto(system.children, folder, port)
    home = HomeAssistant(system.children, folder, free_port(), broker)
    shows_what_a_real_agent_sees(home, system)
    does_what_is_pressed(home, system)
    shows_a_hostile_label_and_when_it_is_gone(home, system)
    offers_the_model_that_is_wanted(home, system)
    finds_all_again_when_it_and_its_broker_start_anew(home, broker)
    assert home.complaints() == []
    loses_a_revoked_device_and_all_that_is_not_wanted(home, system)
    # Its entities go with what described them; their states are taken back after that.
    eventually(lambda: retained(port) == set(), "the broker keeps nothing of ours")


def is_known(state: str) -> bool:
    return state not in {"unknown", "unavailable"}


def shows_what_a_real_agent_sees(home: HomeAssistant, system: AtHome) -> None:
    system.start_agent(TOLD.format(clip=need_clip()))
    home.becomes(f"binary_sensor.{GATE}_label_person_on", "on")
    home.becomes("binary_sensor.vedette_gate_1_connection", "on")
    home.becomes(f"binary_sensor.{GATE}_live", "on")
    home.becomes(f"sensor.{GATE}_alerts", lambda count: is_known(count) and int(count) > 0)
    home.becomes(f"sensor.{GATE}_fps", lambda fps: is_known(fps) and float(fps) > 0)
    home.becomes(f"sensor.{GATE}_alert", "person")
    eventually(lambda: _tells_of_one_that_stands(home, system), "it says which alert it is")
    home.becomes(f"image.{GATE}_picture", is_known)
    eventually(lambda: _shows_something(home.picture(f"image.{GATE}_picture")), "an alert's picture")
    home.becomes("update.vedette_gate_1_model", "off")


def _tells_of_one_that_stands(home: HomeAssistant, system: AtHome) -> bool:
    told = home.attributes(f"sensor.{GATE}_alert")
    known = (told.get("alert_state"), told.get("rule")) == ("confirmed", "anyone")
    return known and told["alert_id"] in system.standing()


def _shows_something(jpeg: bytes | None) -> bool:
    picture = None if jpeg is None else cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return picture is not None and bool(picture.std() > 10)


def does_what_is_pressed(home: HomeAssistant, system: AtHome) -> None:
    home.does("button", "press", "button.vedette_gate_1_ping")
    home.becomes("sensor.vedette_gate_1_answer", "ping: ok")
    home.does("button", "press", f"button.{GATE}_take_snapshot")
    home.becomes("sensor.vedette_gate_1_answer", "snapshot: ok")
    home.becomes(f"image.{GATE}_snapshot", is_known)
    home.does("switch", "turn_on", "switch.vedette_gate_1_mute")
    home.becomes("switch.vedette_gate_1_mute", "on")
    asked = {("gate-1", name, "Home Assistant", "ok") for name in ("ping", "snapshot", "mute")}
    eventually(lambda: asked <= set(system.commands()), "each was answered")


def shows_a_hostile_label_and_when_it_is_gone(home: HomeAssistant, system: AtHome) -> None:
    """Of a device under our own hand."""
    enrol(system.folder, ["gate-2"])
    cameras = (CameraStatus(name="Back yard", state=CameraState.LIVE),)
    system.says("gate-2", status("gate-2", cameras=cameras))
    home.becomes("binary_sensor.vedette_gate_2_connection", "on")
    seen = {"camera": "Back yard", "label": HOSTILE, "state": AlertState.CONFIRMED, "id": new_id()}
    system.says("gate-2", alert("gate-2", **seen))
    eventually(lambda: len(of_labels(home)) == 2, "the hostile label has its sensors")
    (sensor,) = [one for one in of_labels(home) if one.endswith("_on")]
    (count,) = [one for one in of_labels(home) if one.endswith("_count")]
    home.becomes(sensor, "on")
    home.becomes(count, "1")
    assert home.attributes(sensor)["friendly_name"] == f"gate-2 Back yard {HOSTILE}"
    home.becomes(last_alert(home), HOSTILE)
    system.says("gate-2", alert("gate-2", revision=1, event=AlertEvent.END, sequence=2, **seen))
    home.becomes(count, "0")
    home.becomes(sensor, "off")


def of_labels(home: HomeAssistant) -> list[str]:
    return [one for one in home.of("gate_2") if "_label_" in one and one.endswith(("_on", "_count"))]


def last_alert(home: HomeAssistant) -> str:
    (found,) = [one for one in home.of("gate_2") if one.startswith("sensor.") and one.endswith("_alert")]
    return found


def offers_the_model_that_is_wanted(home: HomeAssistant, system: AtHome) -> None:
    """A rollout wants another model; the button has the device look, and it says what came of that."""
    running = ModelRef(name="ssd", version="1.0.0", digest=f"sha256:{'1' * 64}")
    wanted = ModelRef(name="nano", version="2.0.0", digest=f"sha256:{'2' * 64}")
    system.wants("gate-2", wanted)
    system.says("gate-2", reported("gate-2", running))
    home.becomes("update.vedette_gate_2_model", "on")
    told = home.attributes("update.vedette_gate_2_model")
    assert (told["installed_version"], told["latest_version"]) == ("ssd 1.0.0", "nano 2.0.0")
    home.does("update", "install", "update.vedette_gate_2_model")
    home.becomes("sensor.vedette_gate_2_answer", lambda said: said.startswith("update-model: "))
    assert ("gate-2", "update-model", "Home Assistant") in {row[:3] for row in system.commands()}
    system.says("gate-2", reported("gate-2", wanted))
    home.becomes("update.vedette_gate_2_model", "off")


def finds_all_again_when_it_and_its_broker_start_anew(home: HomeAssistant, broker: Mosquitto) -> None:
    before = {device: home.of(device) for device in ("gate_1", "gate_2")}
    home.stop()
    broker.forget_everything()
    home.start()
    eventually(lambda: {device: home.of(device) for device in before} == before, "all is there again")
    home.becomes(last_alert(home), HOSTILE)
    home.becomes("switch.vedette_gate_1_mute", "on")
    home.becomes("binary_sensor.vedette_gate_1_connection", "on")


def loses_a_revoked_device_and_all_that_is_not_wanted(home: HomeAssistant, system: AtHome) -> None:
    before = home.of("gate_1")
    system.revoke("gate-2")
    eventually(lambda: home.of("gate_2") == set(), "the revoked device is gone")
    assert home.of("gate_1") == before
    system.serve_anew(bridge_enabled=False)
    eventually(lambda: home.of("gate_1") == set(), "everything is taken back")


def retained(port: int) -> set[str]:
    """What the broker still keeps of ours."""

    async def look() -> set[str]:
        who = {"username": "homeassistant", "password": PASSWORDS["homeassistant"], "timeout": BOUND_S}
        async with Client("127.0.0.1", port, **who) as client:
            for topic in ("vedette/#", "homeassistant/+/+/+/config"):
                await client.subscribe(topic, qos=1)
            await client.publish("vedette/test", b"here", qos=1)
            kept: set[str] = set()
            async with asyncio.timeout(BOUND_S):
                async for message in client.messages:
                    if message.payload == b"here":
                        break
                    if message.retain:
                        kept.add(str(message.topic))
            return kept

    return asyncio.run(look())
