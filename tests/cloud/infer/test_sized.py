from __future__ import annotations

import numpy as np
import pytest

from cloud.infer.sized import SizedDetector
from vision.detections import no_detections


class Asked:
    def __init__(self, *labels):
        self.labels = labels
        self.count = 0

    def detect(self, image, min_score):
        self.count += 1
        return no_detections(self.labels)


@pytest.mark.parametrize(("height", "width", "small"), [(10, 10, True), (40, 100, True), (101, 40, False)])
def test_the_longer_side_chooses(height, width, small):
    little, big = Asked("person"), Asked("person")
    SizedDetector(little, big, large_from_px=101).detect(np.zeros((height, width, 3), np.uint8), 0.5)
    assert (little.count, big.count) == ((1, 0) if small else (0, 1))


def test_detectors_of_different_labels_are_refused():
    with pytest.raises(ValueError, match="labels"):
        SizedDetector(Asked("person"), Asked("car"), large_from_px=101)
