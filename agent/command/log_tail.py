"""The last lines of the log, for `diagnose`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from wire.log_lines import without_secrets

MAX_LINES: Final = 200
MAX_LINE: Final = 300


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


def tail_within(lines: Iterable[str], max_bytes: int) -> list[str]:
    """The last of `lines` that fit, newest last; each costs its UTF-8 bytes as JSON writes them, and two."""
    kept: list[str] = []
    for line in reversed(list(lines)):
        max_bytes -= len(line.encode()) + 2
        if max_bytes < 0:
            break
        kept.append(line)
    return kept[::-1]
