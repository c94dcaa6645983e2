"""The recipes that are committed, and the models they make."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from agent.detect.settings import GOOD_LOOKS
from deploy.models.archive import find_npm
from deploy.models.build import build
from deploy.models.place import Changes, Places, places, recipe_path, recipe_paths
from deploy.models.progress import Progress
from deploy.models.quantise import read_ranges
from deploy.models.recipe import read_recipe
from wire.model import Manifest, OutputKind

NAMES = ("nanodet-g-416-fp16", "ssdlite-mobilenetv2-300-int8")


def manifest(name: str) -> Manifest:
    return read_recipe(recipe_path(name)).manifest_for(b"weights")


def test_there_are_two() -> None:
    assert tuple(recipe_paths()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_describes_a_valid_manifest(name: str) -> None:
    made = manifest(name)
    assert Manifest.model_validate_json(made.model_dump_json()) == made
    named = [label for label in made.labels if label]
    assert len(named) == len(set(named)) == 80
    assert (made.labels[0], named[-1]) == ("person", "toothbrush")
    assert made.min_score < made.uncertain[0] < made.uncertain[1]
    assert recipe_path(name).read_text().count(f'sha256 = "{read_recipe(recipe_path(name)).sha256}"') == 1


def test_as_many_second_looks_pay_for_the_default_as_its_figures_were_measured_with() -> None:
    assert [manifest(name).looks for name in NAMES] == [0.0, GOOD_LOOKS]


def test_both_know_the_same_classes() -> None:
    first, second = (tuple(label for label in manifest(name).labels if label) for name in NAMES)
    assert first == second


def test_ssd_labels_stand_at_their_coco_ids() -> None:
    labels = manifest("ssdlite-mobilenetv2-300-int8").labels
    ids = {"person": 1, "stop sign": 13, "cat": 17, "backpack": 27, "chair": 62, "tv": 72, "toothbrush": 90}
    assert {label: labels.index(label) + 1 for label in ids} == ids


def test_ssd_has_as_many_anchors_as_its_graph() -> None:
    anchors = manifest("ssdlite-mobilenetv2-300-int8").output.anchors
    assert anchors is not None
    each = [3 if level == 0 and anchors.reduce_lowest else 6 for level in range(len(anchors.feature_maps))]
    assert (
        sum(rows * columns * count for (rows, columns), count in zip(anchors.feature_maps, each, strict=True)) == 1917
    )


def test_ranges_put_each_grey_level_on_a_step_of_its_own() -> None:
    recipe = read_recipe(recipe_path("ssdlite-mobilenetv2-300-int8"))
    assert recipe.quantise is not None
    ranges = read_ranges(recipe_path(recipe.name).with_name(recipe.quantise.ranges))
    assert all(low < high for low, high in ranges.tensors.values())
    low, high = ranges.tensors["image"]
    level = np.arange(256)
    steps = (level / recipe.manifest.input.scale - recipe.manifest.input.mean[0]) / ((high - low) / 255)
    np.testing.assert_allclose(steps, level - 128, atol=1e-3)


@pytest.mark.system
@pytest.mark.parametrize("name", NAMES)
def test_builds_the_pinned_bytes(name: str, tmp_path: Path) -> None:
    found = places(os.environ, None)
    archive = found.archives / read_recipe(recipe_path(name)).archive.file_name
    if not archive.is_file() and find_npm() is None:
        pytest.skip(f"neither npm nor {archive} is here")
    out = Places(tmp_path, found.archives)
    outcome = build(recipe_path(name), out, Changes(), Progress(sys.stderr))
    assert outcome.built
    described = Manifest.model_validate_json((Path(outcome.path) / "manifest.json").read_bytes())
    interpreter = Interpreter(f"{outcome.path}/model.tflite")
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    assert image["shape"].tolist() == [1, described.input.height, described.input.width, 3]
    shapes = sorted(detail["shape"].tolist() for detail in interpreter.get_output_details())
    if described.output.kind is OutputKind.SSD:
        assert shapes == [[1, 1917, 4], [1, 1917, 90]]
    else:
        assert shapes == sorted([1, (416 // stride) ** 2, size] for stride in (8, 16, 32) for size in (44, 80))
    assert json.loads((Path(outcome.path) / "manifest.json").read_bytes())["digest"] == f"sha256:{outcome.sha256}"
