"""Clips, pictures, models and configurations that the agent's own tests are run on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, write_manifest, yolo_rows
from workbench.clip import cache_folder

SIDE = 64


def picture(shade: int) -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), 40, np.uint8)
    image[20:44, shade % 40 : shade % 40 + 12] = 200
    return image


def clip(path: Path, frames: int = 12, fps: float = 20.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (SIDE, SIDE))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(picture(3 * index))
    writer.release()
    return path


def folder(path: Path, pictures: int = 3) -> Path:
    path.mkdir()
    for index in range(pictures):
        assert cv2.imwrite(str(path / f"{index}.png"), picture(9 * index))
    (path / "notes.txt").write_text("no picture")
    return path


def person_model(path: Path, score: float = 0.9) -> Path:
    """A folder with a model that sees one person of that score in the middle of whatever it is shown."""
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), score, 0)])
    file = build(path / "model.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)])
    write_manifest(file, output={"kind": "yolov5"})
    return path


def demo_clip() -> Path:
    path = cache_folder() / "vtest.avi"
    if not path.is_file():
        pytest.skip("the demo's clip is not in the cache; `make clip` fetches it")
    return path
