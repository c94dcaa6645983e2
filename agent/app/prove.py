"""The proof of a candidate, in a process of its own: `python -m agent.app.prove REQUEST`, started by the agent.

Prints a JSON line for each stage that it turns to, and one at the end: figures (exit code 0), or what is wrong (1).
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Final

from agent.adapters.prover import Figures, ProofRequest
from agent.detect.detector import open_configured
from agent.errors import UpdateError
from vision.child import Say, only_voice
from vision.confinement import die_with, leave_the_network, limit
from vision.detector import ModelDetector
from vision.errors import DelegateFailed, ManifestInvalid
from vision.golden import pictures, recognise
from vision.manifest import MANIFEST_NAME, load_manifest
from vision.runtime import Delegate
from wire.errors import VedetteError

RUNS: Final = 10
"""Enough for a median that one interruption does not move."""
MAX_REFUSAL: Final = 900
FAILED: Final = 1
STATUS: Final = Path("/proc/self/status")


def main() -> int:
    """Prove what the request names; the exit code."""
    request = ProofRequest.model_validate_json(sys.argv[1])
    say = only_voice()
    die_with(request.parent)
    cut_off = leave_the_network()
    limit(memory_mib=request.memory_mib, cpu_s=request.cpu_s)
    try:
        figures = prove(request, say, "none" if cut_off else "open")
    except VedetteError as refused:
        say({"refused": f"{refused.name}: {refused.what}"[:MAX_REFUSAL]})
        return FAILED
    except MemoryError:
        say({"refused": f"it needs more than {request.memory_mib:.0f} MiB"})
        return FAILED
    say(figures)
    return 0


def prove(request: ProofRequest, say: Say, network: str) -> dict[str, object]:
    """Load the model, run it, and measure.

    Raises:
        VedetteError: What is wrong with it.
    """
    say({"stage": "reading its manifest"})
    _check_manifest(request)
    say({"stage": "loading"})
    model = request.model.model_copy(update={"model": str(request.folder)})
    began = time.perf_counter()
    detector = open_configured(model)
    load_s = time.perf_counter() - began
    if request.delegate is not None and detector.delegate != request.delegate:
        raise DelegateFailed(
            f"it does not run on {request.delegate} as the current model does, only on {detector.delegate}"
        )
    say({"stage": "measuring"})
    latency_ms = _latency_ms(detector)
    figures = Figures.model_validate(
        {
            "load_s": load_s,
            "latency_ms": latency_ms,
            "memory_mib": _peak_mib(),
            "network": network,
        }
    )
    # After the figures: what it takes to recognise a model is not what it takes to run it.
    say({"stage": "running the golden pictures"})
    if (golden := detector.manifest.golden) is not None:
        recognise(
            golden,
            detector,
            lambda kernels: open_configured(model.model_copy(update={"delegates": (kernels,)})),
            library=Delegate(detector.delegate).is_library,
        )
    return figures.model_dump()


def _check_manifest(request: ProofRequest) -> None:
    """The manifest is there, and is that of the release; that the file is the manifest's is checked in opening it."""
    manifest = load_manifest(request.folder / MANIFEST_NAME)
    for field in ("name", "version", "digest"):
        said, wanted = getattr(manifest, field), getattr(request, field)
        if said != wanted:
            raise ManifestInvalid(f"{field}: the manifest says {said}, the release is {wanted}", "Sign it again.")


def _latency_ms(detector: ModelDetector) -> float:
    size = detector.manifest.input
    noise = pictures(size.width, size.height)["noise"]
    spent = []
    for _ in range(RUNS):
        began = time.perf_counter()
        detector.detect(noise, detector.manifest.min_score)
        spent.append(time.perf_counter() - began)
    return 1000.0 * statistics.median(spent)


def _peak_mib() -> float:
    """The most that was resident; `ru_maxrss` would count what the agent itself held before the exec."""
    for line in STATUS.read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise UpdateError("the system does not tell how much memory is resident", "Mount /proc.")


if __name__ == "__main__":
    sys.exit(main())
