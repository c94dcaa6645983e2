"""From what is shown of a device to discovery documents and states. Pure.

Everything is retained: Home Assistant finds it whenever it comes, and a sensor's `ON` is followed by an `OFF` of the
service's own. What a person named, or a model, stands as text in JSON; topics, ids and templates are made of keys and
constants only (`cloud.home.naming`). The keys are those of Home Assistant's MQTT integration since 2023.8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloud.home.naming import Topics, key
from cloud.home.settings import HomeAssistantSettings, HomeCommand
from cloud.home.shown import CameraFacts, DeviceFacts, LabelFacts

JsonObject = Mapping[str, object]
ONLINE: Final = "online"
OFFLINE: Final = "offline"
ON: Final = "ON"
OFF: Final = "OFF"
PRESS: Final = "PRESS"
LONGEST_STATE: Final = 255
"""Home Assistant refuses a longer state."""
LONGEST_NAME: Final = 128
"""Of a label's entity: a camera's name of 63, a blank, and a label of 64 characters."""
LONGEST_PICTURE: Final = 1 << 20
"""Larger ones are left out: a home's broker on a small machine keeps what is retained in memory."""


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity, before what all entities share is added.

    Attributes:
        of: What it is of its device; unique there.
        needs_device: It is unavailable while the device is away.
    """

    component: str
    of: str
    name: str
    config: JsonObject
    needs_device: bool = False


class Entities:
    """Says what there is to publish for one device after the other."""

    def __init__(self, settings: HomeAssistantSettings, software: str) -> None:
        self._settings = settings
        self._software = software
        self.topics = Topics(settings.topic, settings.discovery_prefix)

    def discovery(self, device: DeviceFacts) -> dict[str, bytes]:
        """Topic to document, for each entity of the device."""
        return {
            self.topics.discovery(one.component, device.id, one.of): _bytes(self._document(device, one))
            for one in self._entities(device)
        }

    def states(self, device: DeviceFacts) -> dict[str, bytes]:
        """Topic to state, pictures left out."""
        topics = self.topics
        found = {
            topics.presence(device.id): (ONLINE if device.online else OFFLINE).encode(),
            topics.device(device.id): _bytes(
                {
                    "why": device.why,
                    "waiting": device.waiting,
                    "answer": device.answer[:LONGEST_STATE] or None,
                    **device.answer_facts,
                }
            ),
            topics.muted(device.id): (ON if device.muted else OFF).encode(),
        }
        if device.model is not None:
            found[topics.model(device.id)] = _bytes(
                {
                    "title": device.model.title,
                    "installed_version": device.model.installed,
                    "latest_version": device.model.latest,
                    "release_summary": device.model.summary,
                }
            )
        for camera in device.cameras:
            found[topics.camera(device.id, camera.name, "state")] = _bytes(
                {
                    "live": ON if camera.live else OFF,
                    "detail": camera.detail,
                    "fps": None if camera.fps is None else round(camera.fps, 1),
                    "alerts": camera.alerts,
                }
            )
            found[topics.camera(device.id, camera.name, "alert")] = _bytes(_alert(camera))
            for one in camera.labels:
                found[topics.label(device.id, camera.name, one.label, "on")] = (ON if one.on else OFF).encode()
                found[topics.label(device.id, camera.name, one.label, "count")] = str(one.count).encode()
        return found

    def lasting(self, device: DeviceFacts) -> set[str]:
        """Topics whose state must be said again before `off_delay_s` is over, or Home Assistant turns it off."""
        return {
            self.topics.label(device.id, camera.name, one.label, "on")
            for camera in device.cameras
            for one in camera.labels
            if one.lasting
        }

    def learn(self, found: Mapping[str, bytes]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Labels that were published before, by device and camera: those sensors are to stay.

        Args:
            found: Our own documents as the broker has them. A document that is not as we write it teaches nothing.
        """
        learnt: dict[str, dict[str, tuple[str, ...]]] = {}
        for topic, payload in found.items():
            if not topic.startswith(f"{self.topics.prefix}/binary_sensor/"):
                continue
            if (read := _labelled(payload)) is None:
                continue
            device, camera, label = read
            if topic == self.topics.discovery("binary_sensor", device, _of_label(camera, label, "on")):
                cameras = learnt.setdefault(device, {})
                cameras[camera] = (*cameras.get(camera, ()), label)
        return learnt

    # --- entities ---------------------------------------------------------------------------------------------------

    def _entities(self, device: DeviceFacts) -> Iterator[Entity]:
        yield from self._of_device(device)
        if device.model is not None:
            yield self._of_model(device)
        for camera in device.cameras:
            yield from self._of_camera(device, camera)
            for one in camera.labels:
                yield from self._of_label(device, camera, one)

    def _of_device(self, device: DeviceFacts) -> Iterator[Entity]:
        topics, state = self.topics, self.topics.device(device.id)
        yield Entity(
            "binary_sensor",
            "connection",
            "Connection",
            {
                "state_topic": topics.presence(device.id),
                "payload_on": ONLINE,
                "payload_off": OFFLINE,
                "device_class": "connectivity",
                "entity_category": "diagnostic",
            },
        )
        yield Entity(
            "sensor",
            "waiting",
            "Waiting alerts",
            {
                "state_topic": state,
                "value_template": "{{ value_json.waiting }}",
                "state_class": "measurement",
                "icon": "mdi:tray-full",
                "entity_category": "diagnostic",
            },
        )
        if self._settings.commands:
            yield Entity(
                "sensor",
                "answer",
                "Last command",
                {
                    "state_topic": state,
                    "value_template": "{{ value_json.answer }}",
                    "json_attributes_topic": state,
                    "icon": "mdi:message-reply-text",
                    "entity_category": "diagnostic",
                },
            )
        for command, name, more in (
            (HomeCommand.PING, "Ping", {"icon": "mdi:access-point-check", "entity_category": "diagnostic"}),
            (HomeCommand.RESTART, "Restart", {"device_class": "restart", "entity_category": "config"}),
        ):
            if command in self._settings.commands:
                config = {"command_topic": topics.command(device.id, command), "payload_press": PRESS, **more}
                yield Entity("button", str(command), name, config, needs_device=True)
        if HomeCommand.MUTE in self._settings.commands:
            yield Entity(
                "switch",
                "mute",
                "Mute",
                {
                    "state_topic": topics.muted(device.id),
                    "command_topic": topics.command(device.id, HomeCommand.MUTE),
                    "payload_on": ON,
                    "payload_off": OFF,
                    "icon": "mdi:bell-off",
                },
                needs_device=True,
            )

    def _of_model(self, device: DeviceFacts) -> Entity:
        config: dict[str, object] = {"state_topic": self.topics.model(device.id)}
        if HomeCommand.UPDATE_MODEL in self._settings.commands:
            config |= {
                "command_topic": self.topics.command(device.id, HomeCommand.UPDATE_MODEL),
                "payload_install": PRESS,
            }
        return Entity("update", "model", "Model", config)

    def _of_camera(self, device: DeviceFacts, camera: CameraFacts) -> Iterator[Entity]:
        topics, of = self.topics, f"camera_{key(camera.name)}"
        state = topics.camera(device.id, camera.name, "state")
        alert = topics.camera(device.id, camera.name, "alert")
        yield Entity(
            "binary_sensor",
            f"{of}_live",
            f"{camera.name} live",
            {
                "state_topic": state,
                "value_template": "{{ value_json.live }}",
                "json_attributes_topic": state,
                "json_attributes_template": "{{ {'detail': value_json.detail} | tojson }}",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
            },
        )
        yield Entity(
            "sensor",
            f"{of}_fps",
            f"{camera.name} frame rate",
            {
                "state_topic": state,
                "value_template": "{{ value_json.fps }}",
                "unit_of_measurement": "fps",
                "state_class": "measurement",
                "icon": "mdi:speedometer",
                "entity_category": "diagnostic",
            },
            needs_device=True,
        )
        yield Entity(
            "sensor",
            f"{of}_alerts",
            f"{camera.name} alerts",
            {
                "state_topic": state,
                "value_template": "{{ value_json.alerts }}",
                # Not `total_increasing`: an alert that is retracted later was none, and the count goes back.
                "state_class": "total",
                "icon": "mdi:counter",
            },
        )
        yield Entity(
            "sensor",
            f"{of}_alert",
            f"{camera.name} last alert",
            {
                "state_topic": alert,
                "value_template": "{{ value_json.label }}",
                "json_attributes_topic": alert,
                "icon": "mdi:alert-circle-outline",
            },
        )
        for what, name in (("picture", "last alert"), ("snapshot", "snapshot")):
            if self._settings.pictures and (what == "picture" or HomeCommand.SNAPSHOT in self._settings.commands):
                config = {
                    "image_topic": topics.camera(device.id, camera.name, what),
                    "content_type": "image/jpeg",
                }
                yield Entity("image", f"{of}_{what}", f"{camera.name} {name}", config)
        if HomeCommand.SNAPSHOT in self._settings.commands:
            config = {
                "command_topic": topics.command(device.id, HomeCommand.SNAPSHOT),
                "payload_press": camera.name,
                "icon": "mdi:camera",
            }
            yield Entity("button", f"{of}_take_snapshot", f"{camera.name} take snapshot", config, needs_device=True)

    def _of_label(self, device: DeviceFacts, camera: CameraFacts, one: LabelFacts) -> Iterator[Entity]:
        yield Entity(
            "binary_sensor",
            _of_label(camera.name, one.label, "on"),
            f"{camera.name} {one.label}",
            {
                "state_topic": self.topics.label(device.id, camera.name, one.label, "on"),
                "device_class": "occupancy",
                "off_delay": self._settings.off_delay_s,
            },
            needs_device=True,
        )
        yield Entity(
            "sensor",
            _of_label(camera.name, one.label, "count"),
            f"{camera.name} {one.label} count",
            {
                "state_topic": self.topics.label(device.id, camera.name, one.label, "count"),
                "state_class": "measurement",
                "icon": "mdi:counter",
            },
            needs_device=True,
        )

    def _document(self, device: DeviceFacts, entity: Entity) -> dict[str, object]:
        id_ = f"{self.topics.base}_{device.id}_{entity.of}"
        wanted = [self.topics.bridge, *([self.topics.presence(device.id)] if entity.needs_device else [])]
        return {
            "name": entity.name,
            "unique_id": id_,
            # The same wish under its two names: since 2025.10 and, alone known before, until 2026.4.
            "default_entity_id": f"{entity.component}.{id_.replace('-', '_')}",
            "object_id": id_,
            "qos": 1,
            "availability": [{"topic": topic} for topic in wanted],
            "availability_mode": "all",
            "device": {
                "identifiers": [f"{self.topics.base}_{device.id}"],
                "name": device.id,
                "manufacturer": "Vedette",
                "model": "Camera agent",
                "sw_version": device.agent_version,
            },
            "origin": {"name": "vedette", "sw_version": self._software},
            **entity.config,
        }


