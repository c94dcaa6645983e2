"""The port behind which any inference runtime stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from vision.tensors import AnyArray, TensorInfo

XNNPACK: Final = "xnnpack"
"""The runtime's own vectorised kernels, which it applies where they fit."""
NO_DELEGATE: Final = "none"
"""The plain kernels: slower, and they run what XNNPACK refuses."""
REFERENCE: Final = "reference"
"""The kernels that the others are held against: slow, and in 8 bits the same to the bit on every machine."""


@dataclass(frozen=True, slots=True)
class Delegate:
    """What is to run the graph, or the parts of it that it takes.

    Attributes:
        name: `xnnpack`, `none`, `reference`, or the library of an external delegate, by path or by a name that the
            loader finds.
        options: The library's own.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_library(self) -> bool:
        """Whether the name is that of a library."""
        return self.name not in {XNNPACK, NO_DELEGATE, REFERENCE}


class Runtime(Protocol):
    """One model, ready to run. Not safe for use from two threads at once."""

    @property
    def name(self) -> str:
        """The runtime and its version."""

    @property
    def delegate(self) -> str:
        """The delegate in use."""

    @property
    def input(self) -> TensorInfo:
        """The one input."""

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """All outputs, in the order in which `run` gives them."""

    def run(self, tensor: AnyArray) -> list[AnyArray]:
        """Run the model once.

        Args:
            tensor: Of the input's shape and dtype; read before this returns, not kept.

        Returns:
            One array for each output, as stored; the next run may overwrite them.

        Raises:
            vision.errors.InferenceFailed: The runtime refused.
        """

    def close(self) -> None:
        """Let go of the model; harmless twice."""
