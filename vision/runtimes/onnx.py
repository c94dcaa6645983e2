"""ONNX Runtime on the CPU, for the cloud."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from vision.errors import InferenceFailed, ModelMissing, ModelRefused, ModelUnreadable, RuntimeMissing
from vision.tensors import AnyArray, TensorInfo

_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
}
_ERRORS_ONLY: Final = 3
_UNKNOWN: Final = -1


class OnnxRuntime:
    """An `.onnx` model in a session."""

    def __init__(self, session: Any, errors: tuple[type[Exception], ...]) -> None:  # noqa: ANN401 - untyped package
        self._session = session
        self._errors = errors
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ModelRefused(f"the model has {len(inputs)} inputs", "Give a model whose one input is a picture.")
        self._input = _info(inputs[0])
        self._outputs = tuple(_info(output) for output in session.get_outputs())

    @classmethod
    def open(cls, path: Path, *, threads: int) -> Self:
        """Load a model.

        Raises:
            RuntimeMissing: ONNX Runtime is not installed.
            ModelMissing, ModelUnreadable: No such file, or no ONNX model.
            ModelRefused: Its tensors are of types that no detector uses.
        """
        try:
            import onnxruntime  # noqa: PLC0415 - never on a device
            from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415
        except ImportError as failed:
            raise RuntimeMissing(
                f"ONNX Runtime can't be imported: {failed}", "Install it: `pip install vedette[cloud]`."
            ) from None
        if not path.is_file():
            raise ModelMissing(f"there is no model at {path}", "Correct the path.")
        errors: tuple[type[Exception], ...] = (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoModel,
            state.NoSuchFile,
            state.NotImplemented,
            state.RuntimeException,
            state.EPFail,
            ValueError,
            RuntimeError,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except errors as failed:
            raise ModelUnreadable(
                f"{path} is no model that ONNX Runtime takes: {' '.join(str(failed).split())[:300]}",
                "Fetch or export the model again.",
            ) from None
        return cls(session, errors)

    @property
    def name(self) -> str:
        """See `Runtime`."""
        return f"onnxruntime {metadata.version('onnxruntime')}"

    @property
    def delegate(self) -> str:
        """See `Runtime`."""
        return "cpu"

    @property
    def input(self) -> TensorInfo:
        """See `Runtime`. An extent that the file leaves open is -1."""
        return self._input

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """See `Runtime`. An extent that the file leaves open is -1."""
        return self._outputs

    def settle(self, shape: tuple[int, ...]) -> None:
        """Fill in the extents that the file leaves open, by running the model once on zeros of that input shape.

        Where the file fixes other extents nothing is changed, for `Preprocessor` to refuse.

        Raises:
            InferenceFailed: The run failed.
        """
        fixed = self._input.shape
        fits = len(fixed) == len(shape) and all(f in {_UNKNOWN, w} for f, w in zip(fixed, shape, strict=True))
        if not fits or all(_UNKNOWN not in info.shape for info in (self._input, *self._outputs)):
            return
        results = self.run(np.zeros(shape, self._input.dtype))
        self._input = TensorInfo(self._input.name, shape, self._input.dtype)
        self._outputs = tuple(
            TensorInfo(info.name, result.shape, result.dtype)
            for info, result in zip(self._outputs, results, strict=True)
        )

    def run(self, tensor: AnyArray) -> list[AnyArray]:
        """See `Runtime`."""
        if self._session is None:
            raise InferenceFailed("the model is closed")
        try:
            return list(self._session.run(None, {self._input.name: tensor}))
        except self._errors as failed:
            raise InferenceFailed(
                f"the model failed to run: {' '.join(str(failed).split())[:300]}", "Replace the model."
            ) from None

    def close(self) -> None:
        """See `Runtime`."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _info(node: Any) -> TensorInfo:  # noqa: ANN401 - untyped package
    if node.type not in _TYPES:
        raise ModelRefused(
            f"tensor '{node.name}' is of type {node.type}, which no detector uses", "Export the model in float32."
        )
    shape = tuple(extent if isinstance(extent, int) else _UNKNOWN for extent in node.shape)
    return TensorInfo(str(node.name), shape, _TYPES[node.type])
