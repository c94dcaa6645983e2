"""How the process that evaluates a model tells its end, and how its parent reads that."""

from __future__ import annotations

import json
from typing import Final

from vision import errors
from vision.errors import VisionError

_MAX_REASON: Final = 300


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
