"""The manifest: what a device must know of a model file to read its tensors rightly.

It travels beside the model, and is what gets signed, so its exact bytes are kept by whoever stores it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from wire.fields import Count, Digest, Label, Text, Unit

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class OutputKind(StrEnum):
    """How the output tensors spell detections; each is decoded by the module of that name in `vision.outputs`."""

    SSD = "ssd"
    """Raw boxes (1, A, 4) against A anchors, and class scores (1, A, C)."""
    DETECTION_POSTPROCESS = "detection_postprocess"
    """TFLite_Detection_PostProcess: boxes (1, N, 4) y1 x1 y2 x2, classes (1, N), scores (1, N), count (1)."""
    YOLOX = "yolox"
    """(1, A, 5 + C): box, objectness, classes; decoded or raw against strides 8, 16, 32."""
    YOLOV5 = "yolov5"
    """(1, A, 5 + C): centre x, centre y, width, height, objectness, classes; decoded."""
    YOLOV8 = "yolov8"
    """(1, 4 + C, A): centre x, centre y, width, height, classes; decoded; v8, v9, v11 and later."""
    NANODET = "nanodet"
    """GFL: for each stride scores (1, A, C) and box bins (1, A, 4 × (reg_max + 1))."""


class ManifestPart(BaseModel):
    """A value inside the manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Input(ManifestPart):
    """How a frame becomes the input tensor.

    Each channel is `(value / scale − mean) / std` of 0..255 values; then quantised as the tensor says.

    Attributes:
        width, height: Pixels of the input tensor.
        layout: Order of the tensor's axes.
        colour: Order of the channels.
        resize: `letterbox` keeps the aspect ratio and pads; `stretch` does not.
        pad: The grey value that letterboxing pads with, 0..255, before normalisation.
        centred: Whether the letterboxed picture sits in the middle or at the upper left.
        scale: What every channel is divided by first.
        mean, std: One per channel, in the order of `colour`.
    """

    width: Annotated[int, Field(ge=16, le=4096)]
    height: Annotated[int, Field(ge=16, le=4096)]
    layout: Literal["nhwc", "nchw"] = "nhwc"
    colour: Literal["rgb", "bgr"] = "rgb"
    resize: Literal["letterbox", "stretch"] = "letterbox"
    pad: Annotated[int, Field(ge=0, le=255)] = 114
    centred: bool = True
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    std: tuple[Finite, Finite, Finite] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _no_zero_std(self) -> Self:
        if 0.0 in self.std:
            msg = "std must not hold 0"
            raise ValueError(msg)
        return self


class SsdAnchors(ManifestPart):
    """The anchors of an SSD head, by the rule that TensorFlow's Object Detection API generates them.

    Attributes:
        feature_maps: Rows and columns of each feature map, largest first.
        min_scale, max_scale: Anchor size of the first and last map, in shares of the picture.
        aspect_ratios: Width by height; the reduced first map uses 1, 2 and 1/2.
        interpolated_scale_aspect_ratio: The extra square anchor between two scales; 0 for none.
        reduce_lowest: The first map carries three anchors only.
        coders: Box coder scales y, x, height, width.
    """

    feature_maps: Annotated[tuple[tuple[int, int], ...], Field(min_length=1, max_length=16)]
    min_scale: Unit = 0.2
    max_scale: Unit = 0.95
    aspect_ratios: tuple[Finite, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    interpolated_scale_aspect_ratio: Finite = 1.0
    reduce_lowest: bool = True
    coders: tuple[Finite, Finite, Finite, Finite] = (10.0, 10.0, 5.0, 5.0)


class Output(ManifestPart):
    """How the output tensors become detections.

    Attributes:
        kind: See `OutputKind`.
        anchors: For `ssd` only.
        class_offset: Added to a class index before the labels are looked up (-1 where class 0 is background).
        scores: Whether class scores come as logits or as probabilities.
        boxes: `pixels` of the input tensor or `normalised` 0..1 (YOLO kinds); `raw` head values (YOLOX).
        strides: Of the feature maps (YOLOX raw, NanoDet).
        iou_threshold: For non-maximum suppression, per class.
    """

    kind: OutputKind
    anchors: SsdAnchors | None = None
    class_offset: Annotated[int, Field(ge=-1, le=1)] = 0
    scores: Literal["probabilities", "logits"] = "probabilities"
    boxes: Literal["pixels", "normalised", "raw"] = "normalised"
    strides: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(max_length=8)] = (8, 16, 32)
    iou_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _anchors_where_needed(self) -> Self:
        if (self.kind is OutputKind.SSD) != (self.anchors is not None):
            msg = "anchors belong to the kind `ssd`, and only to it"
            raise ValueError(msg)
        return self


