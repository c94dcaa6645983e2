"""What devices said last, read from its columns: parsed once for as long as it stands."""

from __future__ import annotations

import threading
from typing import Final, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

ROOM: Final = 20_000
"""Of 4,000 devices, five each. Beyond it the oldest is read afresh."""


class Documents:
    """Remembers what each text was parsed to, by device and column.

    A device stands in many batches of messages, and on many a dashboard, before anything but its last sign of life
    changes. Measured, reading and writing what had not changed took a third of a batch's time.
    """

    def __init__(self, room: int = ROOM) -> None:
        """Nothing is remembered yet.

        Args:
            room: Documents that are remembered at most.
        """
        self._room = room
        # Batches are committed in a thread of their own.
        self._lock = threading.Lock()
        self._read: dict[tuple[str, str], tuple[str, BaseModel]] = {}

    def read(self, kind: type[M], device: str, column: str, text: str) -> M:
        """What the text says; the same object for the same text, which is frozen.

        Raises:
            ValidationError: It is no such document.
        """
        known = self._read.get((device, column))
        if known is not None and known[0] == text and isinstance(known[1], kind):
            return known[1]
        document = kind.model_validate_json(text)
        self._keep(device, column, text, document)
        return document

    def maybe(self, kind: type[M], device: str, column: str, text: str | None) -> M | None:
        """The same, of a column that may be empty."""
        return None if text is None else self.read(kind, device, column, text)

    def _keep(self, device: str, column: str, text: str, document: BaseModel) -> None:
        key = (device, column)
        with self._lock:
            if key not in self._read and len(self._read) >= self._room:
                del self._read[next(iter(self._read))]
            self._read[key] = (text, document)
