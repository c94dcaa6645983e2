"""Trying a model in a process of its own, and taking its golden answers: what crashes there has harmed nobody.

Run as `python -m cloud.registry.trial REQUEST`, it prints a line of JSON for each stage, and one at the end: the
manifest by which the model was read, with its golden answers, or the error that refused it. The same confinement and
the same questions as on a device (`agent.app.prove`), which answers for its own runtime and gates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from cloud.registry.errors import TrialFailed
from vision import errors
from vision.child import Limits, Say, only_voice, run_child
from vision.confinement import die_with, leave_the_network, limit
from vision.describe import describe_model
from vision.detector import ModelDetector, open_detector
from vision.errors import ManifestInvalid, ProofFailed, VisionError
from vision.golden import make_golden, recognise
from vision.manifest import MAX_MANIFEST_BYTES
from wire.model import Manifest

TRIAL_S: Final = 180.0
"""The larger of our own models opens and answers in five seconds; a Raspberry-class server takes ten times that, and
a large model in 8 bits, by the reference kernels, as long again."""
MEMORY_MIB: Final = 4096.0
COMMAND: Final = (sys.executable, "-P", "-m", __spec__.name)
_MAX_REASON: Final = 1000
_MEND: Final = "Export the model again; a device would fail too."


class TrialRequest(BaseModel):
    """What the process is told, as its one argument."""

    model_config = ConfigDict(frozen=True)

    parent: int
    folder: Path
    run: bool


class Refusal(BaseModel):
    """The last line of a process that found something wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str
    what: str
    mend: str


class Found(BaseModel):
    """The last line of a process that found nothing wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Manifest


def try_model(folder: Path, *, run: bool = True, timeout_s: float = TRIAL_S) -> Manifest:
    """Read the model in the folder, run it, and take its golden answers; the manifest by which it was read.

    Args:
        folder: Holds the model, and its manifest if it has one. Golden answers in that are held against the model.
        run: Else it is only read, and its manifest gets no golden answers.
        timeout_s: For all of it.

    Raises:
        VisionError: The model was refused, by the kind of error that refused it.
        TrialFailed: It crashed, or took too long.
    """
    request = TrialRequest(parent=os.getpid(), folder=folder.absolute(), run=run)
    limits = Limits(timeout_s, timeout_s, MEMORY_MIB, 2 * MAX_MANIFEST_BYTES)
    try:
        ended = run_child([*COMMAND, request.model_dump_json()], limits)
    except ProofFailed as failed:
        raise TrialFailed(failed.what, _MEND) from None
    try:
        if ended.code == 0:
            return Found.model_validate_json(ended.last).manifest
        raise _refusal(Refusal.model_validate_json(ended.last))
    except ValidationError:
        raise TrialFailed(f"its trial ended with code {ended.code} while {ended.stage}", _MEND) from None


def _refusal(said: Refusal) -> VisionError:
    kind = getattr(errors, said.error, None)
    if not (isinstance(kind, type) and issubclass(kind, VisionError)):
        kind = VisionError
    return kind(said.what[:_MAX_REASON], said.mend[:_MAX_REASON])


def main() -> int:
    """The child's part."""
    request = TrialRequest.model_validate_json(sys.argv[1])
    say = only_voice()
    die_with(request.parent)
    leave_the_network()
    limit(memory_mib=MEMORY_MIB, cpu_s=TRIAL_S)
    try:
        manifest = _tried(request.folder, say) if request.run else describe_model(request.folder)
    except VisionError as refused:
        say({"error": refused.name, "what": refused.what, "mend": refused.mend})
        return 1
    except MemoryError:
        say({"error": VisionError.__name__, "what": f"it needs more than {MEMORY_MIB:.0f} MiB", "mend": _MEND})
        return 1
    say({"manifest": manifest.model_dump(mode="json")})
    return 0


def _tried(folder: Path, say: Say) -> Manifest:
    say({"stage": "loading"})
    detector = open_detector(folder)
    manifest = detector.manifest
    say({"stage": "running the golden pictures"})
    try:
        if manifest.golden is not None:
            recognise(manifest.golden, detector, _opener(folder))
            return manifest
    except ManifestInvalid as differs:
        raise ManifestInvalid(
            differs.what, "Take `golden` out of the manifest, if this is the model meant."
        ) from None
    finally:
        detector.close()
    return manifest.model_copy(update={"golden": make_golden(_opener(folder))})


def _opener(folder: Path) -> Callable[[str], ModelDetector]:
    return lambda kernels: open_detector(folder, delegates=(kernels,))


if __name__ == "__main__":
    sys.exit(main())
