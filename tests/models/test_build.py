"""The builder, on a tiny recipe."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from deploy.models.build import build, main
from deploy.models.errors import ClipUnreadable, DigestMismatch, GraphRefused, OutputUnwritable, RecipeInvalid
from deploy.models.place import Changes, Places
from deploy.models.progress import Progress
from tests.models.graphs import archive, detector, recipe
from wire.model import Manifest

NOTHING, PINS = Changes(), Changes(pins=True)
QUIET = Progress(sys.stderr, quiet=True)
ARCHIVE = archive(detector().files())


@pytest.fixture
def where(tmp_path: Path) -> Places:
    places = Places(tmp_path / "models", tmp_path / "archives")
    places.archives.mkdir()
    (places.archives / "us-tiny-2.0.0.tgz").write_bytes(ARCHIVE)
    return places


def test_builds_once(tmp_path: Path, where: Places) -> None:
    path = recipe(tmp_path, ARCHIVE)
    first = build(path, where, PINS, QUIET)
    folder = where.models / "tiny" / "1.0.0"
    assert first.built
    assert first.path == str(folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "LICENSE",
        "LICENSE.package",
        "NOTICE",
        "manifest.json",
        "model.tflite",
    ]
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    model = (folder / "model.tflite").read_bytes()
    assert manifest.digest == f"sha256:{hashlib.sha256(model).hexdigest()}"
    assert manifest.size == len(model)
    assert "sha512-" in manifest.provenance.source
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert (folder / "LICENSE.package").read_bytes() == b"do as you please\n"
    assert "@us/tiny@2.0.0" in (folder / "NOTICE").read_text()
    before = (folder / "model.tflite").stat().st_ino
    assert not build(path, where, NOTHING, QUIET).built
    assert (folder / "model.tflite").stat().st_ino == before


@pytest.mark.parametrize("name", ["model.tflite", "manifest.json"])
def test_mends_what_was_damaged(tmp_path: Path, where: Places, name: str) -> None:
    path = recipe(tmp_path, ARCHIVE)
    first = build(path, where, PINS, QUIET)
    (Path(first.path) / name).write_bytes(b"{}")
    again = build(path, where, NOTHING, QUIET)
    assert again.built
    assert again.sha256 == first.sha256
    assert not build(path, where, NOTHING, QUIET).built


def test_a_changed_recipe_builds_anew(tmp_path: Path, where: Places) -> None:
    path = recipe(tmp_path, ARCHIVE)
    build(path, where, PINS, QUIET)
    path.write_text(path.read_text().replace("min_score = 0.2", "min_score = 0.1"))
    again = build(path, where, NOTHING, QUIET)
    assert again.built
    assert json.loads((Path(again.path) / "manifest.json").read_bytes())["min_score"] == 0.1


def test_another_digest_than_the_pinned_is_refused(tmp_path: Path, where: Places) -> None:
    path = recipe(tmp_path, ARCHIVE, pin="0" * 64)
    with pytest.raises(DigestMismatch) as caught:
        build(path, where, NOTHING, QUIET)
    assert "0" * 64 in caught.value.what
    assert "litert-quantizer" in caught.value.mend
    assert not where.models.exists()


def test_a_killed_build_leaves_nothing_that_stays(tmp_path: Path, where: Places) -> None:
    left = [where.models / "tiny" / ".building-x" / "fresh", where.archives / ".fetching-x"]
    for folder in left:
        folder.mkdir(parents=True)
    build(recipe(tmp_path, ARCHIVE), where, PINS, QUIET)
    assert [p.name for p in (where.models / "tiny").iterdir()] == ["1.0.0"]
    assert not left[1].exists()


def test_where_it_can_not_write(tmp_path: Path, where: Places) -> None:
    where.models.write_text("a file stands where the folder should")
    with pytest.raises(OutputUnwritable, match="can't be written"):
        build(recipe(tmp_path, ARCHIVE), where, PINS, QUIET)


def clip(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    rng = np.random.default_rng(5)
    for _ in range(21):
        writer.write(rng.integers(0, 256, (32, 32, 3), np.uint8))
    writer.release()
    return path


def test_calibrates_quantises_and_repeats_itself(tmp_path: Path, where: Places) -> None:
    path = recipe(tmp_path, ARCHIVE, quantise=True)
    first = build(path, where, Changes(calibrate_on=clip(tmp_path / "clip.avi")), QUIET)
    ranges = json.loads((tmp_path / "tiny.ranges.json").read_text())
    assert "3 frames of clip.avi" in ranges["made"]
    assert ranges["tensors"]["image"] == [-1.0, 1.0]
    assert 0 <= ranges["tensors"]["r"][0] < ranges["tensors"]["r"][1] <= 6
    elsewhere = Places(tmp_path / "elsewhere", where.archives)
    assert build(path, elsewhere, NOTHING, QUIET).sha256 == first.sha256
    interpreter = Interpreter(f"{first.path}/model.tflite")
    interpreter.allocate_tensors()
    (image,), (boxes,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], boxes["dtype"]) == (np.int8, np.int8)
    assert image["quantization"][0] == pytest.approx(1 / 127.5)


def test_a_clip_without_frames(tmp_path: Path, where: Places) -> None:
    with pytest.raises(ClipUnreadable):
        build(recipe(tmp_path, ARCHIVE, quantise=True), where, Changes(calibrate_on=tmp_path / "absent.avi"), QUIET)


@pytest.mark.parametrize("ranges", [None, "{}", '{"made": "", "tensors": {"image": [0, 1]}}'])
def test_ranges_that_are_missing_or_do_not_fit(tmp_path: Path, where: Places, ranges: str | None) -> None:
    path = recipe(tmp_path, ARCHIVE, quantise=True)
    if ranges is not None:
        (tmp_path / "tiny.ranges.json").write_text(ranges)
    with pytest.raises(RecipeInvalid, match="ranges"):
        build(path, where, PINS, QUIET)


@pytest.mark.parametrize(
    ("old", "new", "error", "complaint"),
    [
        ('image"\n', 'image"\nfast = true\n', RecipeInvalid, "convert.fast"),
        ('input = "image"', 'input = ""', GraphRefused, "Placeholder"),
        ('name = "tiny"', 'name = "other"', RecipeInvalid, "holds the recipe of other"),
        ("[archive]", "[archive", RecipeInvalid, "can't be read"),
        ('boxes = "boxes"', 'boxes = "absent"', GraphRefused, "no node 'absent'"),
        ("width = 16", "width = 8", RecipeInvalid, "manifest.input.width"),
    ],
)
def test_bad_recipes(
    tmp_path: Path, where: Places, old: str, new: str, error: type[Exception], complaint: str
) -> None:
    path = recipe(tmp_path, ARCHIVE)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(error, match=complaint):
        build(path, where, PINS, QUIET)


def test_the_command_line_says_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-model"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("RecipeInvalid: There is no recipe 'no-such-model'")
    assert "ssdlite-mobilenetv2-300-int8" in said


def test_finding_all_built_imports_nothing_heavy() -> None:
    script = "import sys, deploy.models.build; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "ai_edge_litert", "litert_quantizer", "cv2"} & set(done.stdout.split())
