"""The converter against numpy, through the real runtime."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter

from deploy.models.convert import Plan, convert
from deploy.models.errors import GraphRefused
from deploy.models.tfjs import read_graph
from tests.models.graphs import TinyGraph

Floats = npt.NDArray[np.float32]
RNG = np.random.default_rng(11)


def run(
    graph: TinyGraph, image: Floats, outputs: dict[str, str], *, first: bool = False, half: bool = False
) -> dict[str, Floats]:
    """What the converted graph makes of `image` (1, rows, columns, channels)."""
    plan = Plan("image", image.shape, first, outputs, half, "test")
    interpreter = Interpreter(model_content=convert(read_graph(graph.files(), "m/model.json"), plan))
    return dict(interpreter.get_signature_runner()(image=image))


def convolve(image: Floats, kernel: Floats, stride: int = 1, *, around: int = 0) -> Floats:
    """A plain convolution of (1, rows, columns, in) with (r, c, in, out)."""
    image = np.pad(image, ((0, 0), (around, around), (around, around), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwirc,rcio->nhwo", windows, kernel)


def picture(rows: int, columns: int, channels: int) -> Floats:
    return RNG.normal(size=(1, rows, columns, channels)).astype(np.float32)


def weights(*shape: int) -> Floats:
    return RNG.normal(size=shape).astype(np.float32)


def test_folds_scale_offset_normalisation_and_relu6() -> None:
    image, kernel = picture(6, 5, 3), weights(3, 3, 3, 4)
    scale, offset = weights(4), weights(4)
    gamma, beta, mean, variance = weights(4), weights(4), weights(4), np.abs(weights(4)) + 0.5
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.conv("c", "image", kernel)
    graph.op("Mul", "m", [graph.const("s", scale), "c"])
    graph.op("Add", "a", ["m", graph.const("o", offset)])
    parameters = [graph.const(n, v) for n, v in zip("gbuv", (gamma, beta, mean, variance), strict=True)]
    graph.op("FusedBatchNorm", "n", ["a", *parameters], epsilon={"f": 0.01})
    graph.op("Relu6", "r", ["n"])
    found = run(graph, image, {"out": "r"})["out"]
    plain = convolve(image, kernel, around=1) * scale + offset
    expected = np.clip((plain - mean) / np.sqrt(variance + 0.01) * gamma + beta, 0, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_depthwise_with_stride() -> None:
    image, kernel = picture(7, 7, 2), weights(3, 3, 2, 1)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.conv("d", "image", kernel, stride=2, rule="VALID", op="DepthwiseConv2dNative")
    graph.op("BiasAdd", "b", ["d", graph.const("bias", [1.0, -1.0])])
    found = run(graph, image, {"out": "b"})["out"]
    parts = [convolve(image[..., i : i + 1], kernel[:, :, i : i + 1], 2) for i in range(2)]
    np.testing.assert_allclose(found, np.concatenate(parts, 3) + np.array([1, -1]), rtol=1e-5, atol=1e-5)


def test_a_bias_added_after_the_residual_sum() -> None:
    image, kernel, bias = picture(4, 4, 3), weights(1, 1, 3, 3), weights(3)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.conv("c", "image", kernel)
    graph.op("AddN", "sum", ["c", "image"])
    graph.op("Add", "out", [graph.const("bias", bias), "sum"])
    found = run(graph, image, {"out": "out"})["out"]
    np.testing.assert_allclose(found, convolve(image, kernel) + image + bias, rtol=1e-5, atol=1e-5)


def test_a_convolution_read_twice_is_not_folded_away() -> None:
    image, kernel = picture(4, 4, 2), weights(1, 1, 2, 2)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.conv("c", "image", kernel)
    graph.op("Relu6", "r", ["c"])
    graph.op("Sigmoid", "s", ["c"])
    found = run(graph, image, {"cut": "r", "soft": "s"})
    plain = convolve(image, kernel)
    np.testing.assert_allclose(found["cut"], np.clip(plain, 0, 6), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["soft"], 1 / (1 + np.exp(-plain)), rtol=1e-5, atol=1e-5)


def test_shapes_worked_out_beforehand() -> None:
    image = picture(4, 2, 6)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.op("Shape", "shape", ["image"])
    one, two = graph.const("one", [0]), graph.const("two", [1])
    graph.op("StridedSlice", "batch", ["shape", one, two, two], shrink_axis_mask={"i": "1"})
    parts = [graph.const(f"p{n}", n) for n in (-1, 1, 3)]
    graph.op("Pack", "wanted", ["batch", *parts])
    graph.op("Reshape", "boxes", ["image", "wanted"])
    graph.op("Squeeze", "flat", ["boxes"], squeeze_dims={"list": {"i": ["2"]}})
    graph.op("Slice", "tail", ["flat", graph.const("b", [0, 0, 1]), graph.const("z", [-1, -1, -1])])
    found = run(graph, image, {"flat": "flat", "tail": "tail"})
    np.testing.assert_array_equal(found["flat"], image.reshape(1, 16, 3))
    np.testing.assert_array_equal(found["tail"], image.reshape(1, 16, 3)[:, :, 1:])


def channels_first_head(graph: TinyGraph, kernel: Floats) -> None:
    """Pad, convolution and leaky ReLU, as an ONNX export spells them."""
    graph.op("Placeholder", "image", [])
    graph.op("Pad", "p", ["image", graph.const("p/by", [[0, 0], [0, 0], [1, 1], [1, 1]])])
    graph.transpose("t1", "p", [0, 2, 3, 1])
    graph.conv("c", "t1", kernel, rule="VALID")
    graph.transpose("t2", "c", [0, 3, 1, 2])
    graph.op("LeakyRelu", "l", ["t2"], alpha={"f": 0.1})


@pytest.mark.parametrize("half", [False, True])
def test_channels_first_to_split_outputs(half: bool) -> None:
    image, kernel = picture(4, 6, 3), weights(3, 3, 3, 5).astype(np.float16).astype(np.float32)
    graph = TinyGraph()
    channels_first_head(graph, kernel)
    split = [graph.const("sizes", [2, 3]), graph.const("dim", 1)]
    graph.op("SplitV", "s", ["l", *split], num_split={"i": "2"})
    for port, size in enumerate((2, 3)):
        none = [graph.const(f"w{port}", np.zeros((0, 1), int)), graph.const(f"n{port}", [3])]
        zeros = [graph.const(f"v{port}", np.zeros(0, int)), graph.const(f"d{port}", 0)]
        graph.op("SparseToDense", f"dense{port}", [*none, *zeros])
        graph.op("AddV2", f"shape{port}", [graph.const(f"wanted{port}", [1, size, -1]), f"dense{port}"])
        graph.op("Reshape", f"r{port}", [f"s:{port}" if port else "s", f"shape{port}"])
        graph.transpose(f"out{port}", f"r{port}", [0, 2, 1])
    found = run(graph, image, {"a": "out0", "b": "out1"}, first=True, half=half)
    plain = convolve(image, kernel, around=1)
    expected = np.where(plain < 0, plain * 0.1, plain).reshape(1, 24, 5)
    np.testing.assert_allclose(found["a"], expected[..., :2], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["b"], expected[..., 2:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [6, 7])
def test_pooling_over_a_border_of_the_lowest_value(size: int) -> None:
    image, kernel = picture(size, size, 3) - 2, np.eye(3, dtype=np.float32)[None, None]
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    border = [graph.const("by", [[0, 0], [0, 0], [1, 1], [1, 1]]), graph.const("low", -np.inf)]
    graph.op("PadV2", "p", ["image", *border])
    graph.transpose("t", "p", [0, 2, 3, 1])
    ksize, strides = {"list": {"i": ["1", "3", "3", "1"]}}, {"list": {"i": ["1", "2", "2", "1"]}}
    graph.op("MaxPool", "m", ["t"], ksize=ksize, strides=strides, padding={"s": list(b"VALID")})
    graph.conv("out", "m", kernel)
    found = run(graph, image, {"out": "out"}, first=True)["out"]
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    np.testing.assert_allclose(found, windows.max((-2, -1)), rtol=1e-6)


def test_joins_resizes_and_adds() -> None:
    image = picture(2, 2, 2)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    size = graph.const("size", [4, 4])
    graph.op("ResizeBilinear", "up", ["image", size], half_pixel_centers={"b": True}, align_corners={"b": False})
    graph.op("AddV2", "twice", ["up", "up"])
    graph.op("ConcatV2", "six", ["up", "twice", "up", "twice", "up", "twice", graph.const("axis", 3)])
    found = run(graph, image, {"six": "six"})["six"]
    line = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], np.float32)
    up = np.einsum("yr,xc,nrci->nyxi", line, line, image)
    np.testing.assert_allclose(found, np.concatenate([up, 2 * up] * 3, 3), rtol=1e-5, atol=1e-6)


def test_a_transposed_output_is_written_out() -> None:
    image = picture(3, 4, 2)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.transpose("t", "image", [0, 3, 1, 2])
    np.testing.assert_array_equal(run(graph, image, {"t": "t"})["t"], image.transpose(0, 3, 1, 2))


def test_half_of_the_bytes() -> None:
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.conv("c", "image", weights(3, 3, 3, 64))
    sizes = [
        len(
            convert(
                read_graph(graph.files(), "m/model.json"), Plan("image", (1, 8, 8, 3), False, {"c": "c"}, half, "")
            )
        )
        for half in (False, True)
    ]
    assert sizes[1] < 0.65 * sizes[0]


def test_a_long_chain() -> None:
    image = picture(2, 2, 1)
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    for index in range(1500):
        graph.op("Relu6", f"r{index}", [f"r{index - 1}" if index else "image"])
    np.testing.assert_allclose(run(graph, image, {"out": "r1499"})["out"], np.clip(image, 0, 6))


@pytest.mark.parametrize(
    ("ops", "complaint"),
    [
        ([("Erf", ["image"])], "operation Erf of 'x'"),
        ([("Relu6", ["gone"])], "no node 'gone'"),
        ([("Relu6", ["y"]), ("Relu6", ["x"])], "in a circle"),
        ([("Add", ["image", "y"]), ("Reshape", ["image", "shape"])], "unlike shape"),
        ([("AddN", ["image", "image", "image"])], "adds 3 values"),
        ([("Reshape", ["image", "image"])], "known beforehand"),
        ([("PadV2", ["image", "by", "zero"])], "other than the lowest"),
        ([("Relu6", ["image:2"])], "no output 2"),
        ([("Conv2D", ["image", "image"])], "not a constant of four axes"),
        ([("LeakyRelu", ["image"])], "no readable attribute 'alpha'"),
    ],
)
def test_refuses_what_it_does_not_know(ops: list[tuple[str, list[str]]], complaint: str) -> None:
    graph = TinyGraph()
    graph.op("Placeholder", "image", [])
    graph.const("shape", [1, 2, 4])
    graph.const("by", [[0, 0], [1, 1], [1, 1], [0, 0]])
    graph.const("zero", 0.0)
    for name, (op, inputs) in zip("xy", ops, strict=False):
        graph.op(op, name, inputs, **({"alpha": {"f": "much"}} if op == "LeakyRelu" else {}))
    with pytest.raises(GraphRefused, match=complaint):
        run(graph, picture(2, 2, 2), {"out": "x"})


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"modelTopology": {"node": [{"op": "Relu6"}]}}'])
def test_refuses_what_is_no_graph(damage: bytes) -> None:
    with pytest.raises(GraphRefused, match="not a tfjs graph model"):
        read_graph({**TinyGraph().files(), "m/model.json": damage}, "m/model.json")


@pytest.mark.parametrize("change", [b"more", None])
def test_refuses_shards_that_do_not_fit(change: bytes | None) -> None:
    graph = TinyGraph()
    graph.const("c", [1.0, 2.0])
    files = graph.files()
    files["m/w2"] = files["m/w2"] + change if change else files["m/w2"][:-1]
    with pytest.raises(GraphRefused, match="not a tfjs graph model"):
        read_graph(files, "m/model.json")
