"""Tiny tfjs graphs, their archives and recipes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Attrs = Mapping[str, Any]


class TinyGraph:
    """Writes a graph model as tfjs does."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: list[dict[str, Any]] = []
        self.data = b""

    def const(self, name: str, values: Any, *, half: bool = False) -> str:
        array = np.asarray(values)
        array = array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
        self.nodes.append({"name": name, "op": "Const"})
        weight: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
        if half:
            weight["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype(np.float16)
        self.weights.append(weight)
        self.data += array.tobytes()
        return name

    def op(self, op: str, name: str, inputs: Sequence[str], **attrs: Any) -> str:
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": attrs})
        return name

    def conv(
        self, name: str, source: str, weights: Any, *, stride: int = 1, rule: str = "SAME", op: str = "Conv2D"
    ) -> str:
        text = {"s": base64.b64encode(rule.encode()).decode()}
        strides = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
        kernel = self.const(f"{name}/kernel", weights)
        return self.op(op, name, [source, kernel], padding=text, strides=strides)

    def transpose(self, name: str, source: str, perm: Sequence[int]) -> str:
        return self.op("Transpose", name, [source, self.const(f"{name}/perm", perm)])

    def files(self) -> dict[str, bytes]:
        document = {
            "modelTopology": {"node": self.nodes},
            "weightsManifest": [{"paths": ["w1", "w2"], "weights": self.weights}],
        }
        cut = len(self.data) // 2
        return {
            "m/model.json": json.dumps(document).encode(),
            "m/w1": self.data[:cut],
            "m/w2": self.data[cut:],
            "LICENSE": b"do as you please\n",
        }


def archive(members: Mapping[str, bytes]) -> bytes:
    """A gzipped tar with these members under `package/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def integrity(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


def detector() -> TinyGraph:
    """Reads (1, 16, 16, 3), writes boxes (1, 256, 4)."""
    graph = TinyGraph()
    rng = np.random.default_rng(3)
    graph.op("Placeholder", "image", [])
    graph.conv("c", "image", rng.normal(size=(3, 3, 3, 4)))
    graph.op("Relu6", "r", ["c"])
    graph.op("Reshape", "boxes", ["r", graph.const("boxes/shape", [1, -1, 4])])
    return graph


def recipe(folder: Path, data: bytes, *, quantise: bool = False, pin: str = "") -> Path:
    """A recipe file for `detector`'s archive."""
    path = folder / "tiny.toml"
    step = '[quantise]\nscheme = "int8"\nranges = "tiny.ranges.json"\n' if quantise else ""
    path.write_text(f"""name = "tiny"
version = "1.0.0"
sha256 = "{pin}"
[archive]
package = "@us/tiny"
version = "2.0.0"
integrity = "{integrity(data)}"
bytes = {len(data)}
graph = "m/model.json"
shards = ["w1", "w2"]
licence = "LICENSE"
[convert]
input = "image"
outputs = {{ boxes = "boxes" }}
{step}
[manifest]
licence = "Apache-2.0"
notice = "nobody's"
min_score = 0.2
uncertain = [0.3, 0.6]
labels = ["person"]
[manifest.input]
width = 16
height = 16
scale = 127.5
mean = [1.0, 1.0, 1.0]
[manifest.output]
kind = "yolox"
""")
    return path
