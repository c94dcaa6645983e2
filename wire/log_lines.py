"""What a line of the log looks like, the same on the device and in the cloud. Pure.

The ids that join both have the names that they have in messages: `device`, `boot_id`, `alert_id`, `question_id`,
`command_id`, `deployment_id`. One search for an id finds what both sides did about it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

JOINING: Final = ("device", "boot_id", "alert_id", "question_id", "command_id", "deployment_id")
"""The ids by which lines of both sides belong together."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET: Final = re.compile(
    r"(://[^/\s:@]{0,200}:)[^\s/]{0,200}(?:/[^\s/@]{0,200}){0,4}@"  # a URL's password, also with @ or / in it
    r"|((?i:[?&](?:password|passwd|pwd|pass|token|key|auth)=))[^&\s\"']+"  # one in a URL's query
    r"|(vdt_|vdc1\.)[A-Za-z0-9_-]+"  # a device's token, or the claim by which it is enrolled
    r"|((?i:bearer|basic)\s+)[A-Za-z0-9._~+/=-]+"  # what an HTTP request proves itself by
    r"|(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)[^-]+"
)


def without_secrets(text: str) -> str:
    """`text` with passwords in URLs, tokens, claims, private keys and HTTP authorisations blotted out.

    Nothing secret is handed to the log in the first place; this is for what foreign code says of its own accord.
    """
    return _SECRET.sub(_blot, text)


def _blot(found: re.Match[str]) -> str:
    url, *others = found.groups()
    return f"{url}…@" if url else f"{next(filter(None, others))}…"


def is_json(form: LogFormat, *, for_people: bool) -> bool:
    """Whether lines are JSON; `auto` is text where people read: on a terminal, and in systemd's journal."""
    return form == "json" or (form == "auto" and not for_people)


class JsonLines(logging.Formatter):
    """One JSON object a line.

    Attributes:
        always: Fields that stand in every line, such as the device and its boot.
    """

    def __init__(self) -> None:
        super().__init__()
        self.always: Mapping[str, str] = {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; whatever was passed as `extra` stands beside the usual."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
            **self.always,
            **extra_of(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps({name: _clean(value) for name, value in line.items()}, default=_as_text)


class TextLines(logging.Formatter):
    """One line of text; times are UTC, since devices move and lie about their zone."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message, and what was passed as `extra`."""
        extra = "".join(f" {name}={value}" for name, value in extra_of(record).items())
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{at} {record.levelname:7} {record.name}: {record.getMessage()}{extra}"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return without_secrets(line + trace)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    return value


def _as_text(value: object) -> str:
    return without_secrets(str(value))


def extra_of(record: logging.LogRecord) -> dict[str, object]:
    """What was passed as `extra`; a zero says nothing."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value != 0}
