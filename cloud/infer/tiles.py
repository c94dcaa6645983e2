"""Looking at a picture whole and in overlapping tiles, so that what is small in it is seen too."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from vision.detections import Detections, Detector, Image
from vision.outputs.nms import suppress
from vision.outputs.reading import Candidates, Indices

# A box that ends this near to an inner edge of its tile is most likely a cut-off part of an object that the
# neighbouring tile or the full picture shows whole.
EDGE_PX: Final = 4
NMS_IOU: Final = 0.5


class Window(NamedTuple):
    """A tile in pixels; `x2` and `y2` are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int


def tile_windows(width: int, height: int, tiles: int, overlap: float) -> tuple[Window, ...]:
    """`tiles` × `tiles` windows of one size that cover the picture; neighbours share `overlap` of their side."""
    columns = _spans(width, tiles, overlap)
    return tuple(Window(x1, y1, x2, y2) for y1, y2 in _spans(height, tiles, overlap) for x1, x2 in columns)


def _spans(length: int, tiles: int, overlap: float) -> tuple[tuple[int, int], ...]:
    size = min(length, max(1, -int(-length // (tiles - (tiles - 1) * overlap))))
    last = length - size
    starts = (round(last * place / (tiles - 1)) if tiles > 1 else 0 for place in range(tiles))
    return tuple((start, start + size) for start in starts)


class TiledDetector:
    """A detector that looks at the whole picture, then at each of its tiles, and merges what it saw.

    Attributes:
        tiles: Tiles in each direction; 1 looks at the whole picture only.
        overlap: What neighbouring tiles share, as part of a tile's side.
    """

    def __init__(self, detector: Detector, *, tiles: int = 2, overlap: float = 0.25) -> None:
        self._detector = detector
        self.tiles = tiles
        self.overlap = overlap

    @property
    def labels(self) -> tuple[str, ...]:
        """The inner detector's."""
        return self._detector.labels

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `vision.detections.Detector`."""
        whole = self._detector.detect(image, min_score)
        if self.tiles == 1:
            return whole
        height, width = image.shape[:2]
        seen = [whole]
        for window in tile_windows(width, height, self.tiles, self.overlap):
            tile = np.ascontiguousarray(image[window.y1 : window.y2, window.x1 : window.x2])
            seen.append(_in_picture(self._detector.detect(tile, min_score), window, width, height))
        return _merged(seen, self.labels)


def _in_picture(found: Detections, window: Window, width: int, height: int) -> Detections:
    """The tile's detections in shares of the picture, without those cut off by an inner edge of the tile."""
    scale = np.array([window.x2 - window.x1, window.y2 - window.y1] * 2, np.float32)
    pixels = found.boxes * scale + np.array([window.x1, window.y1] * 2, np.float32)
    cut = np.zeros(len(found), np.bool_)
    if window.x1 > 0:
        cut |= pixels[:, 0] < window.x1 + EDGE_PX
    if window.y1 > 0:
        cut |= pixels[:, 1] < window.y1 + EDGE_PX
    if window.x2 < width:
        cut |= pixels[:, 2] > window.x2 - EDGE_PX
    if window.y2 < height:
        cut |= pixels[:, 3] > window.y2 - EDGE_PX
    boxes = np.clip(pixels / np.array([width, height] * 2, np.float32), 0.0, 1.0).astype(np.float32)
    return _select(Detections(boxes, found.scores, found.classes, found.labels), np.flatnonzero(~cut))


def _merged(seen: list[Detections], labels: tuple[str, ...]) -> Detections:
    """All detections, and of those of one class that show the same object only the surest."""
    every = Detections(
        np.concatenate([one.boxes for one in seen]),
        np.concatenate([one.scores for one in seen]),
        np.concatenate([one.classes for one in seen]),
        labels,
    )
    return _select(every, suppress(Candidates(every.boxes, every.scores, every.classes), NMS_IOU))


def _select(found: Detections, places: Indices) -> Detections:
    return Detections(found.boxes[places], found.scores[places], found.classes[places], found.labels)
