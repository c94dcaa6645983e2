"""Detectors and clips that say what they are told."""

from __future__ import annotations

import numpy as np

from agent.domain import Frame
from vision.detections import Detections

LABELS = ("person", "car")


def detections(*rows, label=0):
    """Each row is x1, y1, x2, y2, score."""
    found = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(found[:, :4], found[:, 4], np.full(len(found), label, np.int32), LABELS)


class ScriptedDetector:
    """Says one thing after the other, the last again and again."""

    labels = LABELS

    def __init__(self, script):
        self._script = list(script)
        self.asked = 0
        self.images = []

    def detect(self, image, min_score):
        found = self._script[min(self.asked, len(self._script) - 1)]
        self.asked += 1
        self.images.append(image)
        kept = found.scores >= min_score
        return Detections(found.boxes[kept], found.scores[kept], found.classes[kept], found.labels)


def frames(count, *, fps=10.0, size=(64, 48), first=0):
    """Grey pictures, each of another grey."""
    for index in range(first, first + count):
        yield Frame("clip", index, np.full((size[1], size[0], 3), index % 250, np.uint8), index / fps, index / fps)
