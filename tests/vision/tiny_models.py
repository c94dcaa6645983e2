"""Real `.tflite` files of a few hundred bytes, whose outputs are what a test wants them to be."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vision.manifest import digest_of

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int32": schema.TensorType.INT32,
    "complex64": schema.TensorType.COMPLEX64,
}


@dataclass(frozen=True)
class Spec:
    """A tensor to be: for outputs `values` is what the model says, whatever it is shown; quantised where scale."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0
    values: Any = None
    name: str = "tensor"


def quantised(values: np.ndarray, dtype: str, scale: float, zero_point: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)


def build(
    path: Path,
    inputs: Sequence[Spec],
    outputs: Sequence[Spec],
    *,
    extra_codes: Sequence[int] = (),
    metadata: bytes = b"",
    attached: Mapping[str, bytes] | None = None,
    custom: str = "",
) -> Path:
    """Write a model whose outputs are constants, passed through a RESHAPE so that something runs.

    With `custom` one operator of that name makes all outputs instead, and the graph gives them in reverse.
    """
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    tensors: list[Any] = []

    def tensor(spec: Spec, name: str, data: np.ndarray | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), list(spec.shape), _TYPES[spec.dtype], 0
        if spec.scale:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [spec.scale], [spec.zero_point]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        tensors.append(made)
        return len(tensors) - 1

    input_places = [tensor(spec, f"input{index}") for index, spec in enumerate(inputs)]
    operators, output_places = [], []
    for index, spec in enumerate(outputs):
        values = np.zeros(spec.shape) if spec.values is None else np.asarray(spec.values)
        stored = (
            quantised(values, spec.dtype, spec.scale, spec.zero_point) if spec.scale else values.astype(spec.dtype)
        )
        constant = tensor(spec, f"constant{index}", stored)
        shape = tensor(Spec((len(spec.shape),), "int32"), f"shape{index}", np.array(spec.shape, np.int32))
        output_places.append(tensor(spec, f"{spec.name}:{index}"))
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, [constant, shape], [output_places[-1]]
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT()
        operator.builtinOptions.newShape = list(spec.shape)
        operators.append(operator)
    if custom:
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 1 + len(extra_codes), input_places, output_places
        operators, output_places = [operator], output_places[::-1]
    model.operatorCodes = [_code(code) for code in (schema.BuiltinOperator.RESHAPE, *extra_codes)]
    if custom:
        model.operatorCodes.append(_code(schema.BuiltinOperator.CUSTOM, custom))
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, input_places, output_places
    model.subgraphs = [graph]
    if metadata:
        _attach(model, metadata)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(builder.Output()) + (archive(attached) if attached else b""))
    return path


def _code(code: int, custom: str = "") -> Any:
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), 1
    if custom:
        made.customCode = custom.encode()
    return made


def _attach(model: Any, metadata: bytes) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [entry]


def archive(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def metadata(
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    labels: str | None = "labels.txt",
    colour_space: int = 1,
    name: str = "a model",
    licence: str = "Apache-2.0",
) -> bytes:
    """A metadata buffer (M001) for one input and one output with a label file."""
    builder = flatbuffers.Builder(512)
    unit = _table(builder, {0: ("u8", 1), 1: _table(builder, {0: _floats(builder, mean), 1: _floats(builder, std)})})
    content = _table(builder, {0: ("u8", 2), 1: _table(builder, {0: ("u8", colour_space)})})
    picture = _table(builder, {3: content, 4: _offsets(builder, [unit] if mean else [])})
    files = []
    if labels is not None:
        files = [_table(builder, {0: builder.CreateString(labels), 2: ("u8", 3)})]
    output = _table(builder, {6: _offsets(builder, files)})
    graph = _table(builder, {2: _offsets(builder, [picture]), 3: _offsets(builder, [output])})
    root = _table(
        builder,
        {0: builder.CreateString(name), 3: _offsets(builder, [graph]), 5: builder.CreateString(licence)},
    )
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, fields: Mapping[int, Any]) -> int:
    builder.StartObject(max(fields) + 1)
    for slot, value in fields.items():
        if isinstance(value, tuple):
            builder.PrependUint8Slot(slot, value[1], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _offsets(builder: flatbuffers.Builder, places: Sequence[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def manifest_json(file: Path, **changes: Any) -> dict[str, Any]:
    """A manifest for a file, as JSON would hold it."""
    return {
        "name": "tiny",
        "version": "1",
        "digest": digest_of(file),
        "size": file.stat().st_size,
        "input": {"width": 64, "height": 64},
        "output": {"kind": "yolov8"},
        "labels": ["person", "car"],
        "licence": "Apache-2.0",
        "provenance": {"source": "a test"},
        **changes,
    }


def write_manifest(file: Path, **changes: Any) -> Path:
    beside = file.with_name("manifest.json")
    beside.write_text(json.dumps(manifest_json(file, **changes)))
    return beside


PICTURE = Spec((1, 64, 64, 3))
"""A float input of 64 × 64 pixels: 84 cells over the strides 8, 16 and 32."""
CELLS = 84


def yolo_rows(count: int, classes: int, objects: Sequence[tuple[int, tuple[float, ...], float, int]]) -> np.ndarray:
    """Rows (count, 5 + C); objects are (row, (cx, cy, w, h), score, class)."""
    rows = np.zeros((count, 5 + classes), np.float32)
    for row, box, score, index in objects:
        rows[row, :4] = box
        rows[row, 4] = score
        rows[row, 5 + index] = 1.0
    return rows
