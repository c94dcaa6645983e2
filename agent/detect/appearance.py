"""What an object looks like, in a few numbers: the colours of its upper, middle and lower part."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import cv2

from agent.domain import Appearance
from vision.detections import Detections, Image

BANDS: Final = 3
"""For people: head and shoulders, trunk, legs. More bands differ more between two sightings of one person."""
SIDE: Final = 0.25
"""Of the box's width, left out on either side, where there is mostly background."""


def appearances(image: Image, detections: Detections, labels: Collection[str]) -> list[Appearance | None]:
    """One for each detection; None where the label does not matter, or the box is too small.

    Args:
        image: uint8 (H, W, 3), BGR.
        detections: In it.
        labels: What matters.
    """
    height, width = image.shape[:2]
    seen: list[Appearance | None] = []
    for (x1, y1, x2, y2), index in zip(detections.boxes.tolist(), detections.classes.tolist(), strict=True):
        if detections.labels[index] not in labels:
            seen.append(None)
            continue
        side = SIDE * (x2 - x1)
        part = image[int(y1 * height) : int(y2 * height), int((x1 + side) * width) : int((x2 - side) * width)]
        if part.shape[0] < BANDS or part.shape[1] < 1:
            seen.append(None)
            continue
        seen.append(tuple(map(float, cv2.resize(part, (1, BANDS), interpolation=cv2.INTER_AREA).ravel().tolist())))
    return seen
