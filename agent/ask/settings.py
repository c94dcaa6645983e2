"""How to ask the cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from agent.ask.crop import Margins
from agent.settings import Settings

CONTEXT_PX: Final = 960
"""Longer side of a whole frame that a question shows. At quality 40 one of the demo clip (768 × 576) takes 45 kB."""


class AskSettings(Settings):
    """Where questions and pictures go, and what may leave.

    The token is the link's, where there is no certificate; how long an answer is waited for is said in the table
    `asking`.

    Attributes:
        url: The cloud's base URL, `https://host[:port]`, or `http://…` on a network that is trusted.
        ca_file: Certificates to trust instead of the system's.
        cert_file, key_file: The device's own certificate, where the cloud asks for one.
        connect_timeout_s: For reaching the cloud.
        retry_timeout_s: For a question or picture sent later, when no rule waits for it any more.
        give_up_after_s: A question or picture older than this is dropped, and counted.
        retry_min_s, retry_max_s: The pause after a failure doubles between them, with jitter.
        max_concurrent: Requests under way at once.
        question_quality: Of the pictures that questions show to the cloud's model, 1 to 100.
        question_min_px: What they show is at least so wide and high, where the frame is.
        jpeg_quality: Of the pictures of alerts, which people look at, 1 to 100.
        min_crop_px: What they show is at least so wide and high, where the frame is.
        margin: What either shows around the object, on each side, as a share of its box's width or height.
        unseen_margin: What a question shows instead where the device does not see the object itself.
        max_crop_px: A picture with a longer side is scaled down to it.
        context_px: A whole frame with a longer side, which rules with `context` and second questions show, is scaled
            down to it.
        max_waiting: Pictures that wait to be encoded; beyond it new ones are dropped, and counted.
        max_stored: Questions and pictures kept on disk until they are sent; beyond it the oldest are dropped.
        max_stored_mib: The same, in size.
    """

    url: str
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 5.0
    retry_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    give_up_after_s: Annotated[float, Field(gt=0)] = 3_600.0
    retry_min_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    retry_max_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    max_concurrent: Annotated[int, Field(ge=1, le=16)] = 2
    question_quality: Annotated[int, Field(ge=1, le=100)] = 40
    question_min_px: Annotated[int, Field(ge=16, le=4096)] = 96
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 80
    margin: Annotated[float, Field(ge=0, le=10)] = 0.6
    unseen_margin: Annotated[float, Field(ge=0, le=10)] = 2.0
    min_crop_px: Annotated[int, Field(ge=16, le=4096)] = 160
    max_crop_px: Annotated[int, Field(ge=16, le=4096)] = 640
    context_px: Annotated[int, Field(ge=16, le=4096)] = CONTEXT_PX
    max_waiting: Annotated[int, Field(ge=1, le=64)] = 8
    max_stored: Annotated[int, Field(ge=1, le=100_000)] = 500
    max_stored_mib: Annotated[int, Field(ge=1, le=100_000)] = 64

    @property
    def margins(self) -> Margins:
        """What a question shows around its object."""
        return Margins(self.margin, self.unseen_margin)

    @field_validator("url")
    @classmethod
    def _url_is_a_base(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            msg = f"{url!r} is not the cloud's address: write https://host or https://host:port"
            raise ValueError(msg)
        if parts.username is not None or parts.query or parts.fragment:
            msg = "the url must hold no name, password, query or fragment: the token goes into link.token_file"
            raise ValueError(msg)
        return url.rstrip("/")

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.url.startswith("http://") and (self.ca_file or self.cert_file):
            msg = "ca_file and cert_file need an https:// url"
            raise ValueError(msg)
        if self.key_file is not None and self.cert_file is None:
            msg = "key_file needs a cert_file"
            raise ValueError(msg)
        if max(self.min_crop_px, self.question_min_px) > self.max_crop_px:
            msg = "min_crop_px and question_min_px must not be over max_crop_px"
            raise ValueError(msg)
        if self.retry_min_s > self.retry_max_s:
            msg = "retry_min_s must not be over retry_max_s"
            raise ValueError(msg)
        return self
