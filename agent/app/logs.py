"""Where the agent's log goes: lines for people, to standard error, which systemd's journal takes up.

The journal keeps its own time, so there each line carries its priority instead of a time, as sd-daemon(3) has it:
`journalctl -p warning` then shows what deserves a look, and an error of several lines stays one in priority.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Final

PRIORITIES: Final = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""syslog's numbers, by ours."""


def begin_logging(level: str) -> None:
    """Log from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalFormatter() if _to_journal(os.environ) else _for_people())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # One line per HTTP request would drown what matters, and holds URLs.
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class JournalFormatter(logging.Formatter):
    """A priority before each line."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        level = max((known for known in PRIORITIES if known <= record.levelno), default=logging.DEBUG)
        return "\n".join(f"<{PRIORITIES[level]}>{line}" for line in super().format(record).splitlines())


def _for_people() -> logging.Formatter:
    """With times in UTC, since devices move and lie about their zone."""
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


def _to_journal(environment: Mapping[str, str]) -> bool:
    """Whether standard error is the journal's stream itself, and not a file or pipe that a child was given."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or replaced by something without a descriptor
        return False
    return environment.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
