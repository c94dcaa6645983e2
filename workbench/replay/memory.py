"""What detectors said, kept on disk, so that a clip is replayed again and again without a model running twice.

Answers are filed under what was asked: the model with its settings, and the pixels of the picture. A crop of a
frame, a whole frame and a picture that came out of a JPEG are thus all kept alike, and none is ever taken for
another: a clip that was edited, a model that was built anew or a decoder that gives other pixels each find nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from vision.detections import Detections, Detector, Image
from workbench.errors import MemoryUnusable

FLOOR: Final = 0.05
"""The lowest score that is kept: below it the default models say nothing but noise."""
_FIELDS: Final = 6
"""Of a kept row: box, score, class."""


class Memory:
    """Answers by what was asked, in one file; several processes may share it. Used as a context.

    Args:
        file: Made where it is missing; None keeps nothing beyond the process.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            # Each answer is a transaction of its own: another process never waits for one of .2 s.
            self._rows = sqlite3.connect(file or ":memory:", timeout=60.0, isolation_level=None)
            self._rows.execute("PRAGMA journal_mode=WAL")
            # What a power cut takes is only work to be done again.
            self._rows.execute("PRAGMA synchronous=OFF")
            self._rows.execute("CREATE TABLE IF NOT EXISTS answers (asked BLOB PRIMARY KEY, said BLOB) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as refused:
            raise self._unusable(refused) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def get(self, asked: bytes) -> bytes | None:
        """What was said to this, if anything was.

        Raises:
            MemoryUnusable: The file is damaged, or no database.
        """
        try:
            row = self._rows.execute("SELECT said FROM answers WHERE asked = ?", (asked,)).fetchone()
        except sqlite3.Error as refused:
            raise self._unusable(refused) from None
        return None if row is None else bytes(row[0])

    def put(self, asked: bytes, said: bytes) -> None:
        """Keep an answer.

        Raises:
            MemoryUnusable: The disk is full, or refuses.
        """
        try:
            self._rows.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (asked, said))
        except sqlite3.Error as refused:
            raise self._unusable(refused) from None

    def _unusable(self, refused: Exception) -> MemoryUnusable:
        return MemoryUnusable(
            f"remembered detections in {self._file} can't be used: {refused}",
            "Make room, delete that file, or name another folder with --cache.",
        )


class RememberingDetector:
    """A detector that is asked about each picture once. Implements `vision.detections.Detector`.

    Args:
        model: Asked where nothing is remembered.
        identity: Of the model and all its settings: whatever else it says must have another.
        memory: Where its answers are kept.

    Attributes:
        asked: How often it was asked.
        judged: How often the model itself had to look.
    """

    def __init__(self, model: Detector, identity: str, memory: Memory) -> None:
        self._model = model
        self._identity = identity.encode()
        self._memory = memory
        self.asked = 0
        self.judged = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Detector`."""
        return self._model.labels

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `Detector`; a `min_score` below FLOOR counts as FLOOR."""
        self.asked += 1
        key = self._key(image)
        said = self._memory.get(key)
        if said is None:
            self.judged += 1
            said = _packed(self._model.detect(image, FLOOR))
            self._memory.put(key, said)
        return _unpacked(said, max(min_score, FLOOR), self.labels)

    def _key(self, image: Image) -> bytes:
        asked = hashlib.sha256(self._identity)
        asked.update(repr(image.shape).encode())
        asked.update(np.ascontiguousarray(image).data)
        return asked.digest()


def _packed(found: Detections) -> bytes:
    rows = np.empty((len(found), _FIELDS), np.float32)
    rows[:, :4], rows[:, 4], rows[:, 5] = found.boxes, found.scores, found.classes
    return rows.tobytes()


def _unpacked(said: bytes, min_score: float, labels: tuple[str, ...]) -> Detections:
    rows = np.frombuffer(said, np.float32).reshape(-1, _FIELDS)
    rows = rows[rows[:, 4] >= min_score]
    return Detections(rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int32), labels)
