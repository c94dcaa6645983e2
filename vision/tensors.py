"""What a model's tensors look like from outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
"""An array whose dtype is only known once the model is."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output tensor.

    Attributes:
        scale, zero_point: A stored value `q` means `(q - zero_point) × scale`; scale 0 where it means itself.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0

    def __str__(self) -> str:
        quantised = f" (scale {self.scale:g}, zero point {self.zero_point})" if self.scale else ""
        return f"'{self.name}' {shape_text(self.shape)} {self.dtype.name}{quantised}"


def shape_text(shape: Iterable[int]) -> str:
    """A shape for people: `1×300×300×3`."""
    return "×".join(str(extent) for extent in shape) or "scalar"


def seen(inputs: Iterable[TensorInfo], outputs: Iterable[TensorInfo]) -> str:
    """All tensors of a model, for a refusal."""
    return f"inputs {', '.join(map(str, inputs)) or 'none'}; outputs {', '.join(map(str, outputs)) or 'none'}"
