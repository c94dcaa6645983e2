"""Non-maximum suppression, each class on its own."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from vision.outputs.reading import Candidates, Indices

MAX_DETECTIONS: Final = 100
"""As COCO's own evaluation keeps."""
# Boxes are kept within a picture's width of the picture: OpenCV tells classes apart by offsets as large as the
# largest coordinate, and would lose precision to a box that a bad head threw far out.
_FAR: Final = 2.0


def suppress(candidates: Candidates, iou_threshold: float) -> Indices:
    """Places of the candidates that stay, best first, at most `MAX_DETECTIONS`."""
    if not len(candidates.scores):
        return np.zeros(0, np.intp)
    boxes = np.clip(candidates.boxes, 1.0 - _FAR, _FAR)
    boxes[:, 2:] -= boxes[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(
        boxes.tolist(), candidates.scores.tolist(), candidates.classes.tolist(), 0.0, iou_threshold
    )
    places = np.asarray(kept, np.intp).reshape(-1)
    return places[np.argsort(-candidates.scores[places], kind="stable")][:MAX_DETECTIONS]
