"""Writes a `.tflite` file tensor by tensor, with the schema that `ai-edge-litert` carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Shape = tuple[int, ...]
Code = schema.BuiltinOperator

_FILE_IDENTIFIER: Final = b"TFL3"
_SCHEMA_VERSION: Final = 3
_TYPES: Final = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
}
# An operator's first version that knows the variant used here; all others are used as they were in version 1.
_VERSIONS: Final = {Code.DEQUANTIZE: 3, Code.RESIZE_BILINEAR: 3}
# `deprecatedBuiltinCode` is one byte; codes above go into `builtinCode` alone.
_OLD_CODE_LIMIT: Final = 127

SIGNATURE: Final = "serving_default"


class ModelWriter:
    """A model under construction; tensors are named by the number that adding them gives."""

    def __init__(self, *, half: bool = False) -> None:
        """With `half`, float constants are stored in 16 bits behind a DEQUANTIZE."""
        self._half = half
        self._tensors: list[Any] = []
        # Buffer 0 is by convention the empty one that computed tensors point to.
        self._buffers: list[Any] = [schema.BufferT()]
        self._operators: list[Any] = []
        self._codes: list[int] = []
        self._shapes: list[Shape] = []

    def shape(self, tensor: int) -> Shape:
        """Of a tensor added before."""
        return self._shapes[tensor]

    def input(self, name: str, shape: Shape) -> int:
        """A float32 tensor that the caller fills."""
        return self._tensor(name, shape, np.dtype(np.float32))

    def constant(self, name: str, values: npt.NDArray[np.float32] | npt.NDArray[np.int32]) -> int:
        """A tensor whose values are known."""
        if not (self._half and values.dtype == np.float32):
            return self._stored(name, values)
        stored = self._stored(f"{name}/half", values.astype(np.float16))
        return self.operator(Code.DEQUANTIZE, [stored], name, values.shape, "DequantizeOptions", {})

    def operator(
        self,
        code: int,
        inputs: Sequence[int],
        name: str,
        shape: Shape,
        options: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> int:
        """Adds an operator with one output; `options` names the schema's option table, `values` its fields."""
        return self.operator_of_many(code, inputs, {name: shape}, options, values or {})[0]

    def operator_of_many(
        self, code: int, inputs: Sequence[int], outputs: Mapping[str, Shape], options: str, values: Mapping[str, Any]
    ) -> list[int]:
        """Adds an operator with several outputs."""
        made = [self._tensor(name, shape, np.dtype(np.float32)) for name, shape in outputs.items()]
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code_index(code)
        operator.inputs = list(inputs)
        operator.outputs = made
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in values.items():
                setattr(operator.builtinOptions, key, value)
        self._operators.append(operator)
        return made

    def finish(self, inputs: Mapping[str, int], outputs: Mapping[str, int], description: str) -> bytes:
        """The file's bytes, with one signature that names inputs and outputs."""
        graph = schema.SubGraphT()
        graph.tensors = self._tensors
        graph.operators = self._operators
        graph.inputs = list(inputs.values())
        graph.outputs = list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey = SIGNATURE.encode()
        signature.subgraphIndex = 0
        signature.inputs = [_tensor_map(name, tensor) for name, tensor in inputs.items()]
        signature.outputs = [_tensor_map(name, tensor) for name, tensor in outputs.items()]
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = description.encode()
        model.operatorCodes = [_operator_code(code) for code in self._codes]
        model.buffers = self._buffers
        model.subgraphs = [graph]
        model.signatureDefs = [signature]
        builder = flatbuffers.Builder(sum(0 if b.data is None else len(b.data) for b in self._buffers) + 2**16)
        builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _stored(self, name: str, values: npt.NDArray[Any]) -> int:
        tensor = self._tensor(name, values.shape, values.dtype)
        buffer = schema.BufferT()
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        buffer.data = np.frombuffer(little.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._tensors[tensor].buffer = len(self._buffers) - 1
        return tensor

    def _tensor(self, name: str, shape: Shape, kind: np.dtype[Any]) -> int:
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = list(shape)
        tensor.type = _TYPES[kind]
        tensor.buffer = 0
        self._tensors.append(tensor)
        self._shapes.append(tuple(shape))
        return len(self._tensors) - 1

    def _code_index(self, code: int) -> int:
        if code not in self._codes:
            self._codes.append(code)
        return self._codes.index(code)


def _tensor_map(name: str, tensor: int) -> Any:  # noqa: ANN401 - the generated schema has no types
    entry = schema.TensorMapT()
    entry.name = name.encode()
    entry.tensorIndex = tensor
    return entry


def _operator_code(code: int) -> Any:  # noqa: ANN401 - the generated schema has no types
    entry = schema.OperatorCodeT()
    entry.builtinCode = code
    entry.deprecatedBuiltinCode = min(code, _OLD_CODE_LIMIT)
    entry.version = _VERSIONS.get(code, 1)
    return entry
