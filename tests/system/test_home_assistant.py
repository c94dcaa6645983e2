"""A real Home Assistant beside its own mosquitto: it shows what a real agent sees, and what is pressed there is done."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import cv2
import numpy as np
import pytest

from tests.cloud.samples import alert, connected, status
from tests.system.engines import need_clip, need_models
from tests.system.home_assistant import PASSWORDS, HomeAssistant, Mosquitto, need_home_assistant
from tests.system.parts import BOUND_S, System, environment, eventually, whole_system
from wire.messages import Alert, AlertEvent, AlertState, CameraState, CameraStatus, Message
from wire.topics import Channel
from workbench.demo.parts import cloud_folder, enrol, start_service, token_file

# Everything in one test: Home Assistant takes seconds to start, and what it shows depends on what came before.
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

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
HOSTILE = 'cat/#+ {{ 7 * 7 }} "x" ~'
"""A label that a foreign model may carry: wildcards, a template, quotes, and Home Assistant's own sign for a base."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class AtHome(System):
    """The service with Home Assistant's broker in its settings."""

    @property
    def SERVICE_OPTIONS(self) -> tuple[str, ...]:  # type: ignore[override]  # noqa: N802
        return ("--config", str(self.folder / "service.toml"))

    def says(self, device: str, *messages: Message) -> None:
        """A device of which nothing but the messages is there; returns once its alerts are acked."""

        async def speak() -> None:
            token = token_file(self.folder, device).read_text()
            async with connected(self.addresses.mqtt, device, token) as one:
                for message in messages:
                    await one.say(Channel.ALERTS if isinstance(message, Alert) else Channel.STATUS, message)
                await one.until_acked(*(message for message in messages if isinstance(message, Alert)))

        asyncio.run(speak())

    def commands(self) -> list[tuple[str, str, str, str | None]]:
        return [tuple(row) for row in self.store.rows("SELECT device, name, issued_by, outcome FROM commands")]

    def revoke(self, device: str) -> None:
        types = [sys.executable, "-m", "workbench", "device", "revoke", device]
        data = environment(VEDETTE_DATA_DIR=str(cloud_folder(self.folder).root))
        subprocess.run(types, env=data, check=True, capture_output=True, timeout=BOUND_S)

    def serve_anew(self) -> None:
        self.children.stop(self.service)
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
        yield system


def entities(home: HomeAssistant, device: str) -> set[str]:
    return {entity for entity in home.states() if f".vedette_{device}_" in entity}


