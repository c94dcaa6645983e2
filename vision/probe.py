"""What shapes can't tell of a guessed model, asked of a run: in which unit its head speaks of boxes.

Exporters differ: the same YOLO head comes out in shares from one and in pixels from the next. A head speaks of every
cell of the picture whatever it shows, so its largest centre coordinate lies near the picture's edge or near 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from vision.outputs.reading import real
from vision.preprocess import Preprocessor
from vision.runtime import Runtime
from wire.model import Manifest, OutputKind

# Of the input's width: raw offsets are a few cells at most, shares 1.
_IN_PIXELS_FROM: Final = 0.25
_SMALL_UNIT: Final = {OutputKind.YOLOX: "raw", OutputKind.YOLOV5: "normalised", OutputKind.YOLOV8: "normalised"}


def settle_boxes(manifest: Manifest, runtime: Runtime) -> Manifest:
    """The same manifest with the unit of boxes that a run on a grey picture shows; for YOLO kinds."""
    kind = manifest.output.kind
    if kind not in _SMALL_UNIT:
        return manifest
    size = (manifest.input.height, manifest.input.width)
    tensor, _ = Preprocessor(manifest.input, runtime.input)(np.full((*size, 3), 114, np.uint8))
    output = runtime.run(tensor)[0][0]
    centres = real(output[:2] if kind is OutputKind.YOLOV8 else output[:, :2], runtime.outputs[0])
    largest = float(np.abs(centres).max(initial=0.0))
    boxes = "pixels" if largest > _IN_PIXELS_FROM * manifest.input.width else _SMALL_UNIT[kind]
    return manifest.model_copy(update={"output": manifest.output.model_copy(update={"boxes": boxes})})
