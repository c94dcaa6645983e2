"""Says on standard error what is being done; on a terminal, with the seconds it has taken so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

# Fast enough to look alive, slow enough to cost nothing.
_TICK_S: Final = 0.2


class Progress:
    """One line per step."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Prints a step."""
        if not self._quiet:
            print(text, file=self._stream, flush=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Prints a step that takes long, and counts its seconds on a terminal."""
        if self._quiet or not self._stream.isatty():
            self.say(text)
            yield
            return
        done = threading.Event()
        counter = threading.Thread(target=self._count, args=(text, done), name="progress", daemon=True)
        counter.start()
        try:
            yield
        finally:
            done.set()
            counter.join()

    def _count(self, text: str, done: threading.Event) -> None:
        started = time.monotonic()
        while not done.wait(_TICK_S):
            print(f"\r{text} … {time.monotonic() - started:.0f} s", end="", file=self._stream, flush=True)
        print(f"\r{text} … {time.monotonic() - started:.1f} s", file=self._stream, flush=True)