def test_alerts_show_in_home_assistant_and_its_buttons_are_answered(folder: Path, port: int, system: AtHome) -> None:
    broker = Mosquitto(system.children, folder, port)
    home = HomeAssistant(system.children, folder, free_port(), broker)

    def becomes(entity: str, wanted: str | Callable[[str], bool], bound_s: float = BOUND_S) -> None:
        def so() -> bool:
            state = home.state(entity)
            return state is not None and (state == wanted if isinstance(wanted, str) else wanted(state))

        try:
            eventually(so, f"{entity} becomes {wanted}", bound_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; it is {home.state(entity)!r}; there are {sorted(home.states())}") from None

    # A real agent's real alerts.
    system.start_agent(TOLD.format(clip=need_clip()))
    gate = "vedette_gate_1_camera_gate"
    becomes(f"binary_sensor.{gate}_label_person_on", "on")
    becomes("binary_sensor.vedette_gate_1_connection", "on")
    becomes(f"binary_sensor.{gate}_live", "on")
    becomes(f"sensor.{gate}_alerts", lambda count: count.isdigit() and int(count) > 0)
    becomes(f"sensor.{gate}_fps", lambda fps: fps not in {"unknown", "unavailable"} and float(fps) > 0)
    becomes(f"sensor.{gate}_alert", "person")
    told = home.attributes(f"sensor.{gate}_alert")
    assert told["alert_id"] in system.standing()
    assert (told["alert_state"], told["rule"]) == ("confirmed", "anyone")
    becomes(f"image.{gate}_picture", lambda since: since not in {"unknown", "unavailable"})
    picture = cv2.imdecode(np.frombuffer(home.picture(f"image.{gate}_picture"), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.std() > 10
    becomes("update.vedette_gate_1_model", "off")
    assert home.attributes("update.vedette_gate_1_model")["installed_version"]

    # What is pressed is asked of the device, and its answer shows.
    home.does("button", "press", "button.vedette_gate_1_ping")
    becomes("sensor.vedette_gate_1_answer", "ping: ok")
    home.does("button", "press", f"button.{gate}_snapshot")
    becomes("sensor.vedette_gate_1_answer", "snapshot: ok")
    becomes(f"image.{gate}_snapshot", lambda since: since not in {"unknown", "unavailable"})
    home.does("switch", "turn_on", "switch.vedette_gate_1_mute")
    becomes("switch.vedette_gate_1_mute", "on")
    assert {("gate-1", name, "Home Assistant", "ok") for name in ("ping", "snapshot", "mute")} <= set(
        system.commands()
    )

    # A device under our own hand: a label that is hostile, a delay that runs out, a word that is taken back.
    enrol(folder, ["gate-2"])
    cameras = (CameraStatus(name="Back yard", state=CameraState.LIVE),)
    system.says("gate-2", status("gate-2", cameras=cameras, started_at=datetime.now(UTC)))
    becomes("binary_sensor.vedette_gate_2_connection", "on")
    cat = alert("gate-2", camera="Back yard", label=HOSTILE, state=AlertState.CONFIRMED)
    system.says("gate-2", cat)
    eventually(lambda: len(found(home, "_on")) == 1, "the hostile label has a sensor")
    (sensor,), (count,) = found(home, "_on"), found(home, "_count")
    becomes(sensor, "on")
    becomes(count, "1")
    assert home.attributes(sensor)["friendly_name"] == f"gate-2 Back yard {HOSTILE}"
    (last,) = [entity for entity in entities(home, "gate_2") if entity.endswith("_alert")]
    becomes(last, HOSTILE)
    ends = {"id": cat.id, "revision": 1, "event": AlertEvent.END, "sequence": 2}
    system.says("gate-2", alert("gate-2", camera="Back yard", label=HOSTILE, state=AlertState.CONFIRMED, **ends))
    becomes(count, "0")
    becomes(sensor, "off")

    # Home Assistant starts anew, and finds all of it; so it does after its broker lost everything.
    before = {device: entities(home, device) for device in ("gate_1", "gate_2")}
    home.stop()
    system.children.stop(broker.child)
    broker.start()
    home.start()
    becomes(last, HOSTILE)
    becomes("switch.vedette_gate_1_mute", "on")
    eventually(
        lambda: (
            {device: entities(home, device) for device in before} == before
            and not any(home.state(entity) == "unavailable" for entity in before["gate_1"])
        ),
        "all is there again",
    )
    assert home.complaints() == []

    # A revoked device goes; and so does all, where it is not wanted any more.
    system.revoke("gate-2")
    eventually(lambda: entities(home, "gate_2") == set(), "the revoked device is gone")
    assert entities(home, "gate_1") == before["gate_1"]
    bridged(folder, port, enabled=False)
    system.serve_anew()
    eventually(lambda: entities(home, "gate_1") == set(), "everything is taken back")
    assert retained(port) == set()


def found(home: HomeAssistant, ending: str) -> list[str]:
    return [entity for entity in entities(home, "gate_2") if "_label_" in entity and entity.endswith(ending)]


def retained(port: int) -> set[str]:
    """What the broker still keeps of ours."""

    async def look() -> set[str]:
        who = {"username": "homeassistant", "password": PASSWORDS["homeassistant"]}
        async with aiomqtt.Client("127.0.0.1", port, **who) as client:
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
