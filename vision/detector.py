"""A model file as a `Detector`: preprocess, run, decode, suppress, map back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from vision.describe import ONNX_SUFFIX, Description, describe
from vision.detections import Detections, FloatArray, Image
from vision.errors import DelegateFailed, InferenceFailed, ModelRefused, RuntimeMissing
from vision.models import find_model
from vision.outputs.decoder import make_decoder
from vision.outputs.nms import MAX_DETECTIONS, suppress
from vision.preprocess import Preprocessor
from vision.probe import settle_boxes
from vision.runtime import XNNPACK, Delegate, Runtime
from vision.runtimes.litert import open_litert
from vision.runtimes.onnx import OnnxRuntime
from vision.runtimes.tflite_runtime import open_tflite_runtime
from wire.model import Manifest, OutputKind

RUNTIMES: Final[Mapping[str, Callable[..., Runtime]]] = MappingProxyType(
    {"litert": open_litert, "tflite-runtime": open_tflite_runtime}
)
"""What runs `.tflite` files, by the name that settings use, preferred first."""


class ModelDetector:
    """A model behind the `Detector` port. Not safe for use from two threads at once."""

    def __init__(self, description: Description, runtime: Runtime, notes: tuple[str, ...] = ()) -> None:
        """Hold the runtime's tensors against the manifest.

        Raises:
            ModelRefused: They differ; says both.
        """
        self._manifest = description.manifest
        self._runtime = runtime
        self._preprocess = Preprocessor(self._manifest.input, runtime.input)
        self._decoder = make_decoder(self._manifest, runtime.outputs, description.postprocess)
        self._suppressed_already = self._manifest.output.kind is OutputKind.DETECTION_POSTPROCESS
        self.notes: Final = notes
        """What was preferred and failed, one sentence each."""

    @property
    def manifest(self) -> Manifest:
        """How the model's tensors are read."""
        return self._manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Detector`."""
        return self._manifest.labels

    @property
    def runtime_name(self) -> str:
        """The runtime in use and its version."""
        return self._runtime.name

    @property
    def delegate(self) -> str:
        """The delegate in use."""
        return self._runtime.delegate

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `Detector`."""
        tensor, placement = self._preprocess(image)
        outputs = self._runtime.run(tensor)
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._decoder.decode(outputs, min_score)
        if not np.isfinite(found.boxes).all():
            raise InferenceFailed("a detected box is not finite", "Replace the model, or try another delegate.")
        if self._suppressed_already:
            kept = np.argsort(-found.scores, kind="stable")[:MAX_DETECTIONS]
        else:
            kept = suppress(found, self._manifest.output.iou_threshold)
        boxes = placement.to_picture(found.boxes[kept])
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        kept = kept[inside]
        return Detections(boxes[inside], found.scores[kept], found.classes[kept], self._manifest.labels)

    def readings(self, image: Image) -> list[FloatArray]:
        """What the outputs mean for a picture, before anything is chosen; see `vision.outputs.reading.Decoder`.

        Raises:
            InferenceFailed: It failed.
        """
        tensor, _ = self._preprocess(image)
        return self._decoder.readings(self._runtime.run(tensor))

    def close(self) -> None:
        """Let go of the model; harmless twice."""
        self._runtime.close()


def open_detector(
    model: str | Path,
    *,
    threads: int = 1,
    delegates: Sequence[Delegate | str] = (XNNPACK,),
    runtimes: Sequence[str] = tuple(RUNTIMES),
) -> ModelDetector:
    """Open a model by name or path.

    Args:
        model: See `vision.models.find_model`.
        threads: That one inference may use.
        delegates: In order of preference; for `.tflite` files.
        runtimes: Names in `RUNTIMES`, in order of preference; for `.tflite` files.

    Returns:
        A detector that has run once. Its `notes` say which preferences failed, and why.

    Raises:
        ModelMissing, ModelUnreadable, ModelRefused, ManifestInvalid: See `vision.describe.describe`.
        RuntimeMissing: No runtime is installed that runs such files.
        DelegateFailed: None of the delegates ran the model; says each one's reason.
        InferenceFailed: Its first run failed.
    """
    description = describe(find_model(model))
    notes: list[str] = []
    if description.file.suffix.lower() == ONNX_SUFFIX:
        runtime = _open_onnx(description, threads)
    else:
        chosen = [delegate if isinstance(delegate, Delegate) else Delegate(delegate) for delegate in delegates]
        runtime = _open_preferred(description.file, threads, chosen, runtimes, notes)
    detector = ModelDetector(description, runtime, tuple(notes))
    if description.guessed and (settled := settle_boxes(description.manifest, runtime)) != description.manifest:
        detector = ModelDetector(replace(description, manifest=settled), runtime, tuple(notes))
    shape = description.manifest.input
    detector.detect(np.zeros((shape.height, shape.width, 3), np.uint8), 1.0)
    return detector


def _open_onnx(description: Description, threads: int) -> Runtime:
    runtime = OnnxRuntime.open(description.file, threads=threads)
    wanted = description.manifest.input
    size = (wanted.height, wanted.width)
    runtime.settle((1, *size, 3) if wanted.layout == "nhwc" else (1, 3, *size))
    return runtime


def _open_preferred(
    file: Path, threads: int, delegates: Sequence[Delegate], runtimes: Sequence[str], notes: list[str]
) -> Runtime:
    """The first delegate that takes the model, on the first runtime that is there."""
    missing: list[RuntimeMissing] = []
    for name in runtimes:
        if name not in RUNTIMES:
            raise RuntimeMissing(f"there is no runtime named '{name}'", f"The names are {', '.join(RUNTIMES)}.")
        for delegate in delegates:
            try:
                return RUNTIMES[name](file, threads=threads, delegate=delegate)
            except RuntimeMissing as absent:
                missing.append(absent)
                break
            except DelegateFailed as failed:
                notes.append(f"{name}: {failed.what}")
    if notes:
        raise DelegateFailed(f"nothing would run {file}: {'; '.join(notes)}", "Add the delegate 'none' to the end.")
    if not missing:
        raise ModelRefused("neither a runtime nor a delegate was named", "Name at least one of each.")
    raise RuntimeMissing("; ".join(absent.what for absent in missing), missing[0].mend)
