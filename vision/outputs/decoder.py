"""The decoder for a manifest's output kind."""

from __future__ import annotations

from collections.abc import Sequence

from vision.outputs.detection_postprocess import DetectionPostprocessDecoder
from vision.outputs.nanodet import NanodetDecoder
from vision.outputs.reading import Decoder
from vision.outputs.ssd import SsdDecoder
from vision.outputs.yolov5 import YoloV5Decoder
from vision.outputs.yolov8 import YoloV8Decoder
from vision.outputs.yolox import YoloxDecoder
from vision.tensors import TensorInfo
from wire.model import Manifest, OutputKind


def make_decoder(
    manifest: Manifest, outputs: Sequence[TensorInfo], postprocess: tuple[int, ...] | None = None
) -> Decoder:
    """Hold the real output tensors against the manifest.

    Args:
        manifest: Says the kind.
        outputs: Of the runtime, in its order.
        postprocess: See `vision.tflite_file.TfliteFile`.

    Raises:
        ModelRefused: They are not of that kind; says both.
    """
    match manifest.output.kind:
        case OutputKind.SSD:
            return SsdDecoder(manifest, outputs)
        case OutputKind.DETECTION_POSTPROCESS:
            return DetectionPostprocessDecoder(manifest, outputs, postprocess)
        case OutputKind.YOLOX:
            return YoloxDecoder(manifest, outputs)
        case OutputKind.YOLOV5:
            return YoloV5Decoder(manifest, outputs)
        case OutputKind.YOLOV8:
            return YoloV8Decoder(manifest, outputs)
        case OutputKind.NANODET:
            return NanodetDecoder(manifest, outputs)
