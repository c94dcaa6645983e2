"""What may be imported, and how everything else is refused."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from cloud.registry.errors import MlflowFailed, ReleaseExists, SourceRefused, TrialFailed
from cloud.registry.layout import RegistryFolder
from cloud.registry.staging import Overrides, read_labels, stage
from cloud.registry.trial import try_model
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, manifest_json, write_manifest, yolo_rows
from vision.errors import ManifestInvalid, ModelMissing, ModelUnreadable, VisionError
from vision.manifest import load_manifest
from vision.tflite_file import LOGISTIC


@pytest.fixture
def folder(tmp_path: Path) -> RegistryFolder:
    return RegistryFolder(tmp_path / "registry")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    return build(made / "tiny.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])


def nothing_left(folder: RegistryFolder) -> bool:
    return not [file for file in folder.root.rglob("*") if file.name != "lock"]


def test_bare_file_takes_what_the_person_says(folder: RegistryFolder, model: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("dog\n\ncat\n".replace("\n\n", "\n"))
    said = Overrides("pets", "2.0", "MIT", read_labels(labels))
    manifest = stage(folder, str(model), said)
    assert (manifest.name, manifest.version, manifest.licence, manifest.labels) == (
        "pets",
        "2.0",
        "MIT",
        ("dog", "cat"),
    )
    assert load_manifest(folder.staged("pets", "2.0") / "manifest.json") == manifest


def test_bare_file_needs_a_version(folder: RegistryFolder, model: Path) -> None:
    with pytest.raises(SourceRefused, match="version"):
        stage(folder, str(model), Overrides())
    assert nothing_left(folder)


def test_manifest_keeps_its_own_bytes(folder: RegistryFolder, model: Path) -> None:
    beside = write_manifest(model, output={"kind": "yolov5"}, unknown="kept")
    stage(folder, str(model), Overrides())
    assert (folder.staged("tiny", "1") / "manifest.json").read_bytes() == beside.read_bytes()


def test_same_again_is_harmless_and_other_bytes_are_refused(folder: RegistryFolder, model: Path) -> None:
    stage(folder, str(model), Overrides(version="1"))
    stage(folder, str(model), Overrides(version="1"))
    rows = yolo_rows(3 * CELLS, 2, [(4, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    build(model, [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])
    with pytest.raises(ReleaseExists):
        stage(folder, str(model), Overrides(version="1"))


def test_damaged_models_are_refused_by_name(folder: RegistryFolder, model: Path) -> None:
    whole = model.read_bytes()
    for data, error in (
        (b"", ModelUnreadable),
        (b"no model", ModelUnreadable),
        (whole[: len(whole) // 2], VisionError),
    ):
        model.write_bytes(data)
        with pytest.raises(error):
            stage(folder, str(model), Overrides(version="1"))
    assert nothing_left(folder)


def test_manifest_of_another_file_is_refused(folder: RegistryFolder, model: Path) -> None:
    write_manifest(model, size=1)
    with pytest.raises(ManifestInvalid, match="size"):
        stage(folder, str(model), Overrides())
    (model.with_name("manifest.json")).write_text("{")
    with pytest.raises(ManifestInvalid):
        stage(folder, str(model), Overrides())
    assert nothing_left(folder)


@pytest.mark.parametrize("said", [Overrides(name="../up", version="1"), Overrides(version="a b")])
def test_name_that_is_none_is_refused(folder: RegistryFolder, model: Path, said: Overrides) -> None:
    with pytest.raises(ManifestInvalid):
        stage(folder, str(model), said)


def test_what_is_no_tflite_file_is_refused(folder: RegistryFolder, model: Path) -> None:
    other = model.rename(model.with_suffix(".onnx"))
    with pytest.raises(SourceRefused, match="convert"):
        stage(folder, str(other), Overrides(version="1"))
    with pytest.raises(ModelMissing):
        stage(folder, "no-such-model", Overrides())
    with pytest.raises(SourceRefused, match="labels"):
        read_labels(model.with_name("none.txt"))


def test_trial_that_takes_too_long_is_ended(model: Path) -> None:
    with pytest.raises(TrialFailed, match="longer than"):
        try_model(model.parent, timeout_s=0.01)


def test_trial_that_crashes_is_told(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child whose interpreter dies: no model of ours is known to kill the present runtime."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    with pytest.raises(TrialFailed, match="signal 11"):
        try_model(model.parent)


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow's client is installed here")
def test_mlflow_without_its_client_says_what_to_install(folder: RegistryFolder) -> None:
    with pytest.raises(MlflowFailed, match="pip install"):
        stage(folder, "mlflow:models:/tiny/1", Overrides())


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow's client is not installed here")
def test_model_comes_out_of_mlflow(folder: RegistryFolder, model: Path) -> None:
    assert stage(folder, f"mlflow:{model.as_uri()}", Overrides(version="1")).digest == manifest_json(model)["digest"]
    shutil.rmtree(model.parent)
    with pytest.raises(MlflowFailed):
        stage(folder, f"mlflow:{model.as_uri()}", Overrides(version="1"))
