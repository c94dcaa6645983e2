"""Whether and where the device shows how it is."""

from __future__ import annotations

import ipaddress
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from agent.settings import Settings

HostName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$", to_lower=True)
]


class ListenAt(NamedTuple):
    """Where to listen; port 0 is any free one."""

    host: str
    port: int


class StatusSettings(Settings):
    """The device's own page and its figures for Prometheus. Off unless `listen` is set.

    Attributes:
        listen: `host:port` under which both are served, such as `127.0.0.1:9180`.
        allow_plaintext: Listen beyond this machine although nothing is encrypted, and anyone may look.
        allowed_hosts: Names under which browsers may call it, beside `localhost` and any IP address.
        picture_max_px: Longer side of the cameras' pictures on the page.
    """

    listen: str | None = None
    allow_plaintext: bool = False
    allowed_hosts: Annotated[tuple[HostName, ...], Field(max_length=16)] = ()
    picture_max_px: Annotated[int, Field(ge=160, le=1920)] = 960

    @field_validator("listen")
    @classmethod
    def _listen_is_readable(cls, listen: str | None) -> str | None:
        if listen is not None:
            listen_at(listen)
        return listen

    @model_validator(mode="after")
    def _stays_on_this_machine(self) -> Self:
        if self.listen is not None and not self.allow_plaintext and not _is_loopback(listen_at(self.listen).host):
            msg = (
                "listen can be reached from other machines, and anyone there could see the cameras: write"
                " 127.0.0.1:9180, or set allow_plaintext = true where you trust the whole network"
            )
            raise ValueError(msg)
        return self

    @property
    def address(self) -> ListenAt | None:
        """`listen` in parts."""
        return None if self.listen is None else listen_at(self.listen)


def listen_at(text: str) -> ListenAt:
    """Read `host:port`.

    Raises:
        ValueError: It is none; the message says what was expected.
    """
    expected = f"{text!r} is not where one can listen: write 127.0.0.1:9180 or [::1]:9180"
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    if host is None or port is None or parts.netloc != text or "@" in text:
        raise ValueError(expected)
    return ListenAt(host, port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
