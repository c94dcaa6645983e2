"""What is ignored before it is even tracked."""

from __future__ import annotations

from collections.abc import Iterable

from agent.decide.settings import MaskSettings
from agent.decide.zones import contains, ground_point
from agent.domain import Box
from vision.detections import Detections


class MaskFilter:
    """Drops what stands in a masked part of one camera's picture."""

    def __init__(self, masks: Iterable[MaskSettings], camera: str) -> None:
        self.polygons = tuple(mask.polygon for mask in masks if mask.camera == camera)

    def hides(self, box: Box) -> bool:
        """Whether an object of this box stands in a masked part."""
        return any(contains(polygon, ground_point(box)) for polygon in self.polygons)

    def keep(self, detections: Detections) -> Detections:
        """The detections that stand in no mask; the very same object where all are kept."""
        if not self.polygons or not len(detections):
            return detections
        kept = [
            row for row, (x1, y1, x2, y2) in enumerate(detections.boxes.tolist()) if not self.hides((x1, y1, x2, y2))
        ]
        if len(kept) == len(detections):
            return detections
        return Detections(
            detections.boxes[kept], detections.scores[kept], detections.classes[kept], detections.labels
        )
