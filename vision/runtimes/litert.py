"""LiteRT, the maintained successor of tflite-runtime."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from vision.errors import RuntimeMissing
from vision.runtime import Delegate
from vision.runtimes.interpreter import InterpreterRuntime, open_interpreter


def open_litert(path: Path, *, threads: int, delegate: Delegate) -> InterpreterRuntime:
    """Load a model into LiteRT.

    Raises:
        RuntimeMissing: It is not installed.
        ModelUnreadable, ModelRefused, DelegateFailed: As `open_interpreter`.
    """
    try:
        from ai_edge_litert import interpreter  # noqa: PLC0415 - a device may carry either runtime, or none
    except ImportError as failed:
        raise RuntimeMissing(
            f"LiteRT can't be imported: {failed}", "Install it: `pip install vedette[agent]`."
        ) from None
    name = f"litert {metadata.version('ai-edge-litert')}"
    return open_interpreter(interpreter, name, path, threads=threads, delegate=delegate)
