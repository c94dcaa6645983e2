"""What may be imported, and how everything else is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
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
from wire.model import Gain

pytestmark = pytest.mark.parts


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


def test_manifest_keeps_its_fields_and_gets_golden_answers(folder: RegistryFolder, model: Path) -> None:
    beside = write_manifest(model, output={"kind": "yolov5"}, unknown="kept")
    stage(folder, str(model), Overrides())
    staged = folder.staged("tiny", "1") / "manifest.json"
    fields = json.loads(staged.read_bytes())
    assert fields.pop("golden")["kernels"] == "plain"
    assert fields == json.loads(beside.read_bytes())


def test_manifest_with_golden_answers_keeps_its_own_bytes(folder: RegistryFolder, model: Path) -> None:
    beside = write_manifest(model, output={"kind": "yolov5"}, unknown="kept")
    stage(folder, str(model), Overrides())
    staged = (folder.staged("tiny", "1") / "manifest.json").read_bytes()
    shutil.rmtree(folder.staged("tiny", "1"))
    beside.write_bytes(staged)
    stage(folder, str(model), Overrides())
    assert (folder.staged("tiny", "1") / "manifest.json").read_bytes() == staged


def test_weights_are_laid_over_and_signed_with_the_rest(folder: RegistryFolder, model: Path) -> None:
    gain = Gain(features=1, weights=(0.5,) * 17, answers=900)
    manifest = stage(folder, str(model), Overrides("pets", "2.0", gain=gain), untried=True)
    assert manifest.gain == gain
    assert load_manifest(folder.staged("pets", "2.0") / "manifest.json").gain == gain
    with pytest.raises(ReleaseExists):
        stage(folder, str(model), Overrides("pets", "2.0"), untried=True)


def test_golden_answers_of_another_model_are_refused(folder: RegistryFolder, model: Path) -> None:
    write_manifest(model, output={"kind": "yolov5"})
    stage(folder, str(model), Overrides())
    golden = json.loads((folder.staged("tiny", "1") / "manifest.json").read_bytes())["golden"]
    rows = yolo_rows(3 * CELLS, 2, [(4, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    build(model, [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])
    write_manifest(model, output={"kind": "yolov5"}, version="2", golden=golden)
    with pytest.raises(ManifestInvalid, match="golden: part 1 of the outputs differs") as refused:
        stage(folder, str(model), Overrides())
    assert "Take `golden` out" in refused.value.mend


def test_untried_is_only_read(folder: RegistryFolder, model: Path) -> None:
    """No runtime here has the operator; a device's delegate may."""
    foreign = model.with_name("coral.tflite")
    outputs = [Spec((1, 10, 4)), Spec((1, 10)), Spec((1, 10)), Spec((1,))]
    build(foreign, [PICTURE], outputs, custom="edgetpu-custom-op")
    write_manifest(foreign, output={"kind": "detection_postprocess"}, name="coral")
    with pytest.raises(VisionError, match="edgetpu-custom-op"):
        stage(folder, str(foreign), Overrides())
    assert stage(folder, str(foreign), Overrides(), untried=True).golden is None
    assert load_manifest(folder.staged("coral", "1") / "manifest.json").name == "coral"


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
    with pytest.raises(TrialFailed, match="not done after"):
        try_model(model.parent, timeout_s=0.01)


def test_trial_that_crashes_is_told(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that dies: no model of ours is known to kill the present runtime."""
    script = tmp_path / "child.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr("cloud.registry.trial.COMMAND", (sys.executable, str(script)))
    with pytest.raises(TrialFailed, match="crashed with SIGSEGV while starting"):
        try_model(model.parent)
    script.write_text("print('{\"manifest\": 1}')\n")
    with pytest.raises(TrialFailed, match="ended with code 0 while starting"):
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
