"""What a model said of parts of frames, kept on disk: a policy is tried again without its model running again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np

from vision.detections import Detections, Image
from vision.detector import ModelDetector

FLOOR: Final = 0.1
"""The lowest score that is kept: below it the default model says nothing but noise."""
Place = tuple[int, int, int, int, int]
"""Frame, x, y, width and height of the part, in pixels."""


class RecordedDetector:
    """A detector that remembers. Implements `vision.detections.Detector` for parts of the frame that was shown last.

    Args:
        model: The detector to ask where nothing is remembered.
        file: Where it is kept; made by `save`, and only used for the same model.

    Attributes:
        asked: How often it was asked, remembered or not.
        spent_s: How long the answers took.
    """

    def __init__(self, model: ModelDetector, file: Path) -> None:
        self._model = model
        self._file = file
        self._known: dict[Place, Detections] = {}
        self._frame = 0
        self._image: Image = np.zeros((1, 1, 3), np.uint8)
        self._new = 0
        self.asked = 0
        self.spent_s = 0.0
        if file.is_file():
            self._load()

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Detector`."""
        return self._model.labels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the model's input, in pixels."""
        return (self._model.manifest.input.width, self._model.manifest.input.height)

    def show(self, frame: int, image: Image) -> None:
        """From here on, what is asked about is this frame or a view of a part of it."""
        self._frame, self._image = frame, image

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `Detector`; `min_score` must not be below FLOOR."""
        began = time.perf_counter()
        place = self._place(image)
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = self._model.detect(image, FLOOR)
            self._new += 1
        kept = found.scores >= min_score
        found = Detections(found.boxes[kept], found.scores[kept], found.classes[kept], found.labels)
        self.asked += 1
        self.spent_s += time.perf_counter() - began
        return found

    def timed(self, image: Image) -> float:
        """How long the model itself takes for a picture, in seconds; nothing is remembered of it."""
        began = time.perf_counter()
        self._model.detect(image, FLOOR)
        return time.perf_counter() - began

    def save(self) -> None:
        """Keep what was learnt."""
        if not self._new:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        answers = list(self._known.values())
        with self._file.open("wb") as out:
            np.savez(
                out,
                model=np.array(self._model.manifest.digest),
                places=np.array(list(self._known), np.int32),
                counts=np.array([len(answer) for answer in answers], np.int32),
                boxes=np.concatenate([answer.boxes for answer in answers]),
                scores=np.concatenate([answer.scores for answer in answers]),
                classes=np.concatenate([answer.classes for answer in answers]),
            )
        self._new = 0

    def _load(self) -> None:
        with np.load(self._file) as stored:
            if str(stored["model"]) != self._model.manifest.digest:
                return
            ends = np.cumsum(stored["counts"])[:-1]
            boxes, scores, classes = (np.split(stored[name], ends) for name in ("boxes", "scores", "classes"))
            rows = zip(stored["places"].tolist(), boxes, scores, classes, strict=True)
            for (frame, x, y, width, height), box, score, index in rows:
                self._known[frame, x, y, width, height] = Detections(box, score, index, self._model.labels)

    def _place(self, part: Image) -> Place:
        """Where in the frame a view of it lies."""
        row, column = self._image.strides[:2]
        offset = part.ctypes.data - self._image.ctypes.data
        height, width = part.shape[:2]
        return (self._frame, offset % row // column, offset // row, width, height)
