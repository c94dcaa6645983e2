"""The cloud's default model: two small detectors together, in tiles where the picture is large."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud.infer.ensemble import EnsembleDetector
from cloud.infer.sized import SizedDetector
from cloud.infer.tiles import TiledDetector
from vision.detections import Detections, Image
from vision.detector import RUNTIMES, open_detector
from vision.models import DEFAULT_MODEL, UPGRADE_MODEL

DEFAULT_MODELS: Final = (DEFAULT_MODEL, UPGRADE_MODEL)


class InferSettings(BaseModel):
    """The cloud's model and what it may use.

    Attributes:
        models: Names or paths of TFLite or ONNX detectors; several are asked together.
        weights: How much each counts; alike where empty.
        tiles: A large picture is looked at whole and in `tiles` × `tiles` parts; 1 for whole only.
        tile_overlap: What neighbouring tiles share, as part of a tile's side.
        tile_from_px: Pictures whose longer side is below this are never cut into tiles.
        threads: For one inference.
        replicas: Copies of the model that work at once, each in a thread of its own.
        max_waiting: Pictures that may wait for the model; more are refused.
        runtimes: For `.tflite` files, preferred first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    models: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)] = DEFAULT_MODELS
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    tiles: Annotated[int, Field(ge=1, le=5)] = 2
    tile_overlap: Annotated[float, Field(ge=0, le=0.8)] = 0.25
    tile_from_px: Annotated[int, Field(ge=1)] = 480
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    max_waiting: Annotated[int, Field(ge=1, le=4096)] = 32
    runtimes: tuple[str, ...] = tuple(RUNTIMES)

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights and len(self.weights) != len(self.models):
            msg = f"weights: give one for each of the {len(self.models)} models, or none at all"
            raise ValueError(msg)
        return self


class DefaultDetector:
    """See `open_default_detector`.

    Attributes:
        name: Name and version of each model in it, for the verdicts that it leads to.
        digests: Of each model's file.
    """

    def __init__(self, settings: InferSettings) -> None:
        members = [
            open_detector(model, threads=settings.threads, runtimes=settings.runtimes) for model in settings.models
        ]
        weights = settings.weights or None
        self.name: Final = " + ".join(f"{member.manifest.name} {member.manifest.version}" for member in members)
        self.digests: Final = tuple(member.manifest.digest for member in members)
        self._members = members
        self._detector = SizedDetector(
            EnsembleDetector(members, weights),
            EnsembleDetector(
                [TiledDetector(one, tiles=settings.tiles, overlap=settings.tile_overlap) for one in members], weights
            ),
            large_from_px=settings.tile_from_px,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """See `vision.detections.Detector`."""
        return self._detector.labels

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `vision.detections.Detector`."""
        return self._detector.detect(image, min_score)

    def close(self) -> None:
        """Let go of the models; harmless twice."""
        for member in self._members:
            member.close()


def open_default_detector(settings: InferSettings) -> DefaultDetector:
    """The detector that the settings describe, ready to use from one thread at a time.

    Raises:
        VisionError: As `vision.detector.open_detector`, of the first model that can't be used.
    """
    return DefaultDetector(settings)
