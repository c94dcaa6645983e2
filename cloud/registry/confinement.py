"""What a process that runs a model not trusted yet does to itself, and how its end is told."""

from __future__ import annotations

import json
import resource
from typing import Final

from vision import errors
from vision.errors import VisionError

MAX_ADDRESS_BYTES: Final = 6 << 30
_MAX_REASON: Final = 300


def confine() -> None:
    """Bound this process's memory; it leaves no core file and writes no other either."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_BYTES, MAX_ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def refusal(error: VisionError) -> dict[str, str]:
    """An error, to be written as JSON by the process that met it."""
    return {"error": error.name, "what": error.what, "mend": error.mend}


def refused_as(said: bytes) -> VisionError | None:
    """The error that the process wrote; None if it wrote none of ours."""
    try:
        read = json.loads(said)
        kind = getattr(errors, str(read["error"]))
        return kind(str(read["what"]), str(read["mend"])) if issubclass(kind, VisionError) else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def crash(code: int, stderr: bytes) -> str:
    """How the process ended, where it did so without a word of ours."""
    if code < 0:
        return f"the model crashed the process that tried it (signal {-code})"
    last = (stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
    return f"the process that tried the model failed: {last[:_MAX_REASON]}"
