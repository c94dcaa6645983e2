"""Turns a TensorFlow.js graph into a `.tflite` file, without TensorFlow.

Every value is stored channels-last, as TFLite's operators want it. A graph exported from a channels-first framework
is full of transposes to and fro; here a transpose only changes the order in which a stored tensor's axes are named,
and none of them costs anything at run time.

One file, since it is one table of operations: a method each, sharing how values are stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from deploy.models.errors import GraphRefused
from deploy.models.fold import Convolution, fold_convolutions
from deploy.models.tfjs import Graph, Node, padding, split_ref
from deploy.models.tflite import Code, ModelWriter, Shape

_PADDING: Final = {"SAME": schema.Padding.SAME, "VALID": schema.Padding.VALID}
_RELU6: Final = schema.ActivationFunctionType.RELU6
_NO_ACTIVATION: Final = schema.ActivationFunctionType.NONE
# Rows and columns of a channels-last picture.
_ROWS, _COLUMNS = 1, 2
# XNNPACK joins at most this many tensors at once.
_MOST_JOINED: Final = 5
# Lower than anything that a float16 holds, hence than any activation of these models.
_LOWEST_ACTIVATION: Final = -65_504.0
# Operations that read several computed tensors; all others read one, and numbers that are known beforehand.
_OF_MANY: Final = frozenset({"Add", "AddN", "AddV2", "ConcatV2"})

Around = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A computed tensor as the graph sees it.

    Attributes:
        tensor: Its number in the file.
        order: `order[i]` is the stored axis that the graph calls axis `i`.
        around: What is still to be put before and after each stored axis; its reader may take that over.
        filler: With what: zeros, or what is lower than any value.
    """

    tensor: int
    order: tuple[int, ...]
    around: Around = ()
    filler: Literal["zero", "lowest"] = "zero"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to convert.

    Attributes:
        input: The node that becomes the input.
        shape: Of the input as it is stored: 1, rows, columns, channels.
        channels_first: Whether the graph reads its input as 1, channels, rows, columns.
        outputs: Output name to the graph's reference.
        half: Whether weights are stored in 16 bits.
        description: Goes into the file.
    """

    input: str
    shape: Shape
    channels_first: bool
    outputs: Mapping[str, str]
    half: bool
    description: str


def convert(graph: Graph, plan: Plan) -> bytes:
    """The `.tflite` file.

    Raises:
        GraphRefused: An operation, or a variant of one, that is not known here.
    """
    graph, convolutions = fold_convolutions(graph)
    writer = ModelWriter(half=plan.half)
    image = writer.input("image", plan.shape)
    order = (0, 3, 1, 2) if plan.channels_first else (0, 1, 2, 3)
    lowering = _Lowering(graph, convolutions, writer, {plan.input: (Value(image, order),)})
    lowering.walk(plan.input, list(plan.outputs.values()))
    outputs = {name: lowering.settled(ref) for name, ref in plan.outputs.items()}
    return writer.finish({"image": image}, outputs, plan.description)


class _Lowering:
    """One pass over a graph, from its outputs back to its input."""

    def __init__(
        self,
        graph: Graph,
        convolutions: Mapping[str, Convolution],
        writer: ModelWriter,
        known: dict[str, tuple[Value, ...]],
    ) -> None:
        self._graph = graph
        self._convolutions = convolutions
        self._writer = writer
        self._known = known
        self._open: set[str] = set()

    def walk(self, start: str, ends: Sequence[str]) -> None:
        """Writes all operators between, each after what it reads, so that no chain is too long to follow."""
        stack = [(split_ref(ref)[0], False) for ref in reversed(ends)]
        seen = {start}
        while stack:
            name, ready = stack.pop()
            node = self._graph.node(name)
            if ready:
                self._value(name)
            elif name not in seen and node.op != "Const":
                seen.add(name)
                stack.append((name, True))
                read = node.inputs if node.op in _OF_MANY else node.inputs[:1]
                stack.extend((split_ref(ref)[0], False) for ref in reversed(read))

    def settled(self, ref: str) -> int:
        """The tensor of a reference, its axes stored in the order in which the graph names them."""
        value = self._padded(self._value(ref))
        if value.order == tuple(range(len(value.order))):
            return value.tensor
        name = f"{split_ref(ref)[0]}/stored"
        perm = self._writer.constant(f"{name}/perm", np.array(value.order, np.int32))
        shape = self._shape(value)
        return self._writer.operator(Code.TRANSPOSE, [value.tensor, perm], name, shape, "TransposeOptions")

    def _value(self, ref: str) -> Value:
        name, port = split_ref(ref)
        if name not in self._known:
            if name in self._open:
                msg = f"The graph runs in a circle through {name!r}"
                raise GraphRefused(msg)
            self._open.add(name)
            self._known[name] = self._lower(self._graph.node(name))
            self._open.remove(name)
        values = self._known[name]
        if port >= len(values):
            msg = f"{name!r} has no output {port}"
            raise GraphRefused(msg)
        return values[port]

    def _lower(self, node: Node) -> tuple[Value, ...]:
        convolution = self._convolutions.get(node.name)
        if convolution is not None:
            return (self._convolution(node.name, convolution),)
        if node.op == "SplitV":
            return self._split(node)
        rule = _RULES.get(node.op)
        if rule is None:
            msg = f"The operation {node.op} of {node.name!r} is not one that we convert"
            raise GraphRefused(msg, "Teach deploy/models/convert.py the operation, or choose other output nodes.")
        return (rule(self, node),)

    def _shape(self, value: Value) -> Shape:
        """The shape as the graph sees it, what is put around it included."""
        stored = self._writer.shape(value.tensor)
        around = value.around or ((0, 0),) * len(stored)
        return tuple(stored[axis] + sum(around[axis]) for axis in value.order)

    def _padded(self, value: Value) -> Value:
        """With the zeros around it written out."""
        if not value.around:
            return value
        if value.filler != "zero":
            msg = "Only pooling can read what is padded with the lowest value"
            raise GraphRefused(msg)
        name = f"pad_{value.tensor}"
        stored = self._writer.shape(value.tensor)
        shape = tuple(size + sum(sides) for size, sides in zip(stored, value.around, strict=True))
        amounts = self._writer.constant(f"{name}/amounts", np.array(value.around, np.int32))
        tensor = self._writer.operator(Code.PAD, [value.tensor, amounts], name, shape, "PadOptions")
        return Value(tensor, value.order)

    def _channels_last(self, value: Value, node: Node) -> Value:
        if value.order != (0, 1, 2, 3):
            msg = f"The {node.op} {node.name!r} reads a picture that is not stored channels-last"
            raise GraphRefused(msg)
        return value

    # What the graph computes from shapes alone.

    def _fixed(self, ref: str) -> npt.NDArray[np.int64]:
        """The whole numbers of a reference that depends on constants and shapes only."""
        constant = self._graph.constant(ref)
        if constant is not None:
            return constant.astype(np.int64)
        node = self._graph.node(ref)
        if node.op == "Shape":
            return np.array(self._shape(self._value(node.inputs[0])), np.int64)
        if node.op == "StridedSlice" and node.whole("shrink_axis_mask") == 1:
            return np.asarray(self._fixed(node.inputs[0])[int(self._fixed(node.inputs[1])[0])])
        if node.op == "Pack":
            return np.array([int(self._fixed(part)) for part in node.inputs], np.int64)
        if node.op == "AddV2":
            return self._fixed(node.inputs[0]) + self._fixed(node.inputs[1])
        if node.op == "SparseToDense":
            return self._dense(node)
        msg = f"The {node.op} {node.name!r} stands where a number known beforehand is needed"
        raise GraphRefused(msg)

    def _dense(self, node: Node) -> npt.NDArray[np.int64]:
        where, size, values, default = (self._fixed(ref) for ref in node.inputs)
        dense = np.full(tuple(size), int(default), np.int64)
        dense[where.reshape(-1)] = values
        return dense

    # One method per operation.

    def _convolution(self, name: str, convolution: Convolution) -> Value:
        node = convolution.node
        source = self._channels_last(self._value(convolution.source), node)
        rule = padding(node)
        _, down, right, _ = node.wholes("strides")
        rows, columns = convolution.weights.shape[:2]
        if rule == "VALID" and source.around and (down, right) == (1, 1) and _is_same(source.around, rows, columns):
            source, rule = replace(source, around=()), "SAME"
        source = self._padded(source)
        if "dilations" in node.attrs and set(node.wholes("dilations")) != {1}:
            msg = f"The convolution {name!r} is dilated"
            raise GraphRefused(msg)
        options = {
            "padding": _PADDING[rule],
            "strideH": down,
            "strideW": right,
            "dilationHFactor": 1,
            "dilationWFactor": 1,
            "fusedActivationFunction": _RELU6 if convolution.relu6 else _NO_ACTIVATION,
        }
        if node.op == "Conv2D":
            code, table = Code.CONV_2D, "Conv2DOptions"
            weights = convolution.weights.transpose(3, 0, 1, 2)
        else:
            code, table = Code.DEPTHWISE_CONV_2D, "DepthwiseConv2DOptions"
            weights = convolution.weights.reshape(1, rows, columns, -1)
            options["depthMultiplier"] = convolution.weights.shape[3]
        batch, height, width, _ = self._writer.shape(source.tensor)
        shape = (batch, _steps(height, rows, down, rule), _steps(width, columns, right, rule), len(convolution.bias))
        inputs = [
            source.tensor,
            self._writer.constant(f"{name}/weights", np.ascontiguousarray(weights)),
            self._writer.constant(f"{name}/bias", convolution.bias),
        ]
        return Value(self._writer.operator(code, inputs, name, shape, table, options), source.order)

    def constant(self, node: Node) -> Value:
        values = self._graph.constants[node.name]
        return Value(self._writer.constant(node.name, values), tuple(range(values.ndim)))

    def same(self, node: Node) -> Value:
        return self._value(node.inputs[0])

    def elementwise(self, node: Node) -> Value:
        source = self._padded(self._value(node.inputs[0]))
        code, table, values = {
            "Relu6": (Code.RELU6, "", {}),
            "Sigmoid": (Code.LOGISTIC, "", {}),
            "LeakyRelu": (Code.LEAKY_RELU, "LeakyReluOptions", {"alpha": node.number("alpha", 0.2)}),
        }[node.op]
        shape = self._writer.shape(source.tensor)
        return Value(self._writer.operator(code, [source.tensor], node.name, shape, table, values), source.order)

    def add(self, node: Node) -> Value:
        if len(node.inputs) != 2:  # noqa: PLR2004 - TFLite's ADD takes two
            msg = f"The {node.op} {node.name!r} adds {len(node.inputs)} values"
            raise GraphRefused(msg)
        left, right = (self._padded(self._value(ref)) for ref in node.inputs)
        if self._shape(left) != self._shape(right) or left.order != right.order:
            msg = f"The {node.op} {node.name!r} adds values of unlike shape or layout"
            raise GraphRefused(msg)
        shape = self._writer.shape(left.tensor)
        options = {"fusedActivationFunction": _NO_ACTIVATION}
        inputs = [left.tensor, right.tensor]
        return Value(self._writer.operator(Code.ADD, inputs, node.name, shape, "AddOptions", options), left.order)

    def transpose(self, node: Node) -> Value:
        source = self._value(node.inputs[0])
        return replace(source, order=tuple(source.order[int(axis)] for axis in self._fixed(node.inputs[1])))

    def pad(self, node: Node) -> Value:
        source = self._padded(self._value(node.inputs[0]))
        around: list[tuple[int, int]] = [(0, 0)] * len(source.order)
        for axis, (before, after) in zip(source.order, self._fixed(node.inputs[1]), strict=True):
            around[axis] = (int(before), int(after))
        if node.op == "Pad":
            return replace(source, around=tuple(around))
        filler = self._graph.constant(node.inputs[2])
        if filler is None or not np.all(filler < _LOWEST_ACTIVATION):
            msg = f"The {node.op} {node.name!r} fills with something other than the lowest value"
            raise GraphRefused(msg)
        return replace(source, around=tuple(around), filler="lowest")

    def max_pool(self, node: Node) -> Value:
        rule = padding(node)
        _, rows, columns, _ = node.wholes("ksize")
        _, down, right, _ = node.wholes("strides")
        source = self._channels_last(self._value(node.inputs[0]), node)
        if source.filler == "lowest" and rule == "VALID":
            source = self._edges_repeated(node, source, ((_ROWS, rows, down), (_COLUMNS, columns, right)))
        source = self._padded(source)
        batch, height, width, channels = self._writer.shape(source.tensor)
        shape = (batch, _steps(height, rows, down, rule), _steps(width, columns, right, rule), channels)
        options = {
            "padding": _PADDING[rule],
            "strideH": down,
            "strideW": right,
            "filterHeight": rows,
            "filterWidth": columns,
            "fusedActivationFunction": _NO_ACTIVATION,
        }
        tensor = self._writer.operator(Code.MAX_POOL_2D, [source.tensor], node.name, shape, "Pool2DOptions", options)
        return Value(tensor, source.order)

    def _edges_repeated(self, node: Node, source: Value, windows: Sequence[tuple[int, int, int]]) -> Value:
        """For pooling, a border of one that repeats the edge does what one of the lowest value does.

        XNNPACK has no PADV2, and a graph that it can't take whole unpacks 16-bit weights on every run.
        """
        tensor = source.tensor
        for axis, window, stride in windows:
            before, after = source.around[axis]
            size = self._writer.shape(tensor)[axis]
            # What no window reaches need not be there.
            reach = (_steps(size + before + after, window, stride, "VALID") - 1) * stride + window
            after = max(0, reach - before - size)
            if max(before, after) > 1 or window < 2:  # noqa: PLR2004 - a window on the border must hold the edge too
                msg = f"The {node.op} {node.name!r} reads a border wider than one"
                raise GraphRefused(msg)
            name = f"{node.name}/axis_{axis}"
            parts = [tensor]
            if before:
                parts.insert(0, self._cut(f"{name}/before", tensor, axis, 0, 1))
            if after:
                parts.append(self._cut(f"{name}/after", tensor, axis, size - 1, 1))
            tensor = self._joined(name, parts, axis)
        return Value(tensor, source.order)

    def resize(self, node: Node) -> Value:
        source = self._channels_last(self._padded(self._value(node.inputs[0])), node)
        height, width = (int(size) for size in self._fixed(node.inputs[1]))
        batch, _, _, channels = self._writer.shape(source.tensor)
        size = self._writer.constant(f"{node.name}/size", np.array([height, width], np.int32))
        options = {"alignCorners": node.truth("align_corners"), "halfPixelCenters": node.truth("half_pixel_centers")}
        shape = (batch, height, width, channels)
        tensor = self._writer.operator(
            Code.RESIZE_BILINEAR, [source.tensor, size], node.name, shape, "ResizeBilinearOptions", options
        )
        return Value(tensor, source.order)

    def concatenation(self, node: Node) -> Value:
        *refs, axis_ref = node.inputs
        parts = [self._padded(self._value(ref)) for ref in refs]
        order = parts[0].order
        if any(part.order != order for part in parts):
            msg = f"The {node.op} {node.name!r} joins values of unlike layout"
            raise GraphRefused(msg)
        axis = order[int(self._fixed(axis_ref)) % len(order)]
        return Value(self._joined(node.name, [part.tensor for part in parts], axis), order)

    def _joined(self, name: str, parts: Sequence[int], axis: int) -> int:
        if len(parts) == 1:
            return parts[0]
        if len(parts) > _MOST_JOINED:
            first = self._joined(f"{name}/first", parts[:_MOST_JOINED], axis)
            return self._joined(name, [first, *parts[_MOST_JOINED:]], axis)
        shape = list(self._writer.shape(parts[0]))
        shape[axis] = sum(self._writer.shape(part)[axis] for part in parts)
        options = {"axis": axis, "fusedActivationFunction": _NO_ACTIVATION}
        return self._writer.operator(Code.CONCATENATION, parts, name, tuple(shape), "ConcatenationOptions", options)

    def _split(self, node: Node) -> tuple[Value, ...]:
        """As slices, since XNNPACK has no SPLIT_V."""
        source = self._padded(self._value(node.inputs[0]))
        axis = source.order[int(self._fixed(node.inputs[2])) % len(source.order)]
        parts: list[Value] = []
        start = 0
        for index, size in enumerate(self._fixed(node.inputs[1])):
            cut = self._cut(f"{node.name}/{index}", source.tensor, axis, start, int(size))
            parts.append(Value(cut, source.order))
            start += int(size)
        return tuple(parts)

    def slice(self, node: Node) -> Value:
        source = self._padded(self._value(node.inputs[0]))
        stored = self._writer.shape(source.tensor)
        begin, size = [0] * len(stored), [0] * len(stored)
        for axis, start, count in zip(source.order, *(self._fixed(ref) for ref in node.inputs[1:3]), strict=True):
            begin[axis] = int(start)
            size[axis] = stored[axis] - int(start) if count < 0 else int(count)
        return Value(self._sliced(node.name, source.tensor, begin, size), source.order)

    def _cut(self, name: str, tensor: int, axis: int, start: int, count: int) -> int:
        begin, size = [0] * len(self._writer.shape(tensor)), list(self._writer.shape(tensor))
        begin[axis], size[axis] = start, count
        return self._sliced(name, tensor, begin, size)

    def _sliced(self, name: str, tensor: int, begin: Sequence[int], size: Sequence[int]) -> int:
        inputs = [
            tensor,
            self._writer.constant(f"{name}/begin", np.array(begin, np.int32)),
            self._writer.constant(f"{name}/size", np.array(size, np.int32)),
        ]
        return self._writer.operator(Code.SLICE, inputs, name, tuple(size), "SliceOptions")

    def squeeze(self, node: Node) -> Value:
        shape = self._shape(self._value(node.inputs[0]))
        gone = {axis % len(shape) for axis in node.wholes("squeeze_dims")} or {
            i for i, n in enumerate(shape) if n == 1
        }
        return self._reshaped(node, tuple(size for axis, size in enumerate(shape) if axis not in gone))

    def reshape(self, node: Node) -> Value:
        wanted = [int(size) for size in self._fixed(node.inputs[1])]
        total = math.prod(self._shape(self._value(node.inputs[0])))
        known = math.prod(size for size in wanted if size >= 0)
        return self._reshaped(node, tuple(total // max(known, 1) if size < 0 else size for size in wanted))

    def _reshaped(self, node: Node, wanted: Shape) -> Value:
        source = self._padded(self._value(node.inputs[0]))
        logical = self._shape(source)
        if math.prod(wanted) != math.prod(logical):
            msg = f"The {node.op} {node.name!r} makes {wanted} of {logical}"
            raise GraphRefused(msg)
        stored, order = _reshape_stored(source.order, logical, wanted) or (wanted, ())
        tensor = source.tensor if order else self.settled(node.inputs[0])
        sizes = self._writer.constant(f"{node.name}/shape", np.array(stored, np.int32))
        options = {"newShape": list(stored)}
        made = self._writer.operator(Code.RESHAPE, [tensor, sizes], node.name, stored, "ReshapeOptions", options)
        return Value(made, order or tuple(range(len(wanted))))


def _reshape_stored(order: Sequence[int], logical: Shape, wanted: Shape) -> tuple[Shape, tuple[int, ...]] | None:
    """Shape and order after a reshape that only merges axes lying side by side in storage, or None for any other."""
    groups: list[list[int]] = []
    axes = list(range(len(logical)))
    for size in wanted:
        group = [axes.pop(0)] if axes else []
        while axes and math.prod(logical[axis] for axis in group) < size:
            group.append(axes.pop(0))
        places = [order[axis] for axis in group]
        side_by_side = bool(places) and places == list(range(places[0], places[0] + len(places)))
        if not side_by_side or math.prod(logical[axis] for axis in group) != size:
            return None
        groups.append(places)
    if axes:
        return None
    in_storage = sorted(range(len(groups)), key=lambda index: groups[index][0])
    return tuple(wanted[index] for index in in_storage), tuple(
        in_storage.index(index) for index in range(len(groups))
    )


def _is_same(around: Around, rows: int, columns: int) -> bool:
    """Whether these zeros are what the rule SAME adds to a convolution of stride 1."""
    wanted = [(0, 0)] * len(around)
    for axis, size in ((_ROWS, rows), (_COLUMNS, columns)):
        wanted[axis] = ((size - 1) // 2, size // 2)
    return around == tuple(wanted)


def _steps(size: int, window: int, stride: int, rule: str) -> int:
    return -(-size // stride) if rule == "SAME" else (size - window) // stride + 1


_RULES: Final[Mapping[str, Callable[[_Lowering, Node], Value]]] = {
    "Add": _Lowering.add,
    "AddN": _Lowering.add,
    "AddV2": _Lowering.add,
    "ConcatV2": _Lowering.concatenation,
    "Const": _Lowering.constant,
    "Identity": _Lowering.same,
    "LeakyRelu": _Lowering.elementwise,
    "MaxPool": _Lowering.max_pool,
    "Pad": _Lowering.pad,
    "PadV2": _Lowering.pad,
    "Relu6": _Lowering.elementwise,
    "Reshape": _Lowering.reshape,
    "ResizeBilinear": _Lowering.resize,
    "Sigmoid": _Lowering.elementwise,
    "Slice": _Lowering.slice,
    "Squeeze": _Lowering.squeeze,
    "Transpose": _Lowering.transpose,
}
