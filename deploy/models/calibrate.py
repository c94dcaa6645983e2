"""Measures the ranges that `quantise` needs, on pictures of a clip. Needed only when a recipe's graph changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from deploy.models.errors import ClipUnreadable
from deploy.models.quantise import Ranges
from wire.model import Input

# The demo clip's second half is what accuracy is reported on, so nothing is tuned there.
_FRAMES: Final = 397
_EVERY: Final = 10
# The few values beyond these shares stretch a tensor's range, and with it every step of its 8 bits, for little: on
# the demo clip's first half (every 4th frame) the model's AP is .624 so, .617 with the full range, .624 in float32.
_SHARES: Final = (0.01, 99.99)
_BLACK, _WHITE = 0, 255

Picture = npt.NDArray[np.float32]


def calibrate(model: bytes, preprocessing: Input, clip: Path) -> Ranges:
    """Each tensor's range on the clip's first half: percentiles of each picture, averaged over the pictures.

    Raises:
        ClipUnreadable: No frame can be read from the clip.
    """
    with warnings.catch_warnings():
        # It warns that keeping all tensors is for debugging; measuring them is what it is for here.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(model_content=model, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    names = _computed(model)
    produced = [detail for detail in interpreter.get_tensor_details() if detail["name"] in names]
    lows: dict[str, list[float]] = {}
    highs: dict[str, list[float]] = {}
    count = 0
    for count, picture in enumerate(_pictures(clip, preprocessing), 1):  # noqa: B007 - the count is used below
        interpreter.set_tensor(image["index"], picture[None])
        interpreter.invoke()
        for detail in produced:
            low, high = np.percentile(interpreter.get_tensor(detail["index"]), _SHARES)
            lows.setdefault(detail["name"], []).append(float(low))
            highs.setdefault(detail["name"], []).append(float(high))
    if not count:
        msg = f"{clip} gave no frames"
        raise ClipUnreadable(msg, "Name a video file that OpenCV can read.")
    measured = {name: (float(np.mean(lows[name])), float(np.mean(highs[name]))) for name in lows}
    made = (
        f"{count} frames of {clip.name} (every {_EVERY}th of the first {_FRAMES}); percentiles {_SHARES[0]} and "
        f"{_SHARES[1]} of each tensor in each frame, averaged; the input by its normalisation"
    )
    return Ranges(made=made, tensors={image["name"]: _input_range(preprocessing), **measured})


def _computed(model: bytes) -> set[str]:
    """Names of the tensors that operators produce."""
    graph = schema.ModelT.InitFromPackedBuf(model, 0).subgraphs[0]
    return {graph.tensors[index].name.decode() for operator in graph.operators for index in operator.outputs}


def _input_range(preprocessing: Input) -> tuple[float, float]:
    """What black and white become, so that each int8 value of the input is one grey level."""
    ends = [
        (level / preprocessing.scale - mean) / std
        for level in (_BLACK, _WHITE)
        for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)
    ]
    return min(ends), max(ends)


def _pictures(clip: Path, preprocessing: Input) -> Iterator[Picture]:
    """float32 (rows, columns, 3), normalised, of every `_EVERY`th frame."""
    capture = cv2.VideoCapture(str(clip))
    try:
        for index in range(_FRAMES):
            found, frame = capture.read()
            if not found:
                return
            if index % _EVERY == 0:
                resized = cv2.resize(frame, (preprocessing.width, preprocessing.height))
                channels = resized if preprocessing.colour == "bgr" else resized[..., ::-1]
                scaled = channels.astype(np.float32) / preprocessing.scale
                yield ((scaled - preprocessing.mean) / preprocessing.std).astype(np.float32)
    finally:
        capture.release()
