"""Logging: lines for people on a terminal, JSON for programs. What is logged never holds a token."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Chatty by the message, or saying as an error what we say ourselves.
_QUIET: Final = {
    "aiosqlite": logging.WARNING,
    "alembic": logging.WARNING,
    "mqtt": logging.ERROR,
    "nats": logging.CRITICAL,
    "tuf": logging.WARNING,
    "uvicorn": logging.WARNING,
}


def configure(level: LogLevel, form: LogFormat) -> None:
    """Log to standard error, at `level` and above."""
    output = logging.StreamHandler(sys.stderr)
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    output.setFormatter(JsonLines() if as_json else Lines())
    logging.basicConfig(level=level.upper(), handlers=[output], force=True)
    for name, quieter in _QUIET.items():
        logging.getLogger(name).setLevel(quieter)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; whatever was passed as `extra` stands beside the usual."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Lines(logging.Formatter):
    """One line of text."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message, and what was passed as `extra`."""
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{at} {record.levelname.lower():7} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value != 0}
