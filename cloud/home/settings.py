"""How Home Assistant's broker is reached, and what is shown there."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from wire.commands import CommandName
from wire.fields import DeviceId

_PORTS = {"mqtt": 1883, "mqtts": 8883}
Level = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Topic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=128)]


class HomeCommand(StrEnum):
    """What may be asked of a device from Home Assistant."""

    PING = CommandName.PING
    SNAPSHOT = CommandName.SNAPSHOT
    RESTART = CommandName.RESTART
    MUTE = CommandName.MUTE
    UPDATE_MODEL = CommandName.UPDATE_MODEL


class HomeAssistantSettings(BaseModel):
    """Home Assistant's broker, and what is shown there. Without this table, nothing is.

    Attributes:
        url: `mqtt://host[:port]`, or `mqtts://…` with TLS.
        enabled: With false, everything that was ever published there is taken back at the next start.
        username: As the broker knows the service.
        password_file: Holds its password; read again at each connection.
        ca_file: Certificates to trust instead of the system's.
        topic: First level of the topics of states and commands, and part of all ids; its own for each service.
        discovery_prefix: As Home Assistant's MQTT integration has it.
        birth_topic: Where Home Assistant says `online`; everything is sent again then.
        birth_jitter_s: After a random time up to this, so that not all of a home's publishers speak at once.
        devices: Only these; all where empty.
        off_delay_s: How long after its last alert has ended a sensor stays on.
        provisional: Whether alerts that nobody has confirmed yet turn sensors on, and are counted.
        pictures: Publish the picture of each camera's last alert and of its last snapshot.
        commands: What may be asked of devices from there; whoever may write to that broker may ask it.
        mute_s: How long the switch mutes a device, unless it is turned off before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    url: str
    enabled: bool = True
    username: Annotated[str, Field(max_length=200)] | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    topic: Level = "vedette"
    discovery_prefix: Topic = "homeassistant"
    birth_topic: Topic = "homeassistant/status"
    birth_jitter_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    devices: Annotated[tuple[DeviceId, ...], Field(max_length=1000)] = ()
    off_delay_s: Annotated[int, Field(ge=2, le=3600)] = 30
    provisional: bool = False
    pictures: bool = True
    commands: tuple[HomeCommand, ...] = tuple(HomeCommand)
    mute_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = 3600

    @model_validator(mode="after")
    def _an_address(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            msg = "url must be mqtt://host[:port] or mqtts://host[:port]"
            raise ValueError(msg)
        if parts.username is not None or parts.password is not None:
            msg = "url must hold no user or password: use username and password_file"
            raise ValueError(msg)
        _ = parts.port  # raises where it is none
        return self

    @property
    def host(self) -> str:
        """Of the broker."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Of the broker."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("mqtts:")

    def shows(self, device: str) -> bool:
        """Whether this device is shown there."""
        return not self.devices or device in self.devices
