"""What stands in a mask is not even tracked."""

from __future__ import annotations

import numpy as np

from agent.decide.masks import MaskFilter
from agent.decide.settings import MaskSettings
from vision.detections import Detections, no_detections

STREET = MaskSettings(camera="front", polygon=((0, 0), (1, 0), (1, 0.5), (0, 0.5)))
TWO = Detections(
    np.array([[0.1, 0.1, 0.2, 0.4], [0.1, 0.1, 0.2, 0.9]], np.float32),
    np.array([0.9, 0.8], np.float32),
    np.array([1, 0], np.int32),
    ("person", "car"),
)


def test_only_what_stands_outside_is_kept():
    kept = MaskFilter([STREET], "front").keep(TWO)
    assert len(kept) == 1
    assert kept.label(0) == "person"
    assert kept.boxes[0].tolist() == TWO.boxes[1].tolist()
    assert kept.scores.tolist() == TWO.scores[1:].tolist()


def test_another_cameras_mask_changes_nothing():
    assert MaskFilter([STREET], "back").keep(TWO) is TWO


def test_nothing_is_kept_of_nothing():
    assert len(MaskFilter([STREET], "front").keep(no_detections(("person",)))) == 0
