"""Quantises a float model to 8 bits by ranges that were measured once and are kept beside the recipe."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Annotated

import numpy as np
from litert_quantizer import quantizer, recipe
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.models.errors import RecipeInvalid

Bound = Annotated[float, Field(allow_inf_nan=False)]


class Ranges(BaseModel):
    """The range of values that each tensor takes.

    Attributes:
        made: How they were measured, for people.
        tensors: Tensor name to lowest and highest value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    made: str
    tensors: dict[str, tuple[Bound, Bound]]


def read_ranges(path: Path) -> Ranges:
    """The ranges in a JSON file.

    Raises:
        RecipeInvalid: It is missing or not of this form.
    """
    try:
        return Ranges.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"{path.name} holds no usable ranges: {error}"
        raise RecipeInvalid(msg, "Measure them again with --calibrate CLIP.") from error


def write_ranges(path: Path, ranges: Ranges) -> None:
    """One tensor a line, so that a new calibration shows in a diff."""
    lines = (f"    {json.dumps(name)}: [{low:.7g}, {high:.7g}]" for name, (low, high) in ranges.tensors.items())
    body = ",\n".join(lines)
    path.write_text(f'{{\n  "made": {json.dumps(ranges.made)},\n  "tensors": {{\n{body}\n  }}\n}}\n')


def quantise(model: bytes, ranges: Ranges) -> bytes:
    """The model with 8-bit weights (one scale per channel) and 8-bit activations.

    Raises:
        RecipeInvalid: The ranges don't fit the model's tensors.
    """
    work = quantizer.Quantizer(model)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            # It draws bars for what takes a tenth of a second, and opens the model in a way that warns of memory.
            warnings.simplefilter("ignore", UserWarning)
            result = work.quantize(_statistics(ranges.tensors), enable_progress_report=False)
    except (ValueError, KeyError) as error:
        msg = f"The ranges do not fit the model: {error}"
        raise RecipeInvalid(msg, "Measure them again with --calibrate CLIP.") from error
    return bytes(result.quantized_model)


def _statistics(tensors: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, np.ndarray]]:
    # The quantiser broadcasts a range over its tensor, so it wants one axis per axis of the largest, a picture.
    return {
        name: {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}
        for name, (low, high) in tensors.items()
    }
