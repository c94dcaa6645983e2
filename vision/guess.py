"""What a model is, told from the shapes of its tensors alone.

Each family leaves a signature: how many outputs, and how many anchors for the input's size. The inputs' colours and
normalisation follow from the family's own training code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vision.errors import ModelRefused
from vision.tensors import TensorInfo, seen
from wire.model import Input, Output, OutputKind, SsdAnchors

STRIDES: Final = (8, 16, 32)
SSD_300: Final = SsdAnchors(feature_maps=((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)))
"""The anchors of the Object Detection API's SSD-MobileNet configurations for 300 pixels."""
SSD_300_ANCHORS: Final = 1917
_SSD_CLASSES: Final = frozenset({80, 90, 91})
_BOX: Final = 4
_BOX_AND_OBJECTNESS: Final = 5
_YOLOV5_ANCHORS_PER_CELL: Final = 3
# reg_max is 7, 10 or 16 in every published head.
_BOX_VALUES: Final = frozenset({4 * 8, 4 * 11, 4 * 17})
_INPUT_TYPES: Final = frozenset({"float32", "uint8", "int8"})


@dataclass(frozen=True, slots=True)
class Traits:
    """What else the file gave away.

    Attributes:
        postprocess: The graph ends in TFLite_Detection_PostProcess.
        decodes: The graph holds an exponential, so its YOLOX head is decoded; None where the format can't tell.
        squashes: The graph holds a sigmoid, so its scores are probabilities; None where the format can't tell.
        normalised: YOLOv5 and later are exported with boxes in shares (TFLite) or in pixels (ONNX).
    """

    postprocess: bool = False
    decodes: bool | None = None
    squashes: bool | None = None
    normalised: bool = True


@dataclass(frozen=True, slots=True)
class Guess:
    """A reading of the tensors.

    Attributes:
        classes: How many the output tensors speak of; None where they do not say.
    """

    input: Input
    output: Output
    classes: int | None


def guess(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], traits: Traits) -> Guess:
    """Find the one kind that fits.

    Raises:
        ModelRefused: None does; says what was seen.
    """
    layout, width, height = _picture_input(inputs, outputs)
    family = (
        _detection_postprocess(outputs, traits)
        or _ssd(outputs, width, height, traits)
        or _one_head(outputs, width, height, traits)
        or _nanodet(outputs, width, height, traits)
    )
    if family is None:
        raise _refusal("no output kind fits this model", inputs, outputs)
    output, classes = family
    return Guess(_family_input(output.kind, layout, width, height), output, classes)


