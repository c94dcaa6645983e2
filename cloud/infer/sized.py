"""Looking at small pictures one way and at large ones another."""

from __future__ import annotations

from vision.detections import Detections, Detector, Image


class SizedDetector:
    """Asks `large` about pictures whose longer side has at least `large_from_px` pixels, `small` about the others.

    Both must name the same labels.
    """

    def __init__(self, small: Detector, large: Detector, *, large_from_px: int) -> None:
        if small.labels != large.labels:
            msg = "both detectors must name the same labels"
            raise ValueError(msg)
        self._small = small
        self._large = large
        self._large_from_px = large_from_px

    @property
    def labels(self) -> tuple[str, ...]:
        """Of either."""
        return self._small.labels

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `vision.detections.Detector`."""
        chosen = self._large if max(image.shape[:2]) >= self._large_from_px else self._small
        return chosen.detect(image, min_score)
