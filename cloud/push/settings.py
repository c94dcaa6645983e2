"""Where alerts are pushed to, which, and in which words."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

PLACEHOLDERS: Final = (
    "moment",
    "device",
    "camera",
    "rule",
    "label",
    "zone",
    "state",
    "decided_by",
    "score",
    "percent",
    "reason",
    "seen_at",
    "alert_id",
    "picture_url",
)
"""What a template may name, as `$label` or `${label}`; `$$` is a dollar."""
OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "vedette-delivery", "vedette-signature"}
)
_HEADER: Final = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
PushName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class Moment(StrEnum):
    """A moment in an alert's life."""

    RAISED = "raised"
    """At once, confirmed or not."""
    CONFIRMED = "confirmed"
    """When it is certain: by the device, or by the cloud's answer."""
    RETRACTED = "retracted"
    """It was none; only where a push about the alert came before."""
    ENDED = "ended"
    """The object is gone; only where a push about the alert came before."""


class PushSettings(BaseModel):
    """A receiver of alerts; several, each under a name of its own.

    Attributes:
        name: By which `vedette push test` and the log know it, and its place in the history is kept.
        url: Where the request goes.
        url_file: Holds the address, where that is a secret itself.
        method: Of the request.
        on: When it is sent.
        devices: Only alerts of these; of all where empty.
        cameras: Only alerts of these; of all where empty.
        rules: Only alerts of these; of all where empty.
        labels: Only alerts of these; of all where empty.
        headers: Templates by header; what can't stand in a header is left out of the values.
        body: A template of the body, as text.
        fields: Templates by key of a JSON object that is the body. With neither, the body is the alert as JSON.
        content_type: Of the body, where it is neither plain text nor JSON.
        bearer_file: Holds a token that goes along as `Authorization: Bearer`.
        secret_file: Holds the key with which the request is signed in `Vedette-Signature`.
        ca_file: Certificates to trust instead of the system's.
        base_url: Where people reach the dashboard; without it `$picture_url` is empty.
        timeout_s: For the whole request.
        max_per_minute: More wait their turn.
        retry_min_s, retry_max_s: The pause after a failure doubles between them.
        give_up_after_s: What could not be delivered for so long is dropped, and counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: PushName
    url: str | None = None
    url_file: Path | None = None
    method: Literal["POST", "PUT"] = "POST"
    on: Annotated[tuple[Moment, ...], Field(min_length=1, max_length=4)] = (Moment.CONFIRMED,)
    devices: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    cameras: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    rules: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    labels: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    headers: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    body: Annotated[str, Field(max_length=16_384)] | None = None
    fields: Annotated[dict[str, str], Field(max_length=64)] = Field(default_factory=dict)
    content_type: Annotated[str, Field(max_length=200, pattern=r"^[\x21-\x7e][\x20-\x7e]*$")] | None = None
    bearer_file: Path | None = None
    secret_file: Path | None = None
    ca_file: Path | None = None
    base_url: str = ""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    max_per_minute: Annotated[int, Field(ge=1, le=6000)] = 30
    retry_min_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    retry_max_s: Annotated[float, Field(gt=0, le=3600)] = 300.0
    give_up_after_s: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            msg = "give one of url and url_file"
            raise ValueError(msg)
        for address in filter(None, (self.url, self.base_url)):
            check_address(address)
        return self

    @model_validator(mode="after")
    def _templates_can_be_filled(self) -> Self:
        if self.body is not None and self.fields:
            msg = "give one of body and fields"
            raise ValueError(msg)
        templates = {"body": self.body or ""}
        templates |= {f"fields.{key}": text for key, text in self.fields.items()}
        templates |= {f"headers.{key}": text for key, text in self.headers.items()}
        for where, text in templates.items():
            _check_template(where, text)
        for header in self.headers:
            if not _HEADER.match(header) or header.lower() in OWN_HEADERS:
                msg = f"headers: {header!r} is no header that can be set"
                raise ValueError(msg)
        return self


def check_address(address: str) -> None:
    """Refuse what is no web address.

    Raises:
        ValueError: It is none, or holds a user or password.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not address.isprintable() or " " in address:
        msg = "an address must be http://… or https://…"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "an address must hold no user or password: use bearer_file, or url_file"
        raise ValueError(msg)
    _ = parts.port  # raises where it is none


def _check_template(where: str, text: str) -> None:
    template = Template(text)
    if not template.is_valid():
        msg = f"{where}: a $ that is no placeholder; write $$ for a dollar"
        raise ValueError(msg)
    unknown = [name for name in template.get_identifiers() if name not in PLACEHOLDERS]
    if unknown:
        msg = f"{where}: ${unknown[0]} is no placeholder; they are {', '.join(f'${name}' for name in PLACEHOLDERS)}"
        raise ValueError(msg)
