"""Where the agent's log goes: lines for people, or JSON for programs, to standard error, which the journal takes up.

The journal keeps its own time, so there each line carries its priority instead of a time, as sd-daemon(3) has it:
`journalctl -p warning` then shows what deserves a look, and an error of several lines stays one in priority.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

from agent.deliver.messages import Boot
from wire.log_lines import JsonLines, LogFormat, TextLines, extra_of, is_json, without_secrets

PRIORITIES: Final = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""syslog's numbers, by ours."""


def begin_logging(level: str, form: LogFormat = "auto") -> None:
    """Log from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    to_journal = _to_journal(os.environ)
    for_people = TextLines() if not to_journal else JournalLines()
    is_read = sys.stderr.isatty() or to_journal
    handler.setFormatter(JsonLines() if is_json(form, for_people=is_read) else for_people)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # One line per HTTP request would drown what matters, and holds URLs.
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class JournalLines(logging.Formatter):
    """A priority before each line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        extra = "".join(f" {name}={value}" for name, value in extra_of(record).items())
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        said = without_secrets(f"{record.name}: {record.getMessage()}{extra}{trace}")
        level = max((known for known in PRIORITIES if known <= record.levelno), default=logging.DEBUG)
        return "\n".join(f"<{PRIORITIES[level]}>{line}" for line in said.splitlines())


def named_in_log(boot: Boot) -> Boot:
    """The same; the device and this start of its agent are named in every JSON line from here on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.always = {"device": boot.device, "boot_id": boot.boot_id}
    return boot


def _to_journal(environment: Mapping[str, str]) -> bool:
    """Whether standard error is the journal's stream itself, and not a file or pipe that a child was given."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or replaced by something without a descriptor
        return False
    return environment.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