def _of_label(camera: str, label: str, what: str) -> str:
    return f"camera_{key(camera)}_label_{key(label)}_{what}"


def _labelled(payload: bytes) -> tuple[str, str, str] | None:
    """Device, camera and label of a label's document: its name holds both, and its topic tells where they part."""
    try:
        document = json.loads(payload)
        name, state_topic, device = document["name"], document["state_topic"], document["device"]["name"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if not (isinstance(name, str) and isinstance(state_topic, str) and isinstance(device, str)):
        return None
    if len(name) > LONGEST_NAME:
        return None  # Each blank in it costs a digest, and anybody on that broker may have written it.
    at = [place for place, character in enumerate(name) if character == " "]
    for place in at:
        camera, label = name[:place], name[place + 1 :]
        if state_topic.endswith(f"/{device}/camera/{key(camera)}/label/{key(label)}/on"):
            return device, camera, label
    return None


def _alert(camera: CameraFacts) -> dict[str, object]:
    """What a card or an automation may want to know; `state` and `name` are Home Assistant's own words there."""
    if camera.last is None:
        return {"label": None}
    alert = camera.last.alert
    return {
        "label": alert.label,
        "alert_id": alert.id,
        "alert_state": str(alert.state),
        "decided_by": str(alert.decided_by),
        "rule": alert.rule,
        "zone": alert.zone,
        "score": round(alert.score, 3),
        "box": [round(side, 4) for side in alert.box],
        "seen_first_at": alert.seen_first_at.isoformat(),
        "seen_last_at": alert.seen_last_at.isoformat(),
        "reason": alert.reason,
        "ended": camera.last.ended,
    }


def _bytes(document: JsonObject) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