def _refusal(why: str, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> ModelRefused:
    kinds = ", ".join(OutputKind)
    return ModelRefused(
        f"{why}: {seen(inputs, outputs)}", f"Describe it in a manifest.json beside it; the kinds are {kinds}."
    )


def _picture_input(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> tuple[str, int, int]:
    if len(inputs) != 1 or inputs[0].dtype.name not in _INPUT_TYPES:
        raise _refusal("a detector has one input of float32, uint8 or int8", inputs, outputs)
    match inputs[0].shape:
        case (1, height, width, 3) if min(height, width) >= 16:  # noqa: PLR2004 - the manifest's own bound
            return "nhwc", width, height
        case (1, 3, height, width) if min(height, width) >= 16:  # noqa: PLR2004 - the manifest's own bound
            return "nchw", width, height
        case _:
            raise _refusal("the input is no single picture of three channels", inputs, outputs)


def _family_input(kind: OutputKind, layout: str, width: int, height: int) -> Input:
    traits: dict[str, object]
    match kind:
        case OutputKind.SSD | OutputKind.DETECTION_POSTPROCESS:
            traits = {"resize": "stretch", "mean": (127.5,) * 3, "std": (127.5,) * 3}
        case OutputKind.YOLOX:
            traits = {"colour": "bgr", "centred": False}
        case OutputKind.YOLOV5 | OutputKind.YOLOV8:
            traits = {"scale": 255.0}
        case OutputKind.NANODET:
            traits = {"colour": "bgr", "pad": 0, "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}
    return Input.model_validate({"width": width, "height": height, "layout": layout, **traits})


def _detection_postprocess(outputs: Sequence[TensorInfo], traits: Traits) -> tuple[Output, int | None] | None:
    by_shape = sorted(len(output.shape) for output in outputs) == [1, 2, 2, 3]
    if traits.postprocess or by_shape:
        return Output(kind=OutputKind.DETECTION_POSTPROCESS), None
    return None


def _ssd(outputs: Sequence[TensorInfo], width: int, height: int, traits: Traits) -> tuple[Output, int | None] | None:
    if (width, height) != (300, 300) or len(outputs) != 2:  # noqa: PLR2004 - boxes and scores
        return None
    shapes = {output.shape for output in outputs}
    for classes in _SSD_CLASSES:
        if shapes == {(1, SSD_300_ANCHORS, _BOX), (1, SSD_300_ANCHORS, classes)}:
            offset = -1 if classes == 91 else 0  # noqa: PLR2004 - 90 COCO ids behind a background class
            output = {"kind": OutputKind.SSD, "anchors": SSD_300, "class_offset": offset, "iou_threshold": 0.6}
            return Output.model_validate({**output, "scores": _scores(traits)}), classes
    return None


def _scores(traits: Traits) -> str:
    return "logits" if traits.squashes is False else "probabilities"


def cells(width: int, height: int, strides: Sequence[int]) -> list[int]:
    """How many cells each stride's feature map has: rounded up, as strided convolutions with padding give."""
    return [-(-width // stride) * -(-height // stride) for stride in strides]


def _one_head(
    outputs: Sequence[TensorInfo], width: int, height: int, traits: Traits
) -> tuple[Output, int | None] | None:
    if len(outputs) != 1 or len(outputs[0].shape) != 3:  # noqa: PLR2004 - batch, anchors, values
        return None
    _, second, third = outputs[0].shape
    total = sum(cells(width, height, STRIDES))
    scores = _scores(traits)
    yolo_boxes = "normalised" if traits.normalised else "pixels"
    if third == total and second > _BOX:
        output = {"kind": OutputKind.YOLOV8, "boxes": yolo_boxes, "scores": scores, "iou_threshold": 0.6}
        return Output.model_validate(output), second - _BOX
    classes = third - _BOX_AND_OBJECTNESS
    if classes < 1 or third == _BOX + 80:
        # 84 values are a transposed v8 head of 80 classes rather than a YOLOX of 79; too close to guess.
        return None
    if second == total:
        boxes = "pixels" if traits.decodes else "raw"
        output = {"kind": OutputKind.YOLOX, "boxes": boxes, "scores": scores, "iou_threshold": 0.6}
        return Output.model_validate(output), classes
    if second == _YOLOV5_ANCHORS_PER_CELL * total:
        output = {"kind": OutputKind.YOLOV5, "boxes": yolo_boxes, "scores": scores, "iou_threshold": 0.6}
        return Output.model_validate(output), classes
    return None


def _nanodet(
    outputs: Sequence[TensorInfo], width: int, height: int, traits: Traits
) -> tuple[Output, int | None] | None:
    if len(outputs) != 2 * len(STRIDES) or any(len(output.shape) != 3 for output in outputs):  # noqa: PLR2004
        return None
    wanted = cells(width, height, STRIDES)
    widths = {output.shape[2] for output in outputs}
    class_widths = widths - _BOX_VALUES
    if sorted(output.shape[1] for output in outputs) != sorted(wanted * 2) or len(widths) != 2:  # noqa: PLR2004
        return None
    if len(class_widths) != 1:
        return None
    (classes,) = class_widths
    scores = _scores(traits)
    output = {"kind": OutputKind.NANODET, "scores": scores, "strides": STRIDES, "iou_threshold": 0.6}
    return Output.model_validate(output), classes
