"""Logging: lines for people on a terminal, JSON for programs. What is logged never holds a token."""

from __future__ import annotations

import logging
import os
import sys
from datetime import datetime
from typing import Final

from wire.log_lines import JsonLines, LogFormat, LogLevel, extra_of, is_json, without_secrets

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
    for_people = sys.stderr.isatty() or "JOURNAL_STREAM" in os.environ
    output.setFormatter(JsonLines() if is_json(form, for_people=for_people) else Lines())
    logging.basicConfig(level=level.upper(), handlers=[output], force=True)
    for name, quieter in _QUIET.items():
        logging.getLogger(name).setLevel(quieter)


class Lines(logging.Formatter):
    """One line of text."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message, and what was passed as `extra`."""
        extra = "".join(f" {name}={value}" for name, value in extra_of(record).items())
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{at} {record.levelname.lower():7} {record.getMessage()}{extra}"
        return without_secrets(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


class Trouble:
    """A look that is taken every second may fail for hours: logged once, and again when it fails otherwise."""

    def __init__(self) -> None:
        self._said = ""

    def begins(self, trouble: object) -> bool:
        """The look failed; whether the one before did not, or otherwise."""
        before, self._said = self._said, str(trouble)
        return before != self._said

    def ends(self) -> bool:
        """The look succeeded; whether the one before failed."""
        before, self._said = self._said, ""
        return bool(before)
