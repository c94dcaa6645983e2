"""What system tests need that may not be there: a skip, or in CI a failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Never

import cv2
import pytest

from vision.errors import ModelMissing
from vision.models import DEFAULT_MODEL, UPGRADE_MODEL, find_model
from workbench.clip import VTEST_SHA256, cache_folder

CHROMIUM = Path("/usr/bin/chromium")
DASHBOARD = Path(__file__).parents[2] / "cloud" / "web" / "static" / "index.html"


def missing(what: str) -> Never:
    if os.environ.get("VEDETTE_REQUIRE_ENGINES") == "1":
        pytest.fail(what)
    pytest.skip(what)


def need_models() -> None:
    for name in (DEFAULT_MODEL, UPGRADE_MODEL):
        try:
            find_model(name)
        except ModelMissing as why:
            missing(str(why))


def need_clip() -> Path:
    clip = cache_folder() / "vtest.avi"
    if not clip.is_file():
        missing(f"the demo's clip is not there (sha256 {VTEST_SHA256[:12]}…): make clip")
    return clip


def beginning(clip: Path, short: Path, frames: int) -> None:
    """The first seconds of the demo's clip, for what goes through all that it is given."""
    reader = cv2.VideoCapture(str(clip))
    _, frame = reader.read()
    own = short.with_suffix(".avi")
    writer = cv2.VideoWriter(str(own), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, frame.shape[1::-1])
    for _ in range(frames):
        writer.write(frame)
        _, frame = reader.read()
    writer.release()
    reader.release()
    own.rename(short)


def need_browser() -> Path:
    if not CHROMIUM.exists():
        missing(f"{CHROMIUM} is not installed (Debian's package `chromium`)")
    if not DASHBOARD.exists():
        missing("the dashboard is not built: make dashboard")
    return CHROMIUM


def labels() -> Path:
    """MOT labels of the demo's clip; evaluation data, so that nobody must have it."""
    shared = Path(os.environ.get("VEDETTE_SHARED", Path(__file__).parents[3] / "shared" / "data"))
    found = shared / "pets09-s2l1" / "gt.txt"
    if not found.is_file():
        pytest.skip("the clip's labels, pets09-s2l1/gt.txt, are not there; VEDETTE_SHARED says in which folder")
    return found
