"""What a `.tflite` file says of itself, read without any runtime.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs; the field numbers below are its.
"""

from __future__ import annotations

import contextlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vision.errors import ModelMissing, ModelRefused, ModelUnreadable
from vision.flatbuffer import Bytes, Table, root
from vision.tensors import TensorInfo
from vision.tflite_metadata import ModelMetadata, read_metadata

IDENTIFIER: Final = b"TFL3"
POSTPROCESS: Final = "TFLite_Detection_PostProcess"
EXP: Final = 47
LOGISTIC: Final = 14
"""Builtin operators whose presence tells decoded from raw heads, and probabilities from logits."""

_METADATA_NAME: Final = "TFLITE_METADATA"
_MAX_METADATA_BYTES: Final = 1 << 20
# Well over the largest detectors (about 2,000 tensors), and little enough to walk in a fraction of a second.
_MAX_PARTS: Final = 50_000
_MAX_ENDS: Final = 64
_MAX_RANK: Final = 8
_MAX_EXTENT: Final = 1 << 24

_TYPES: Final[dict[int, np.dtype[Any]]] = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float16),
    2: np.dtype(np.int32),
    3: np.dtype(np.uint8),
    4: np.dtype(np.int64),
    6: np.dtype(np.bool_),
    7: np.dtype(np.int16),
    9: np.dtype(np.int8),
    10: np.dtype(np.float64),
    12: np.dtype(np.uint64),
    15: np.dtype(np.uint32),
    16: np.dtype(np.uint16),
}


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """The outside of a model.

    Attributes:
        operators: Codes of the builtin operators that it names.
        postprocess: Where the boxes, classes, scores and count of a TFLite_Detection_PostProcess stand among the
            outputs; None where the model does not end in one.
        metadata: What its maker wrote into it.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: frozenset[int]
    postprocess: tuple[int, ...] | None
    metadata: ModelMetadata | None


def read_tflite(path: Path) -> TfliteFile:
    """Read a file's tensors and metadata.

    Raises:
        ModelMissing: No such file.
        ModelUnreadable: It is no `.tflite` file, or cut off, or points outside itself.
        ModelRefused: Sound, but its tensors or labels are of a kind that no detector has.
    """
    try:
        with (
            path.open("rb") as file,
            contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data,
        ):
            return _read(path, data)
    except FileNotFoundError:
        raise ModelMissing(f"there is no model at {path}", "Run `make models`, or correct the path.") from None
    except (OSError, ValueError) as failed:
        raise ModelUnreadable(f"{path} can't be read: {failed}", "Give a .tflite file.") from None


def _read(path: Path, data: Bytes) -> TfliteFile:
    if data[4:8] != IDENTIFIER:
        raise ModelUnreadable(
            f"{path} is no .tflite file: bytes 4 to 8 are {bytes(data[4:8])!r}, not {IDENTIFIER!r}",
            "Fetch or build the file again.",
        )
    model = root(data)
    subgraphs = model.tables(2, _MAX_PARTS)
    if not subgraphs:
        raise ModelUnreadable(f"{path} holds no graph", "Fetch or build the file again.")
    graph = subgraphs[0]
    tensors = graph.tables(0, _MAX_PARTS)
    output_places = graph.integers(2, "i", _MAX_ENDS)
    codes = model.tables(1, _MAX_PARTS)
    return TfliteFile(
        inputs=tuple(_tensor(tensors, place) for place in graph.integers(1, "i", _MAX_ENDS)),
        outputs=tuple(_tensor(tensors, place) for place in output_places),
        operators=frozenset(_builtin(code) for code in codes),
        postprocess=_postprocess_order(graph, codes, output_places),
        metadata=_metadata(path, model),
    )


def _tensor(tensors: list[Table], place: int) -> TensorInfo:
    if not 0 <= place < len(tensors):
        raise ModelUnreadable(f"the graph names tensor {place} of {len(tensors)}", "Fetch or build the file again.")
    tensor = tensors[place]
    shape = tensor.integers(0, "i", _MAX_RANK)
    if any(not -1 <= extent <= _MAX_EXTENT for extent in shape):
        raise ModelUnreadable(f"a tensor claims the shape {shape}", "Fetch or build the file again.")
    kind = tensor.integer(1, "b")
    if kind not in _TYPES:
        raise ModelRefused(
            f"tensor '{tensor.text(3)[:64]}' is of type number {kind}, which no detector uses",
            "Export the model with float32, int8 or uint8 inputs and outputs.",
        )
    scale, zero_point = _quantisation(tensor.table(4))
    return TensorInfo(tensor.text(3), shape, _TYPES[kind], scale, zero_point)


def _quantisation(table: Table | None) -> tuple[float, int]:
    if table is None:
        return 0.0, 0
    scales = table.floats(2, _MAX_PARTS)
    zero_points = table.integers(3, "q", _MAX_PARTS)
    if len(scales) != 1:
        return 0.0, 0
    return scales[0], zero_points[0] if zero_points else 0


def _builtin(code: Table) -> int:
    # The old one-byte field is kept at 127 for newer operators; the larger of the two is meant.
    return max(code.integer(0, "b"), code.integer(3, "i"))


def _postprocess_order(graph: Table, codes: list[Table], outputs: tuple[int, ...]) -> tuple[int, ...] | None:
    ours = {index for index, code in enumerate(codes) if code.text(1) == POSTPROCESS}
    if not ours:
        return None
    for operator in graph.tables(3, _MAX_PARTS):
        if operator.integer(0, "I") in ours:
            made = operator.integers(2, "i", _MAX_ENDS)
            return tuple(outputs.index(tensor) for tensor in made) if set(made) <= set(outputs) else None
    return None


def _metadata(path: Path, model: Table) -> ModelMetadata | None:
    for entry in model.tables(6, _MAX_ENDS):
        if entry.text(0) != _METADATA_NAME:
            continue
        buffers = model.tables(4, _MAX_PARTS)
        place = entry.integer(1, "I")
        if place >= len(buffers):
            raise ModelUnreadable(f"the metadata stands in buffer {place} of {len(buffers)}")
        return read_metadata(path, buffers[place].raw(0, _MAX_METADATA_BYTES))
    return None
