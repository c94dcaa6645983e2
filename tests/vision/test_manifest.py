from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vision.tiny_models import PICTURE, Spec, build, manifest_json
from vision.errors import ManifestInvalid, ModelMissing
from vision.manifest import check_file, digest_of, load_gain, load_manifest, parse_manifest
from wire.model import GAIN_FEATURES


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 6, 84))])


def test_a_sound_manifest(model: Path) -> None:
    manifest = parse_manifest(json.dumps(manifest_json(model)).encode())
    check_file(manifest, model)
    assert manifest.labels == ("person", "car")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["ok", "bad\u0007"]}, "labels.1"),
        ({"digest": "sha1:1"}, "digest"),
        ({"manifest": 2}, "manifest"),
        ({"input": {"width": 64}}, "input.height"),
        ({"input": {"width": 64, "height": 64, "std": [1, 0, 1]}}, "input"),
        ({"output": {"kind": "detr"}}, "output.kind"),
        ({"output": {"kind": "ssd"}}, "output"),
        ({"min_score": 1.5}, "min_score"),
    ],
)
def test_the_field_is_named(change: dict, field: str, model: Path) -> None:
    with pytest.raises(ManifestInvalid, match=rf"the manifest: {field}[:.]"):
        parse_manifest(json.dumps(manifest_json(model, **change)).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestInvalid, match=r"the document|the manifest"):
        parse_manifest(data)


def test_one_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(b" " * (3 << 20))
    with pytest.raises(ManifestInvalid, match="is over"):
        load_manifest(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"manifest\.json can't be read"):
        load_manifest(tmp_path / "manifest.json")
    with pytest.raises(ModelMissing):
        digest_of(tmp_path / "model.tflite")


def weights(text: str, features: int = 1) -> bytes:
    return f'{{"features": {features}, "weights": {text}, "answers": 900}}'.encode()


RIGHT = "[" + ", ".join(["0.5"] * len(GAIN_FEATURES[1])) + "]"
HOSTILE = [
    (RIGHT.replace("0.5", "NaN", 1), "weights.0"),
    (RIGHT.replace("0.5", "-Infinity", 1), "weights.0"),
    (RIGHT.replace("0.5", "1e999", 1), "weights.0"),
    (RIGHT.replace("0.5", "100.1", 1), "weights.0"),
    (RIGHT.replace("0.5", '"a"', 1), "weights.0"),
    ("[0.5]", "gain"),
    ("[]", "weights"),
    (str([0.5] * 65), "weights"),
    ("{}", "weights"),
]


@pytest.mark.parametrize(("text", "field"), HOSTILE)
def test_weights_that_harm_are_refused_by_name(text: str, field: str, model: Path, tmp_path: Path) -> None:
    sound = json.dumps(manifest_json(model)).encode()
    with pytest.raises(ManifestInvalid, match=rf"the manifest: gain(\.{field})?:"):
        parse_manifest(sound[:-1] + b', "gain": ' + weights(text) + b"}")
    file = tmp_path / "gain.json"
    file.write_bytes(weights(text))
    with pytest.raises(ManifestInvalid, match=rf"gain.json: gain(\.{field})?:") as refused:
        load_gain(file)
    assert "vedette gain train" in refused.value.mend


def test_weights_are_read_and_those_of_a_newer_set_do_not_keep_a_model_out(model: Path, tmp_path: Path) -> None:
    sound = json.dumps(manifest_json(model)).encode()
    newer = parse_manifest(sound[:-1] + b', "gain": ' + weights("[1.0, 2.0]", features=2) + b"}")
    assert newer.gain is not None
    assert newer.gain.weights == (1.0, 2.0)
    file = tmp_path / "gain.json"
    file.write_bytes(weights(RIGHT))
    assert load_gain(file).weights == (0.5,) * 17
    with pytest.raises(ManifestInvalid, match="can't be read"):
        load_gain(tmp_path)
