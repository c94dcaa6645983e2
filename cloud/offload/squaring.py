"""Giving a small picture a margin before a model sees it, and putting what it saw back in place.

A detector's input is square, and its pictures are stretched to fit. A crop around a person is half as wide as it is
high, and the person fills it: stretched, it shows a shape, and enlarged a blur, that no model was trained on. With
its edges repeated around it, as a square of one and a half times its longer side, precision and recall on such crops
rise from .93 and .84 to .98 and .89 (89 people in 16 frames of the first half of PETS09-S2L1, JPEG of quality 40); as
a square that just holds it, to .97 and .87; of twice its side, to .96 and .84.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from vision.detections import Detections, Image

LARGEST_PX: Final = 480
"""Larger pictures are cut into tiles, see `cloud.infer.default`, and are wide enough as they are."""
ROOM: Final = 1.5
"""Side of the square, in longer sides of the picture."""


class Squared(NamedTuple):
    """A picture with its edges repeated.

    Attributes:
        left, top: Pixels that were added there.
        width, height: Of the picture as it was.
    """

    image: Image
    left: int
    top: int
    width: int
    height: int


def squared(image: Image) -> Squared:
    """`image`, uint8 (H, W, 3), in the middle of a square, where it is small."""
    height, width = image.shape[:2]
    side = round(ROOM * max(width, height))
    if max(width, height) >= LARGEST_PX:
        return Squared(np.ascontiguousarray(image), 0, 0, width, height)
    left, top = (side - width) // 2, (side - height) // 2
    around = ((top, side - height - top), (left, side - width - left), (0, 0))
    return Squared(np.pad(image, around, mode="edge"), left, top, width, height)


def in_picture(seen: Detections, made: Squared) -> Detections:
    """What was seen in the square, in shares of the picture as it was; what lies wholly beside it is left out."""
    high, wide = made.image.shape[:2]
    scale = np.array([wide / made.width, high / made.height] * 2, np.float32)
    offset = np.array([made.left / made.width, made.top / made.height] * 2, np.float32)
    boxes = np.clip(seen.boxes * scale - offset, 0.0, 1.0).astype(np.float32)
    there = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[there], seen.scores[there], seen.classes[there], seen.labels)
