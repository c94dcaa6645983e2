"""The frames of a labelled video, in decoding order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from cloud.registry.errors import PictureTorn
from vision.detections import Image
from wire.messages import MAX_PICTURE_PIXELS

_MEND: Final = "Give a video that OpenCV's FFmpeg reads, such as H.264 in MP4."


def clip_frames(file: Path, called: str) -> Iterator[Image]:
    """Each frame, uint8 (H, W, 3), BGR.

    Args:
        file: The video.
        called: What a person knows it as.

    Raises:
        PictureTorn: It is no video, has frames that are too large to decode safely, or has none.
    """
    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise PictureTorn(f"{called} is no video that can be read", _MEND)
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PICTURE_PIXELS:
            raise PictureTorn(f"{called} has frames of {width:.0f}×{height:.0f} pixels", "Give a smaller video.")
        read, frame = capture.read()
        if not read:
            raise PictureTorn(f"{called} has no frame that can be read", _MEND)
        while read:
            yield frame.astype(np.uint8, copy=False)
            read, frame = capture.read()
    finally:
        capture.release()
