"""Opening the configured detector, and what the device's status says of it."""

from __future__ import annotations

from typing import Final

from agent.detect.settings import DetectSettings, LibraryDelegate
from vision.detector import ModelDetector, open_detector
from vision.runtime import Delegate
from wire.messages import ModelStatus

_MAX_DETAIL: Final = 500
"""As long as a wire text may be."""


def open_configured(settings: DetectSettings) -> ModelDetector:
    """Open the model that the settings name, with the first runtime and delegate that take it.

    Raises:
        vision.errors.VisionError: As `vision.detector.open_detector`.
    """
    return open_detector(
        settings.model,
        threads=settings.threads,
        delegates=[_delegate(wanted) for wanted in settings.delegates],
        runtimes=settings.runtimes,
    )


def model_status(detector: ModelDetector) -> ModelStatus:
    """What the status says of the model; `detail` holds what was preferred and failed."""
    manifest = detector.manifest
    return ModelStatus(
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        runtime=detector.runtime_name,
        delegate=_text(detector.delegate),
        detail=_text("; ".join(detector.notes)),
    )


def _delegate(wanted: str | LibraryDelegate) -> Delegate:
    if isinstance(wanted, str):
        return Delegate(wanted)
    return Delegate(wanted.library, wanted.options)


def _text(text: str) -> str:
    """Messages of libraries hold what wire texts may not."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= _MAX_DETAIL else f"{printable[: _MAX_DETAIL - 1]}…"
