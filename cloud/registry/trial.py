"""Trying a model once in a process of its own: what crashes there has harmed nobody.

Run as `python -m cloud.registry.trial FOLDER`, it prints one line of JSON: the manifest by which the model was read,
or the error that refused it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from cloud.registry.confinement import confine, crash, refusal, refused_as
from cloud.registry.errors import TrialFailed
from vision.detector import open_detector
from vision.errors import VisionError
from vision.manifest import parse_manifest
from wire.model import Manifest

TRIAL_S: Final = 60.0
"""The larger of our own models opens and answers in a second; a Raspberry-class server takes ten times that."""


def try_model(folder: Path, *, timeout_s: float = TRIAL_S) -> Manifest:
    """Open the model in the folder and let it judge a black picture; the manifest by which it was read.

    Raises:
        VisionError: The model was refused, by the kind of error that refused it.
        TrialFailed: It crashed, or took too long.
    """
    program = [sys.executable, "-m", __spec__.name, str(folder)]
    try:
        ended = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise TrialFailed(f"the model took longer than {timeout_s:g} s to try", "Release a smaller model.") from None
    if ended.returncode == 0:
        return parse_manifest(ended.stdout, "the trial's answer")
    raise refused_as(ended.stdout) or TrialFailed(
        crash(ended.returncode, ended.stderr), "Export the model again; a device would crash too."
    )


def main(folder: Path) -> int:
    """The child's part."""
    confine()
    try:
        detector = open_detector(folder)
    except VisionError as refused:
        sys.stdout.write(json.dumps(refusal(refused)))
        return 1
    sys.stdout.write(detector.manifest.model_dump_json())
    detector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
