"""Trying a model once in a process of its own: what crashes there has harmed nobody.

Run as `python -m cloud.registry.trial FOLDER`, it prints one line of JSON: the manifest by which the model was read,
or the error that refused it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

from cloud.registry.errors import TrialFailed
from vision import errors
from vision.detector import open_detector
from vision.errors import VisionError
from vision.manifest import parse_manifest
from wire.model import Manifest

TRIAL_S: Final = 60.0
"""The larger of our own models opens and answers in a second; a Raspberry-class server takes ten times that."""
_MAX_ADDRESS_BYTES: Final = 6 << 30
_MAX_REASON: Final = 300


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
    raise _refusal(ended.stdout) or TrialFailed(_crash(ended), "Export the model again; a device would crash too.")


def _refusal(said: bytes) -> VisionError | None:
    try:
        refusal = json.loads(said)
        kind = getattr(errors, str(refusal["error"]))
        return kind(str(refusal["what"]), str(refusal["mend"])) if issubclass(kind, VisionError) else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def _crash(ended: subprocess.CompletedProcess[bytes]) -> str:
    if ended.returncode < 0:
        return f"the model crashed the process that tried it (signal {-ended.returncode})"
    last = (ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
    return f"the process that tried the model failed: {last[:_MAX_REASON]}"


def main(folder: Path) -> int:
    """The child's part."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_BYTES, _MAX_ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        detector = open_detector(folder)
    except VisionError as refused:
        sys.stdout.write(json.dumps({"error": refused.name, "what": refused.what, "mend": refused.mend}))
        return 1
    sys.stdout.write(detector.manifest.model_dump_json())
    detector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