class Provenance(ManifestPart):
    """Where the model came from.

    Attributes:
        source: Who made it, or the archive that it was taken from.
        recipe: What it was built by, and the digest of that.
        notice: What its licence wants to be said.
    """

    source: Text
    recipe: Text = ""
    notice: Text = ""


class Answer(ManifestPart):
    """What one part of a model's outputs says of a golden picture, told by a few sums over all of its values.

    Attributes:
        spread: The standard deviation of the values, or 1 where they are all the same.
        sums: Each over all values, added or subtracted by the sums' own pattern, ÷ (spread × √count).
    """

    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    sums: Annotated[tuple[Finite, ...], Field(min_length=1, max_length=32)]


class Golden(ManifestPart):
    """What the model said of the golden pictures where its release was made (`vision.golden`).

    Attributes:
        pictures: The number of the set of pictures and sums.
        kernels: Whose answers these are: `plain`, or, where kernels round differently, `reference`.
        tolerance: How far another runtime or delegate may lie from them, in spreads; the very same model on the very
            same kernels lies within the device's own, much smaller bound.
        answers: For each picture, one answer for each part of the outputs.
    """

    pictures: Annotated[int, Field(ge=1, le=2**31)] = 1
    kernels: Literal["plain", "reference"]
    tolerance: Annotated[float, Field(gt=0, le=10)]
    answers: Annotated[
        dict[Label, Annotated[tuple[Answer, ...], Field(min_length=1, max_length=64)]],
        Field(min_length=1, max_length=16),
    ]


GAIN_FEATURES: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "new", "refresh", "lost", "weak", "motion",
        "doubt", "score", "doubt_of_score", "stands", "age", "unseen_age", "changed", "hits", "edge", "height",
        "width", "crowd",
    ),
}  # fmt: skip
"""What the weights of `Gain` are of, in their order, by the set's number; `agent.ask.gain` says what each means."""
Weight = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
"""Of a feature between 0 and 1: a hundred makes anything certain."""


class Gain(ManifestPart):
    """What an answer is likely to be worth to a device with this model: learnt from recorded answers.

    Attributes:
        features: The number of the set of features. A device that does not know it goes by its own figures.
        weights: One for each of them, of a logistic regression.
        answers: How many recorded answers they were learnt from.
    """

    features: Annotated[int, Field(ge=1, le=2**31)]
    weights: Annotated[tuple[Weight, ...], Field(min_length=1, max_length=64)]
    answers: Count = 0

    @model_validator(mode="after")
    def _a_weight_for_each_feature(self) -> Self:
        known = GAIN_FEATURES.get(self.features)
        if known is not None and len(known) != len(self.weights):
            msg = f"the set {self.features} has {len(known)} features, and there are {len(self.weights)} weights"
            raise ValueError(msg)
        return self


class Manifest(ManifestPart):
    """Everything about a model file but its weights.

    Attributes:
        manifest: The number of this form.
        name, version: What the model is called; together they name one file for ever.
        digest, size: Of the model file: `sha256:` and 64 hex digits, and bytes. A file that differs is refused.
        labels: One per class index; an empty string is a class that is never reported.
        min_score: Below it a detection is not reported at all; rules ask for more.
        uncertain: Scores between these two are worth a question, unless the configuration says otherwise.
        licence: Under which the model may be used.
        golden: By which a device's proof knows the model again; added by `vedette model import`.
        gain: By which a device ranks what to ask; without it, it goes by figures of its own.
        looks: Second looks a frame that pay for this model, for devices whose settings leave that to it; 0: none do.
    """

    manifest: Literal[1] = 1
    name: ModelName
    version: Version
    digest: Digest
    size: Annotated[int, Field(ge=1)]
    input: Input
    output: Output
    labels: Annotated[tuple[Label | Literal[""], ...], Field(min_length=1, max_length=4096)]
    min_score: Unit = 0.25
    uncertain: tuple[Unit, Unit] = (0.35, 0.6)
    licence: Text
    provenance: Provenance
    golden: Golden | None = None
    gain: Gain | None = None
    looks: Annotated[float, Field(ge=0, le=16, allow_inf_nan=False)] = 0.0
