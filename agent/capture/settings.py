"""One camera's settings, and what may be known of them in public."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from agent.settings import Settings
from wire.fields import Name

STREAM_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
_URL: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
# Alone of what is in /dev it holds files.
_MEMORY: Final = "/dev/shm"  # noqa: S108 - nothing is written there
_HIDDEN: Final = "***"


class SourceKind(StrEnum):
    """What stands behind a source's text."""

    DEVICE = "device"
    STREAM = "stream"
    RECORDED = "recorded"


class CameraSettings(Settings):
    """Where a camera's pictures come from, and how they are read.

    Attributes:
        name: Unique on the device; alerts carry it.
        source: A video file, a folder of pictures, `/dev/video0` or its number, or an rtsp(s):// or http(s):// URL.
            May hold a password: what is printed or logged is `redacted_source`.
        pace: Of a file or folder: "realtime" drops what can't be judged in time, "max" judges every frame as fast as
            it can and takes the first error as the end.
        loop: Begin a file or folder again when it ends.
        fps_limit: Frames above this rate are left out before they are judged.
        folder_fps: The rate at which a folder's pictures are taken to have been made.
        width, height: Asked of a V4L2 device, which may choose otherwise; both or neither.
        reconnect_initial_s, reconnect_max_s: The pause before a lost camera is tried again doubles between them.
        stall_timeout_s: A camera that gives no picture for so long is lost.
    """

    # A message about a wrong URL must not repeat the password in it.
    model_config = ConfigDict(hide_input_in_errors=True)

    name: Name
    source: Annotated[str, Field(min_length=1, max_length=2048, repr=False)]
    pace: Literal["realtime", "max"] = "realtime"
    loop: bool = False
    fps_limit: Annotated[float, Field(gt=0, le=1000)] | None = None
    folder_fps: Annotated[float, Field(gt=0, le=1000)] = 10.0
    width: Annotated[int, Field(ge=16, le=16384)] | None = None
    height: Annotated[int, Field(ge=16, le=16384)] | None = None
    reconnect_initial_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    reconnect_max_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    stall_timeout_s: Annotated[float, Field(ge=0.5, le=600)] = 10.0

    @field_validator("source", mode="before")
    @classmethod
    def _index_as_device(cls, value: object) -> object:
        is_index = (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, str) and value.isascii() and value.isdigit()
        )
        if not is_index:
            return value
        if not 0 <= int(str(value)) <= 255:  # noqa: PLR2004 - V4L2 has 256 minor numbers
            msg = "a device number is 0 to 255, as in /dev/video0"
            raise ValueError(msg)
        return f"/dev/video{int(str(value))}"

    @field_validator("source")
    @classmethod
    def _readable_address(cls, value: str) -> str:
        if "\0" in value:
            msg = "holds a NUL character; give a path, a device or a URL"
            raise ValueError(msg)
        match = _URL.match(value)
        if match is None:
            return value
        scheme = match.group(1).lower()
        if scheme not in STREAM_SCHEMES:
            msg = f"no camera is read over {scheme}://; use {', '.join(f'{s}://' for s in STREAM_SCHEMES)}, or a path"
            raise ValueError(msg)
        host = _host_of(value)
        if not host:
            msg = f"the {scheme}:// URL names no host, or no valid port; write {scheme}://host:port/path"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        for message in self._contradictions():
            raise ValueError(message)
        return self

    def _contradictions(self) -> list[str]:
        recorded, device = self.kind is SourceKind.RECORDED, self.kind is SourceKind.DEVICE
        wrong = {
            'pace: "max" is for files and folders; a live camera has its own pace, so leave it out': (
                self.pace == "max" and not recorded
            ),
            "loop: only files and folders can begin again; leave it out for a live camera": self.loop
            and not recorded,
            "width, height: only a /dev/video device can be asked for a size; leave them out here": (
                (self.width is not None or self.height is not None) and not device
            ),
            "width, height: give both or neither": (self.width is None) != (self.height is None),
            "reconnect_max_s: must not be less than reconnect_initial_s": (
                self.reconnect_max_s < self.reconnect_initial_s
            ),
        }
        return [message for message, is_so in wrong.items() if is_so]

    @property
    def kind(self) -> SourceKind:
        """What the source is, as far as its text tells; file or folder shows when it is opened."""
        if _URL.match(self.source):
            return SourceKind.STREAM
        path = Path(self.source)
        is_device = path.is_relative_to("/dev") and not path.is_relative_to(_MEMORY)
        return SourceKind.DEVICE if is_device else SourceKind.RECORDED

    @property
    def redacted_source(self) -> str:
        """The source without user, password and query, which may hold either: for logs, states and messages."""
        if self.kind is not SourceKind.STREAM:
            return self.source
        parts = urlsplit(self.source)
        where = parts.netloc.rpartition("@")[2]
        shown = f"{_HIDDEN}@{where}" if "@" in parts.netloc else where
        return urlunsplit(SplitResult(parts.scheme, shown, parts.path, _HIDDEN if parts.query else "", ""))


def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port != 0
    except ValueError:
        return None
    return parts.hostname if port_is_sound else None
