"""Small labelled sets, written as people have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cloud.registry.evaluation.building import Sources
from vision.pictures import encode_jpeg

SIZE = (64, 48)
"""Width and height of every picture."""
FOUND = [25.6, 14.4, 12.8, 19.2]
"""x, y, width and height of the one thing that the tests' model says of every picture."""


def nothing(done: int, of: int | None) -> None:
    """No progress is shown."""


def picture(grey: int = 90) -> bytes:
    return encode_jpeg(np.full((SIZE[1], SIZE[0], 3), grey, np.uint8))


def write_coco(folder: Path, **changes: Any) -> Sources:
    """Three pictures: a person where the model finds one, a person elsewhere, and nobody; `changes` replace parts."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    names = ("a.jpg", "b.jpg", "c.jpg")
    for grey, name in enumerate(names, 90):
        (pictures / name).write_bytes(picture(grey))
    document = {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7, "bbox": FOUND, "iscrowd": 0, "area": 1},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9]},
        ],
        "categories": [{"id": 7, "name": "person"}, {"id": 8, "name": "unused"}],
    }
    (folder / "labels.json").write_text(json.dumps(document | changes))
    return Sources(pictures, folder / "labels.json")


def write_video(file: Path, frames: int) -> Path:
    """Frames of one grey, each a little brighter than the one before."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE)
    for grey in range(frames):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 90 + grey, np.uint8))
    writer.release()
    return file
