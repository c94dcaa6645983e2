"""What may be asked of devices from Home Assistant. Pure.

Whoever may write to Home Assistant's broker can ask; so what can be asked is a short list, with arguments of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from cloud.errors import OrderRefused
from cloud.home.entities import OFF, ON, PRESS
from cloud.home.naming import Topics
from cloud.home.settings import HomeAssistantSettings, HomeCommand
from cloud.home.shown import DeviceFacts

MAX_OPEN: Final = 8
"""Of one device, without an outcome so far: somebody who keeps on pressing gains nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command to be queued."""

    device: str
    name: HomeCommand
    arguments: Mapping[str, JsonValue]


def read_order(
    topic: str,
    payload: bytes,
    devices: Mapping[str, DeviceFacts],
    settings: HomeAssistantSettings,
    *,
    retained: bool = False,
    open_of_device: int = 0,
) -> Order:
    """What is asked for.

    Args:
        topic: On which it was asked.
        payload: As it came.
        devices: Those that are shown.
        settings: What may be asked.
        retained: The broker had kept it: it was meant for some time in the past.
        open_of_device: How many the device has not answered yet.

    Raises:
        OrderRefused: It may not be asked, or makes no sense.
    """
    found = Topics(settings.topic, settings.discovery_prefix).ordered(topic)
    if found is None or found[0] not in devices:
        raise OrderRefused("a command is asked of no device that is shown in Home Assistant")
    device, name = devices[found[0]], found[1]
    if name not in settings.commands:
        raise OrderRefused(
            f"{name[:40]!r} may not be asked from Home Assistant", "`home_assistant.commands` says what may."
        )
    if retained:
        raise OrderRefused("a command that the broker had kept is not done", "Publish commands without `retain`.")
    if open_of_device >= MAX_OPEN:
        raise OrderRefused(f"{device.id} has {open_of_device} commands to answer already", "Wait for its answers.")
    text = payload[:200].decode("utf-8", "replace")
    return Order(device.id, HomeCommand(name), _arguments(HomeCommand(name), text, device, settings))


def _arguments(
    name: HomeCommand, said: str, device: DeviceFacts, settings: HomeAssistantSettings
) -> dict[str, JsonValue]:
    match name:
        case HomeCommand.MUTE if said in {ON, OFF}:
            return {"for_s": settings.mute_s if said == ON else 0}
        case HomeCommand.SNAPSHOT if said in {camera.name for camera in device.cameras}:
            return {"camera": said}
        case HomeCommand.PING | HomeCommand.RESTART | HomeCommand.UPDATE_MODEL if said == PRESS:
            return {}
    raise OrderRefused(f"{said[:60]!r} says nothing to {name}", "The entities in Home Assistant say the right words.")
