"""Folds what follows a convolution into it: scales, offsets, batch normalisation, bias and ReLU6.

TFLite's convolutions carry a bias and an activation themselves, so each chain becomes one operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from deploy.models.errors import GraphRefused
from deploy.models.tfjs import Array, Graph, Node, split_ref

Floats = npt.NDArray[np.float32]

CONVOLUTIONS: Final = frozenset({"Conv2D", "DepthwiseConv2dNative"})
_ADDITIONS: Final = frozenset({"Add", "AddV2", "AddN", "BiasAdd"})
# FusedBatchNorm's default in TensorFlow's op definition.
_EPSILON: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with all that was folded into it.

    Attributes:
        node: The convolution itself, for its attributes.
        source: What it reads.
        weights: As TensorFlow keeps them: (rows, columns, in, out), or (rows, columns, in, multiplier) for depthwise.
        bias: (out,)
        relu6: Whether the result is cut to 0..6.
    """

    node: Node
    source: str
    weights: Floats
    bias: Floats
    relu6: bool = False


def fold_convolutions(graph: Graph) -> tuple[Graph, Mapping[str, Convolution]]:
    """The graph with each convolution's chain made one node, and what those nodes are, by name."""
    graph = _bias_before_residual(graph)
    readers = _readers(graph)
    nodes = dict(graph.nodes)
    folded: dict[str, Convolution] = {}
    for node in graph.nodes.values():
        if node.op in CONVOLUTIONS:
            last, convolution = _follow(graph, readers, node)
            folded[last] = convolution
            nodes[last] = Node(last, node.op, (convolution.source,), node.attrs)
    return Graph(nodes, graph.constants), folded


def _follow(graph: Graph, readers: Mapping[str, list[str]], node: Node) -> tuple[str, Convolution]:
    last, convolution = node.name, _bare(graph, node)
    while len(readers.get(last, ())) == 1:
        reader = graph.nodes[readers[last][0]]
        if reader.op == "Relu6":
            return reader.name, replace(convolution, relu6=True)
        affine = _affine(graph, reader, last)
        if affine is None:
            break
        last, convolution = reader.name, _scaled(convolution, *affine)
    return last, convolution


def _bare(graph: Graph, node: Node) -> Convolution:
    weights = graph.constant(node.inputs[1])
    if weights is None or weights.ndim != 4:  # noqa: PLR2004 - rows, columns, in, out
        msg = f"The weights of {node.name!r} are not a constant of four axes"
        raise GraphRefused(msg)
    floats = weights.astype(np.float32)
    return Convolution(node, node.inputs[0], floats, np.zeros(_channels(node, floats), np.float32))


def _channels(node: Node, weights: Floats) -> int:
    into, out = weights.shape[2:]
    return int(out if node.op == "Conv2D" else into * out)


def _scaled(convolution: Convolution, scale: Floats, offset: Floats) -> Convolution:
    shape = convolution.weights.shape
    along = scale if convolution.node.op == "Conv2D" or scale.size == 1 else scale.reshape(shape[2:])
    return replace(convolution, weights=convolution.weights * along, bias=convolution.bias * scale + offset)


def _affine(graph: Graph, node: Node, source: str) -> tuple[Floats, Floats] | None:
    """Scale and offset per channel by which `node` turns `source` into its result, or None."""
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    if node.op == "FusedBatchNorm":
        return _batch_normalisation(graph, node)
    if (node.op not in _ADDITIONS and node.op != "Mul") or len(node.inputs) != 2:  # noqa: PLR2004 - a constant, a value
        return None
    constant = next((graph.constant(ref) for ref in node.inputs if split_ref(ref)[0] != source), None)
    if constant is None or constant.size != (constant.shape or (1,))[-1]:
        return None
    values = constant.astype(np.float32).reshape(-1)
    return (values, zero) if node.op == "Mul" else (one, values)


def _batch_normalisation(graph: Graph, node: Node) -> tuple[Floats, Floats]:
    found = [graph.constant(ref) for ref in node.inputs[1:5]]
    gamma, beta, mean, variance = (_float(node, values) for values in found)
    scale = gamma / np.sqrt(variance + np.float32(node.number("epsilon", _EPSILON)))
    return scale, beta - mean * scale


def _float(node: Node, values: Array | None) -> Floats:
    if values is None:
        msg = f"The batch normalisation {node.name!r} has parameters that are not constant"
        raise GraphRefused(msg)
    return values.astype(np.float32)


def _bias_before_residual(graph: Graph) -> Graph:
    """`(convolution + skip) + bias` becomes `(convolution + bias) + skip`, so that the bias can be folded.

    TensorFlow's optimiser left the sums in the first order, which costs an operator per residual block.
    """
    readers = _readers(graph)
    nodes = dict(graph.nodes)
    for node in graph.nodes.values():
        constants = [ref for ref in node.inputs if graph.constant(ref) is not None]
        if node.op != "Add" or len(constants) != 1:
            continue
        inner = graph.node(next(ref for ref in node.inputs if ref not in constants))
        if inner.op != "AddN" or len(inner.inputs) != 2 or len(readers[inner.name]) != 1:  # noqa: PLR2004 - a residual sum
            continue
        branch = next((ref for ref in inner.inputs if _ends_alone(graph, readers, ref)), None)
        if branch is not None:
            skip = next(ref for ref in inner.inputs if ref != branch)
            nodes[inner.name] = Node(inner.name, "BiasAdd", (branch, constants[0]))
            nodes[node.name] = Node(node.name, "Add", (inner.name, skip))
    return Graph(nodes, graph.constants)


def _ends_alone(graph: Graph, readers: Mapping[str, list[str]], ref: str) -> bool:
    return graph.node(ref).op in CONVOLUTIONS and len(readers[split_ref(ref)[0]]) == 1


def _readers(graph: Graph) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        for ref in node.inputs:
            readers.setdefault(split_ref(ref)[0], []).append(node.name)
    return readers
