"""The last lines of the log, for `diagnose`."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable
from typing import Final

MAX_LINES: Final = 200
MAX_LINE: Final = 300
_SECRET: Final = re.compile(r"(://[^/\s:@]*:)[^@\s/]+@|(vdt_)[A-Za-z0-9_-]+|([Bb]earer +)\S+")
"""Passwords in URLs of cameras, device tokens, HTTP authorisations."""


class LogTail(logging.Handler):
    """Keeps the last lines, without secrets."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self._lines.append(without_secrets(self.format(record).splitlines()[0])[:MAX_LINE])

    def lines(self) -> list[str]:
        """Oldest first."""
        return list(self._lines)


def without_secrets(text: str) -> str:
    """`text` with what must not leave the device blotted out."""
    return _SECRET.sub(_blot, text)


def _blot(found: re.Match[str]) -> str:
    url, token, bearer = found.groups()
    return f"{url}…@" if url else f"{token or bearer}…"


def tail_within(lines: Iterable[str], max_bytes: int) -> list[str]:
    """The last of `lines` that fit, newest last; each costs its UTF-8 bytes as JSON writes them, and two."""
    kept: list[str] = []
    for line in reversed(list(lines)):
        max_bytes -= len(line.encode()) + 2
        if max_bytes < 0:
            break
        kept.append(line)
    return kept[::-1]
