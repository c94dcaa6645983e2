"""Manifests beside a file, out of its metadata, and from its shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vision.shared import built, shared
from tests.vision.tiny_models import PICTURE, Spec, build, manifest_json, metadata, write_manifest
from vision.coco import COCO_80, COCO_90
from vision.describe import describe, describe_model
from vision.errors import ManifestInvalid, ModelMissing, ModelRefused, ModelUnreadable
from vision.tflite_file import EXP, LOGISTIC
from wire.model import Manifest, OutputKind

IN_416 = Spec((1, 416, 416, 3))
IN_300 = Spec((1, 300, 300, 3), "uint8", 1 / 128, 128)
NANODET = [Spec((1, cells, values)) for values in (80, 44) for cells in (2704, 676, 169)]


def describe_tiny(tmp_path: Path, inputs: list[Spec], outputs: list[Spec], *codes: int) -> Manifest:
    return describe_model(build(tmp_path / "a model.tflite", inputs, outputs, extra_codes=codes))


@pytest.mark.parametrize(
    ("inputs", "outputs", "codes", "kind", "labels"),
    [
        ([IN_416], [Spec((1, 84, 3549))], (LOGISTIC,), OutputKind.YOLOV8, COCO_80),
        ([IN_416], [Spec((1, 10647, 85))], (LOGISTIC,), OutputKind.YOLOV5, COCO_80),
        ([IN_416], [Spec((1, 3549, 85))], (LOGISTIC, EXP), OutputKind.YOLOX, COCO_80),
        ([IN_416], [Spec((1, 3549, 8))], (LOGISTIC,), OutputKind.YOLOX, ("class 0", "class 1", "class 2")),
        ([IN_416], NANODET, (LOGISTIC,), OutputKind.NANODET, COCO_80),
        ([IN_300], [Spec((1, 1917, 4)), Spec((1, 1917, 90))], (LOGISTIC,), OutputKind.SSD, COCO_90),
        ([IN_300], [Spec((1, 1917, 91)), Spec((1, 1917, 4))], (), OutputKind.SSD, COCO_90),
        ([IN_300], [Spec((1, 1917, 80)), Spec((1, 1917, 4))], (), OutputKind.SSD, COCO_80),
        (
            [IN_300],
            [Spec((1, 10, 4)), Spec((1, 10)), Spec((1, 10)), Spec((1,))],
            (),
            OutputKind.DETECTION_POSTPROCESS,
            COCO_90,
        ),
    ],
)
def test_kinds_by_shape(
    inputs: list[Spec],
    outputs: list[Spec],
    codes: tuple[int, ...],
    kind: OutputKind,
    labels: tuple[str, ...],
    tmp_path: Path,
) -> None:
    manifest = describe_tiny(tmp_path, inputs, outputs, *codes)
    assert (manifest.output.kind, manifest.labels) == (kind, labels)
    assert manifest.name == "a-model"
    assert (manifest.output.scores == "probabilities") == (LOGISTIC in codes or kind == "detection_postprocess")


def test_what_the_graph_gives_away(tmp_path: Path) -> None:
    assert describe_tiny(tmp_path, [IN_416], [Spec((1, 3549, 85))], LOGISTIC, EXP).output.boxes == "pixels"
    assert describe_tiny(tmp_path, [IN_416], [Spec((1, 3549, 85))], LOGISTIC).output.boxes == "raw"
    assert describe_tiny(tmp_path, [IN_300], [Spec((1, 1917, 91)), Spec((1, 1917, 4))]).output.class_offset == -1


def test_planes_first(tmp_path: Path) -> None:
    manifest = describe_tiny(tmp_path, [Spec((1, 3, 320, 416))], NANODET_320, LOGISTIC)
    assert (manifest.input.layout, manifest.input.width, manifest.input.height) == ("nchw", 416, 320)


NANODET_320 = [Spec((1, cells, values)) for values in (32, 80) for cells in (2080, 520, 130)]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([IN_416], [Spec((1, 300, 6))]),
        ([IN_416], [Spec((1, 84, 3548))]),
        ([IN_416], [Spec((1, 3549, 84))]),
        ([IN_416], [Spec((1, 1001))]),
        ([IN_416], NANODET[:4]),
        ([IN_300], [Spec((1, 1916, 4)), Spec((1, 1916, 90))]),
        ([Spec((1, 224, 224, 1))], [Spec((1, 84, 1029))]),
        ([Spec((2, 416, 416, 3))], [Spec((1, 84, 3549))]),
        ([Spec((1, 416, 416, 3), "int32")], [Spec((1, 84, 3549))]),
        ([IN_416, IN_416], [Spec((1, 84, 3549))]),
        ([], [Spec((1, 84, 3549))]),
    ],
)
def test_what_fits_no_kind_is_refused_with_what_was_seen(
    inputs: list[Spec], outputs: list[Spec], tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused) as refused:
        describe_tiny(tmp_path, inputs, outputs)
    for spec in (*inputs, *outputs):
        assert "×".join(map(str, spec.shape)) in refused.value.what
        assert spec.dtype in refused.value.what
    assert "tensor:0" in refused.value.what
    for kind in OutputKind:
        assert kind in refused.value.mend


def with_metadata(tmp_path: Path, labels: str, outputs: list[Spec], **said: object) -> Manifest:
    path = build(
        tmp_path / "m.tflite",
        [IN_300],
        outputs,
        metadata=metadata(**said),  # type: ignore[arg-type]
        attached={"labels.txt": labels.encode()},
    )
    return describe_model(path)


POSTPROCESS = [Spec((1, 10, 4)), Spec((1, 10)), Spec((1, 10)), Spec((1,))]


def test_metadata_gives_normalisation_labels_and_licence(tmp_path: Path) -> None:
    manifest = with_metadata(tmp_path, "cat\ndog", POSTPROCESS, mean=[1, 2, 3], std=[4, 5, 6], licence="MIT")
    assert (manifest.input.mean, manifest.input.std) == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert (manifest.labels, manifest.output.class_offset, manifest.licence) == (("cat", "dog"), 0, "MIT")


def test_a_background_line_shifts_the_labels(tmp_path: Path) -> None:
    manifest = with_metadata(tmp_path, "???\ncat\ndog", POSTPROCESS)
    assert (manifest.labels, manifest.output.class_offset) == (("", "cat", "dog"), 1)


def test_labels_that_do_not_count_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="2 labels for the 90 classes"):
        with_metadata(tmp_path, "cat\ndog", [Spec((1, 1917, 4)), Spec((1, 1917, 90))])


def test_normalisation_that_can_not_be(tmp_path: Path) -> None:
    for said in (
        {"mean": [0.0], "std": [0.0]},
        {"mean": [1, 2], "std": [1, 2]},
        {"mean": [1], "std": [float("nan")]},
    ):
        with pytest.raises(ModelRefused, match=r"metadata in .* can't be used: (the normalisation|std|mean)"):
            with_metadata(tmp_path, "cat", POSTPROCESS, **said)


def test_greyscale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="greyscale"):
        with_metadata(tmp_path, "cat", POSTPROCESS, colour_space=2)


def test_the_public_model_with_metadata_needs_no_manifest() -> None:
    found = describe(shared("models/ssd_mobilenet_v1_1_metadata_1.tflite"))
    assert found.guessed
    assert found.manifest.output.kind is OutputKind.DETECTION_POSTPROCESS
    assert found.manifest.labels[found.manifest.output.class_offset] == "person"


def test_a_manifest_beside_the_file_wins(tmp_path: Path) -> None:
    path = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 6, 84))])
    write_manifest(path, name="mine", labels=["a", "b"])
    for asked in (path, tmp_path):
        found = describe(asked)
        assert (found.manifest.name, found.manifest.labels, found.guessed) == ("mine", ("a", "b"), False)


def test_a_manifest_under_the_files_own_name_wins_over_the_folders(tmp_path: Path) -> None:
    path = build(tmp_path / "one.tflite", [PICTURE], [Spec((1, 6, 84))])
    write_manifest(path, name="folder")
    path.with_name("one.tflite.manifest.json").write_text(json.dumps(manifest_json(path, name="own")))
    assert describe_model(path).name == "own"


def test_a_manifest_of_another_file(tmp_path: Path) -> None:
    path = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 6, 84))])
    write_manifest(path, digest="sha256:" + "0" * 64)
    with pytest.raises(ManifestInvalid, match=r"digest: .* its manifest says sha256:000"):
        describe_model(path)
    write_manifest(path, size=7)
    with pytest.raises(ManifestInvalid, match=r"size: .* its manifest says 7"):
        describe_model(path)


def test_a_manifest_does_not_make_an_unreadable_file_readable(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model at all")
    write_manifest(path)
    with pytest.raises(ModelUnreadable, match=r"is no \.tflite file"):
        describe_model(path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"neither model\.tflite nor model\.onnx"):
        describe_model(tmp_path)


def test_an_onnx_model_by_its_shapes() -> None:
    manifest = describe_model(shared("models/nanodet_m.onnx"))
    assert (manifest.output.kind, manifest.input.layout) == (OutputKind.NANODET, "nchw")
    assert manifest.labels == COCO_80


def test_an_onnx_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not onnx")
    with pytest.raises(ModelUnreadable, match="ONNX Runtime"):
        describe_model(path)
    with pytest.raises(ModelMissing):
        describe_model(tmp_path / "n.onnx")


@pytest.mark.parametrize("name", ["default", "nanodet-g-416-fp16"])
def test_the_default_models_are_what_their_shapes_say(name: str, tmp_path: Path) -> None:
    """The recipe's manifest and what is told from the file alone name one kind and the same labels."""
    folder = built(name)
    given = describe_model(folder)
    bare = tmp_path / "bare.tflite"
    bare.symlink_to(folder / "model.tflite")
    told = describe_model(bare)
    assert (told.output.kind, told.labels, told.output.scores) == (
        given.output.kind,
        given.labels,
        given.output.scores,
    )
    assert (told.input.colour, told.input.layout, told.input.resize) == (
        given.input.colour,
        given.input.layout,
        given.input.resize,
    )
