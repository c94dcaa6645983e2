"""Progress of long work, for a person at a terminal; nothing at all where the output goes elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Final

EVERY_S: Final = 0.2


@dataclass(slots=True)
class Progress:
    """How far the work is."""

    unit: str
    done: int = 0
    began: float = field(default_factory=time.monotonic)


class Line:
    """Draws progress over one line of standard error."""

    def __init__(self) -> None:
        self._drawn_at = 0.0
        self._drawn = False

    def show(self, progress: Progress) -> None:
        """Draw, at most five times a second."""
        now = time.monotonic()
        if not sys.stderr.isatty() or now - self._drawn_at < EVERY_S:
            return
        rate = progress.done / max(now - progress.began, 1e-3)
        sys.stderr.write(f"\r{progress.done} {progress.unit}, {rate:.0f}/s\x1b[K")
        sys.stderr.flush()
        self._drawn_at, self._drawn = now, True

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
