"""Golden inputs: pictures that are the same everywhere, and what a model's release says that it answers to them.

A release may carry `golden.json` beside its model. On a device whose runtime or delegate computes something else
than where the release was made, the answers differ, and the model is not fit to judge there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vision.detections import Detector, Image
from vision.errors import ManifestInvalid
from wire.fields import Unit

GOLDEN_NAME: Final = "golden.json"
MAX_GOLDEN_BYTES: Final = 64 << 10
SIZE: Final = (480, 640)
SEED: Final = 20_261_123
LOWEST_SCORE: Final = 0.01
"""None of the pictures shows anything; what a model says of them lies far below what counts."""
TOP: Final = 10


class Golden(BaseModel):
    """Answers to the golden pictures.

    Attributes:
        tolerance: By how much a score may differ; int8 outputs differ by up to .008 between runtimes.
        scores: For each picture, the highest scores, highest first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.03
    scores: dict[str, Annotated[tuple[Unit, ...], Field(max_length=TOP)]]


def pictures() -> dict[str, Image]:
    """The golden pictures by name: uint8 (480, 640, 3), BGR; made by arithmetic that no library version changes."""
    rows, columns = np.indices(SIZE, dtype=np.uint32)
    # A multiplicative hash of the place: noise that does not depend on numpy's random generators.
    mixed = (rows * np.uint32(640) + columns + np.uint32(SEED)) * np.uint32(2_654_435_761)
    noise = np.stack([(mixed >> np.uint32(shift)) & np.uint32(255) for shift in (8, 16, 24)], axis=2)
    return {
        "black": np.zeros((*SIZE, 3), np.uint8),
        "grey": np.full((*SIZE, 3), 114, np.uint8),
        "noise": noise.astype(np.uint8),
    }


def answers(detector: Detector) -> dict[str, tuple[float, ...]]:
    """What a detector says of each picture: its highest scores.

    Raises:
        vision.errors.InferenceFailed: It failed, or an output was not finite.
    """
    return {
        name: tuple(round(float(score), 4) for score in detector.detect(image, LOWEST_SCORE).scores[:TOP])
        for name, image in pictures().items()
    }


def difference(golden: Golden, found: Mapping[str, tuple[float, ...]]) -> str | None:
    """Where the answers differ by more than the tolerance, in words; None where they don't."""
    for name, wanted in golden.scores.items():
        if name not in found:
            return f"there is no golden picture named '{name}'"
        # What is below the lowest score is left out by the one and may be just above it for the other.
        longest = max(len(wanted), len(found[name]))
        for place, (expected, score) in enumerate(
            zip(_filled(wanted, longest), _filled(found[name], longest), strict=True), 1
        ):
            if abs(expected - score) > golden.tolerance:
                return f"score {place} of the golden picture '{name}' is {score:g}, its release says {expected:g}"
    return None


def load_golden(folder: Path) -> Golden | None:
    """Read the answers beside a model; None where the release carries none.

    Raises:
        ManifestInvalid: They can't be read, or break their contract.
    """
    path = folder / GOLDEN_NAME
    try:
        with path.open("rb") as file:
            content = file.read(MAX_GOLDEN_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise ManifestInvalid(f"{path} can't be read: {failed.strerror}", "Correct its rights.") from None
    if len(content) > MAX_GOLDEN_BYTES:
        raise ManifestInvalid(f"{path} is over {MAX_GOLDEN_BYTES} bytes", "Make the release again.")
    try:
        return Golden.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as refused:
        raise ManifestInvalid(f"{path}: {str(refused).splitlines()[0]}", "Make the release again.") from None


def _filled(scores: tuple[float, ...], length: int) -> tuple[float, ...]:
    return scores + (LOWEST_SCORE,) * (length - len(scores))
