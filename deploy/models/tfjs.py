"""Reads a TensorFlow.js graph model: nodes from its JSON, constants from its binary shards."""

from __future__ import annotations

import base64
import binascii
import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from deploy.models.errors import GraphRefused

Array = npt.NDArray[np.float32] | npt.NDArray[np.int32]

# What tfjs stores constants as; other kinds are not in the graphs that are built here.
_STORED: Final[Mapping[str, np.dtype[Any]]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of the graph.

    Attributes:
        inputs: Names of what it reads, `name` or `name:port`; control inputs are left out.
        attrs: As the JSON spells them; read through the typed getters.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; protobuf's JSON writes 64-bit ones as strings."""
        value = self._attr(key).get("i", default)
        return int(value) if isinstance(value, (int, str)) else self._refuse(key)

    def number(self, key: str, default: float | None = None) -> float:
        """A floating-point number."""
        value = self._attr(key).get("f", default)
        return float(value) if isinstance(value, (int, float)) else self._refuse(key)

    def truth(self, key: str) -> bool:
        """A flag; absent means no."""
        return self._attr(key).get("b", False) is True

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        values = self._attr(key).get("list", {})
        numbers = values.get("i") if isinstance(values, dict) else None
        return tuple(int(number) for number in numbers) if isinstance(numbers, list) else self._refuse(key)

    def text(self, key: str) -> str:
        """A string; older exporters write its bytes as a list of numbers, newer ones as base64."""
        value = self._attr(key).get("s")
        try:
            if isinstance(value, list):
                return bytes(value).decode()
            if isinstance(value, str):
                return base64.b64decode(value, validate=True).decode()
        except (ValueError, TypeError, binascii.Error):
            pass
        return self._refuse(key)

    def _attr(self, key: str) -> dict[str, Any]:
        value = self.attrs.get(key, {})
        return value if isinstance(value, dict) else self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        msg = f"The {self.op} {self.name!r} has no readable attribute {key!r}"
        raise GraphRefused(msg)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and constants by name."""

    nodes: Mapping[str, Node]
    constants: Mapping[str, Array]

    def node(self, ref: str) -> Node:
        """The node behind a reference, whatever its port."""
        name, _ = split_ref(ref)
        found = self.nodes.get(name)
        if found is None:
            msg = f"The graph has no node {name!r}"
            raise GraphRefused(msg, "Compare the names in the recipe with the graph's.")
        return found

    def constant(self, ref: str) -> Array | None:
        """The constant behind a reference, or None for what is computed."""
        return self.constants.get(split_ref(ref)[0])


def split_ref(ref: str) -> tuple[str, int]:
    """`name:port` taken apart; port 0 goes without saying."""
    name, _, port = ref.partition(":")
    return name, int(port) if port.isdecimal() else 0


def read_graph(files: Mapping[str, bytes], path: str) -> Graph:
    """The graph whose JSON is `files[path]`; its shards are looked up beside it.

    Raises:
        GraphRefused: The JSON is no graph model, or shards and weights don't fit.
    """
    try:
        document = json.loads(files[path])
        raw_nodes = document["modelTopology"]["node"]
        manifest = document["weightsManifest"]
        nodes = {raw["name"]: _node(raw) for raw in raw_nodes}
        constants: dict[str, Array] = {}
        for group in manifest:
            shards = [posixpath.join(posixpath.dirname(path), shard) for shard in group["paths"]]
            constants |= _constants(b"".join(files[shard] for shard in shards), group["weights"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} is not a tfjs graph model that we can read ({type(error).__name__}: {error})"
        raise GraphRefused(msg) from error
    return Graph(nodes, constants)


def _node(raw: Mapping[str, Any]) -> Node:
    inputs = tuple(ref for ref in raw.get("input", ()) if not ref.startswith("^"))
    return Node(str(raw["name"]), str(raw["op"]), inputs, raw.get("attr", {}))


def _constants(data: bytes, weights: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    offset = 0
    for weight in weights:
        shape = tuple(int(size) for size in weight["shape"])
        stored = _STORED[weight.get("quantization", weight)["dtype"]]
        count = math.prod(shape)
        values = np.frombuffer(data, stored, count, offset).reshape(shape)
        whole = weight["dtype"] == "int32"
        found[weight["name"]] = values.astype(np.int32) if whole else values.astype(np.float32)
        offset += count * stored.itemsize
    if offset != len(data):
        msg = f"the weights fill {offset} of {len(data)} bytes"
        raise ValueError(msg)
    return found


Padding = Literal["SAME", "VALID"]


def padding(node: Node) -> Padding:
    """The padding rule of a convolution or pooling."""
    rule = node.text("padding")
    if rule == "SAME":
        return "SAME"
    if rule == "VALID":
        return "VALID"
    msg = f"The {node.op} {node.name!r} pads by the rule {rule!r}"
    raise GraphRefused(msg)
