"""The link to the broker as the rest of the agent sees it: its settings, its address, and where answers go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from agent.domain import Answer
from agent.settings import Settings

OnAnswer = Callable[[Answer], Future[None] | None]
"""Takes an answer, at once. A future says that what follows from the answer is committed once it is done: until then
the broker keeps the verdict, and the question stays on disk. None says that it was dealt with already."""

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class Address(NamedTuple):
    """Where the broker listens."""

    host: str
    port: int
    tls: bool


class LinkSettings(Settings):
    """How to reach the broker.

    Attributes:
        url: `mqtt://host[:port]`, or `mqtts://…` with TLS.
        protocol: The version of MQTT; `auto` tries 5 and falls back. NATS speaks 3.1.1 only.
        keepalive_s: A broker silent for longer is given up.
        connect_timeout_s: For each step of connecting.
        reconnect_min_s, reconnect_max_s: The pause before connecting again doubles between them, with jitter.
        window: How many alert messages may be on their way un-acked.
        ack_timeout_s: Without an ack from the cloud for so long, sending starts again from the oldest; doubles.
        stop_timeout_s: What a clean stop may take to deliver what is left.
        token_file: Holds the device's password; read again at each connection.
        token_env: The environment variable that holds it where there is no file.
        ca_file: Certificates to trust instead of the system's.
        cert_file, key_file: The device's own certificate, where the broker asks for one; its file may hold the key.
    """

    url: str = "mqtt://127.0.0.1:1883"
    protocol: Literal["3.1.1", "5", "auto"] = "3.1.1"
    keepalive_s: Annotated[int, Field(ge=5, le=3_600)] = 20
    connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    reconnect_min_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    reconnect_max_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    window: Annotated[int, Field(ge=1, le=1_000)] = 64
    ack_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    stop_timeout_s: Annotated[float, Field(ge=0, le=60)] = 5.0
    token_file: Path | None = None
    token_env: str = "VEDETTE_TOKEN"  # noqa: S105 - the variable's name, not its value
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _url_is_readable(cls, url: str) -> str:
        address_of(url)
        return url

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            msg = "key_file needs a cert_file"
            raise ValueError(msg)
        if self.reconnect_min_s > self.reconnect_max_s:
            msg = "reconnect_min_s must not be over reconnect_max_s"
            raise ValueError(msg)
        if not self.address.tls and (self.ca_file or self.cert_file):
            msg = "ca_file and cert_file need an mqtts:// url"
            raise ValueError(msg)
        return self

    @property
    def address(self) -> Address:
        """The url in parts."""
        return address_of(self.url)


def address_of(url: str) -> Address:
    """Read a broker's url.

    Raises:
        ValueError: It is none; the message says what was expected.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        msg = f"{url!r} is not a broker's address: write mqtt://host, mqtt://host:port or mqtts://host"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "the url must not hold a name or password: the name is the device id, the password goes into token_file"
        raise ValueError(msg)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        msg = f"{url!r} goes on after the port: write mqtt://host:port and no more"
        raise ValueError(msg)
    port = parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]
    if port == 0:
        msg = f"{url!r} names port 0: write the port that the broker listens on"
        raise ValueError(msg)
    return Address(parts.hostname, port, parts.scheme == "mqtts")
