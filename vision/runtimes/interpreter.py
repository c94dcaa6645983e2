"""The Interpreter interface that LiteRT and tflite-runtime share."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from vision.errors import DelegateFailed, InferenceFailed, ModelRefused, ModelUnreadable
from vision.runtime import NO_DELEGATE, REFERENCE, Delegate
from vision.tensors import AnyArray, TensorInfo

_DELEGATE_ENTRY: Final = "tflite_plugin_create_delegate"


class Interpreter(Protocol):
    """What is used of `tflite.Interpreter`."""

    def allocate_tensors(self) -> None:
        """Plan memory; a delegate may refuse here."""

    def invoke(self) -> None:
        """Run once; refused while anyone holds a view of a tensor."""

    def set_tensor(self, tensor_index: int, value: AnyArray) -> None:
        """Copy a value in."""

    def tensor(self, tensor_index: int) -> Callable[[], AnyArray]:
        """What makes a view of a tensor."""

    def get_input_details(self) -> list[dict[str, Any]]:
        """Name, index, shape, dtype and quantization of each input."""

    def get_output_details(self) -> list[dict[str, Any]]:
        """The same of each output."""


class Library(Protocol):
    """The module of either package."""

    @property
    def Interpreter(self) -> Callable[..., Interpreter]:  # noqa: N802 - the package's own name
        """Makes an interpreter of a model."""

    @property
    def OpResolverType(self) -> Any:  # noqa: N802, ANN401 - an enumeration of the package's own
        """Which kernels there are, and whether XNNPACK is applied by itself."""

    def load_delegate(self, library: str, options: Mapping[str, str] | None = None) -> object:
        """Make an external delegate."""


class InterpreterRuntime:
    """A `.tflite` model in an interpreter."""

    def __init__(self, name: str, delegate: str, interpreter: Interpreter) -> None:
        self._name = name
        self._delegate = delegate
        self._interpreter: Interpreter | None = interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1:
            raise ModelRefused(f"the model has {len(inputs)} inputs", "Give a model whose one input is a picture.")
        self._input = _info(inputs[0])
        self._outputs = tuple(_info(details) for details in outputs)
        self._input_index = int(inputs[0]["index"])
        self._output_indices = [int(details["index"]) for details in outputs]
        self._results = [np.zeros(info.shape, info.dtype) for info in self._outputs]

    @property
    def name(self) -> str:
        """See `Runtime`."""
        return self._name

    @property
    def delegate(self) -> str:
        """See `Runtime`."""
        return self._delegate

    @property
    def input(self) -> TensorInfo:
        """See `Runtime`."""
        return self._input

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """See `Runtime`."""
        return self._outputs

    def run(self, tensor: AnyArray) -> list[AnyArray]:
        """See `Runtime`."""
        interpreter = self._interpreter
        if interpreter is None:
            raise InferenceFailed("the model is closed")
        try:
            interpreter.set_tensor(self._input_index, tensor)
            interpreter.invoke()
            for index, result in zip(self._output_indices, self._results, strict=True):
                # The interpreter's own memory must not be referred to when it runs next, and an exception that
                # someone keeps would do just that; copying into kept arrays costs microseconds.
                np.copyto(result, interpreter.tensor(index)())
        except (RuntimeError, ValueError) as failed:
            raise InferenceFailed(
                f"the model failed to run: {_one_line(failed)}", "Try another delegate, or replace the model."
            ) from None
        return self._results

    def close(self) -> None:
        """See `Runtime`."""
        self._interpreter = None


def open_interpreter(
    library: Library, name: str, path: Path, *, threads: int, delegate: Delegate
) -> InterpreterRuntime:
    """Load a model.

    Raises:
        ModelUnreadable: The runtime does not take the file at all.
        ModelRefused: The runtime lacks what the model needs, without any delegate.
        DelegateFailed: The delegate could not be loaded, or refused the model.
    """
    arguments: dict[str, object] = {}
    if delegate.name == NO_DELEGATE:
        arguments["experimental_op_resolver_type"] = library.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if delegate.name == REFERENCE:
        arguments["experimental_op_resolver_type"] = library.OpResolverType.BUILTIN_REF
    if delegate.is_library:
        arguments["experimental_delegates"] = [_load(library, delegate)]
    with _wrapped(path, delegate):
        interpreter = library.Interpreter(model_path=str(path), num_threads=threads, **arguments)
        interpreter.allocate_tensors()
        return InterpreterRuntime(name, delegate.name, interpreter)


def _load(library: Library, delegate: Delegate) -> object:
    # Tried by hand first: the package's own loader leaves a half-made object behind when the library is missing.
    try:
        getattr(ctypes.CDLL(delegate.name), _DELEGATE_ENTRY)
    except OSError as failed:
        raise DelegateFailed(
            f"the delegate {delegate.name} can't be loaded: {_one_line(failed)}", "Install it, or correct its path."
        ) from None
    except AttributeError:
        raise DelegateFailed(
            f"{delegate.name} is no delegate: it has no {_DELEGATE_ENTRY}", "Name a delegate library."
        ) from None
    try:
        return library.load_delegate(delegate.name, dict(delegate.options))
    except (ValueError, RuntimeError, OSError) as failed:
        raise DelegateFailed(
            f"the delegate {delegate.name} refused to start: {_one_line(failed)}", "Check its device and options."
        ) from None


@contextlib.contextmanager
def _wrapped(path: Path, delegate: Delegate) -> Iterator[None]:
    try:
        yield
    except ValueError as failed:
        if delegate.is_library:
            raise _refused(delegate, failed) from None
        raise ModelUnreadable(
            f"the runtime does not take {path}: {_one_line(failed)}", "Fetch or build the model again."
        ) from None
    except RuntimeError as failed:
        if delegate.name not in {NO_DELEGATE, REFERENCE}:
            raise _refused(delegate, failed) from None
        raise ModelRefused(
            f"the runtime can't run {path}: {_one_line(failed)}", "Export it with builtin operators only."
        ) from None


def _refused(delegate: Delegate, failed: Exception) -> DelegateFailed:
    return DelegateFailed(
        f"the delegate {delegate.name} refused the model: {_one_line(failed)}", "Name another delegate after it."
    )


def _info(details: Mapping[str, Any]) -> TensorInfo:
    scale, zero_point = details["quantization"]
    shape = tuple(int(extent) for extent in details["shape"])
    return TensorInfo(str(details["name"]), shape, np.dtype(details["dtype"]), float(scale), int(zero_point))


def _one_line(failed: BaseException) -> str:
    return " ".join(str(failed).split())[:300]
