"""What differs from the background; and the motion gate: a still scene is not worth an inference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from agent.domain import Box
from agent.settings import Settings
from vision.detections import Image

WIDTH: Final = 160
"""A person ten pixels wide in a 640-pixel frame still covers several pixels."""
ROWS_PER_CELL: Final = 2
"""Of the rows of pixels under a row of cells, as many are read: a whole 1080p frame costs several times as much, and
with whole runs of twelve pixels in each row, two are enough to average the noise away."""
GREY: Final = 2
"""Dimensions of a picture without colours."""
DIAGONALLY: Final = 8
"""Cells that touch by a corner belong together."""
AROUND: Final = 2
"""Cells around a detector's box in which what it is of differs from the background, too: softening widens that by
one, and a box lies beside its object by another."""
LIGHT_SHARE: Final = 0.6
"""Where more of the picture changes at once, it was the light (or the camera moved), not an object."""


class MotionSettings(Settings):
    """When a scene counts as still.

    Attributes:
        threshold: By how many grey levels of 255 a place must differ from the background.
        min_area: The share of the picture that must differ.
        forced_look_s: A still scene is looked at all the same after so long; 0: never skip.
        hold_s: For so long after motion, every frame is looked at.
        background_s: How fast the background takes on what stays: the time constant of its average.
    """

    threshold: Annotated[float, Field(ge=1, le=255)] = 10.0
    min_area: Annotated[float, Field(gt=0, le=1)] = 0.0005
    forced_look_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    hold_s: Annotated[float, Field(ge=0, le=3600)] = 2.0
    background_s: Annotated[float, Field(gt=0, le=3600)] = 8.0


class MotionGate:
    """Compares each frame of one camera with the running average of those before, at a fraction of its size."""

    def __init__(self, settings: MotionSettings) -> None:
        self._settings = settings
        self._planes: Planes | None = None
        self._seen_at = 0.0
        self._looked_at = 0.0
        self._moved_at = 0.0

    def still(self, image: Image, now: float) -> bool:
        """Whether the frame can be skipped.

        Args:
            image: uint8 (H, W, 3), BGR; any size, and a new size begins anew.
            now: When it was captured, in seconds.
        """
        if self._moved(image, now):
            self._moved_at = now
        held = now - self._moved_at <= self._settings.hold_s
        if held or now - self._looked_at >= self._settings.forced_look_s:
            self._looked_at = now
            return False
        return True

    def _moved(self, image: Image, now: float) -> bool:
        planes = self._planes
        if planes is None or planes.shape != image.shape:
            self._planes = Planes(image)
            self._seen_at = now
            return True
        planes.load(image)
        share = planes.differing(self._settings.threshold)
        if share > LIGHT_SHARE:
            planes.begin_anew()
        else:
            planes.blend(1.0 - math.exp(-max(0.0, now - self._seen_at) / self._settings.background_s))
        self._seen_at = now
        return share >= self._settings.min_area


class Planes:
    """The small pictures of one camera, allocated once for a frame size.

    Args:
        image: uint8 (H, W, 3), BGR, or (H, W), grey; all others must have the same shape.
        cells: How many there are across, about.
    """

    def __init__(self, image: Image, cells: int = WIDTH) -> None:
        self.shape = image.shape
        height, width = image.shape[:2]
        # Cells of whole pixels: for these, averaging by area has a path that is four times as fast.
        cell = max(1, round(width / cells))
        if image.ndim == GREY and cell > 1:
            # To halve first takes a fifth of the time.
            cell += cell % 2
        self._even = cell % 2 == 0
        self._row_step = max(1, cell // ROWS_PER_CELL)
        columns, rows = width // cell, max(1, height // (self._row_step * ROWS_PER_CELL))
        self._size = columns, rows
        self._height = min(height, rows * self._row_step * ROWS_PER_CELL)
        self._width = columns * cell
        # Grey before it is made small: one plane to average instead of three, half the time.
        self._read = np.empty((len(range(0, self._height, self._row_step)), self._width), np.uint8)
        self._grey = np.empty((rows, columns), np.uint8)
        self._average = np.empty((rows, columns), np.float32)
        self._background = np.empty((rows, columns), np.uint8)
        self._difference = np.empty((rows, columns), np.uint8)
        self.load(image)
        self.begin_anew()

    def load(self, image: Image) -> None:
        """Take in a frame: thinned by rows, grey, averaged by area, softened against noise."""
        if image.ndim == GREY:
            grey = image[: self._height, : self._width]
            if self._even:
                # To halve twice takes a sixth of the time of averaging by four at once.
                half = self._width // 2, max(self._height // 2, 1)
                grey = np.asarray(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), np.uint8)
        else:
            read = image[: self._height : self._row_step, : self._width]
            cv2.cvtColor(read, cv2.COLOR_BGR2GRAY, dst=self._read)
            grey = self._read
        cv2.resize(grey, self._size, dst=self._grey, interpolation=cv2.INTER_AREA)
        cv2.blur(self._grey, (3, 3), dst=self._grey)

    def begin_anew(self) -> None:
        """The frame at hand is the background from here on."""
        self._average[:] = self._grey

    def differing(self, threshold: float) -> float:
        """The share of the picture that differs from the background by more than `threshold` grey levels."""
        cv2.convertScaleAbs(self._average, dst=self._background)
        cv2.absdiff(self._grey, self._background, dst=self._difference)
        cv2.threshold(self._difference, threshold, 255, cv2.THRESH_BINARY, dst=self._difference)
        return cv2.countNonZero(self._difference) / self._difference.size

    def clear(self, places: Sequence[Box]) -> None:
        """Let what was found to differ last count no more in and around these places, in shares of the frame."""
        rows, columns = self._difference.shape
        across, down = columns * self.shape[1] / self._width, rows * self.shape[0] / self._height
        for x1, y1, x2, y2 in places:
            top, bottom = max(math.floor(y1 * down) - AROUND, 0), math.ceil(y2 * down) + AROUND
            left, right = max(math.floor(x1 * across) - AROUND, 0), math.ceil(x2 * across) + AROUND
            self._difference[top : max(bottom, 0), left : max(right, 0)] = 0

    def blobs(self, smallest: float, joined: npt.NDArray[np.uint8]) -> list[Box]:
        """Boxes, in shares of the frame, around what was found to differ last.

        Args:
            smallest: The least area, as a share of the picture.
            joined: uint8 (H, W); parts as near to each other as this reaches are one.
        """
        apart = cv2.dilate(self._difference, joined)
        # This algorithm takes half the time of the usual one in pictures so small.
        _, _, found, _ = cv2.connectedComponentsWithStatsWithAlgorithm(apart, DIAGONALLY, cv2.CV_32S, cv2.CCL_BBDT)
        rows, columns = self._difference.shape
        # The cells at the right and lower edge that make no whole one are left out of the planes.
        across, down = self._width / self.shape[1] / columns, self._height / self.shape[0] / rows
        return [
            (x * across, y * down, (x + width) * across, (y + height) * down)
            for x, y, width, height, cells in found[1:].tolist()
            if cells >= smallest * rows * columns
        ]

    def blend(self, alpha: float) -> None:
        """Move the background towards the frame at hand."""
        cv2.accumulateWeighted(self._grey, self._average, alpha)
