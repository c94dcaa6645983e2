"""tflite-runtime, for armv7l and older images."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from vision.errors import RuntimeMissing
from vision.runtime import Delegate
from vision.runtimes.interpreter import InterpreterRuntime, open_interpreter


def open_tflite_runtime(path: Path, *, threads: int, delegate: Delegate) -> InterpreterRuntime:
    """Load a model into tflite-runtime.

    Raises:
        RuntimeMissing: It is not installed, or beside a numpy that it can't work with.
        ModelUnreadable, ModelRefused, DelegateFailed: As `open_interpreter`.
    """
    try:
        from tflite_runtime import interpreter  # noqa: PLC0415 - a device may carry either runtime, or none
    except ImportError as failed:
        raise RuntimeMissing(
            f"tflite-runtime can't be imported: {failed}", "Install it: `pip install vedette[agent-tflite]`."
        ) from None
    name = f"tflite-runtime {metadata.version('tflite-runtime')}"
    return open_interpreter(interpreter, name, path, threads=threads, delegate=delegate)
