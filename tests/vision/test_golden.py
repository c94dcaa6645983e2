from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.vision.shared import built, shared
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, write_manifest, yolo_rows
from vision.detections import FloatArray, Image
from vision.detector import ModelDetector, open_detector
from vision.errors import DelegateFailed, InferenceFailed, ManifestInvalid
from vision.golden import CLOSE, SAME, _apart, _sketch, answer, make_golden, pictures, recognise
from wire.model import Golden

TFLITE_PYTHON = os.environ.get("VEDETTE_TFLITE_PYTHON")
THEIRS = """
import sys
from vision.detector import open_detector
from vision.golden import recognise
from wire.model import Golden
golden = Golden.model_validate_json(sys.stdin.read())
def opened(kernels, threads=1):
    return open_detector(sys.argv[1], delegates=[kernels], runtimes=["tflite-runtime"], threads=threads)
for kernels in ("xnnpack", "none"):
    for threads in (1, 2):
        recognise(golden, opened(kernels, threads), opened)
print(opened("none").runtime_name)
"""


def opener(model: Path, threads: int = 1) -> Callable[[str], ModelDetector]:
    return lambda kernels: open_detector(model, delegates=[kernels], threads=threads)


def model_of(kind: str) -> Path:
    return shared(f"models/{kind}") if kind.endswith(".tflite") else built(kind)


KINDS = ["default", "nanodet-g-416-fp16", "yolox_nano_syed.tflite", "ssd_mobilenet_v1_1_metadata_1.tflite"]


def tiny(folder: Path, score: float = 0.9, **manifest: object) -> Path:
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), score, 0)])
    file = build(folder / "model.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)])
    write_manifest(file, output={"kind": "yolov5"}, **manifest)
    return folder


def test_the_pictures_are_the_same_everywhere() -> None:
    digests = {
        name: hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]
        for name, image in pictures(320, 240).items()
    }
    assert digests == {"noise": "63cc32700160338c", "blocks": "b187994726cd3181", "figures": "4b18efada3576a90"}
    for size in ((16, 16), (17, 300), (4096, 16)):
        assert all(image.shape == (size[1], size[0], 3) for image in pictures(*size).values())
        assert all(image.dtype == np.uint8 for image in pictures(*size).values())


@pytest.mark.system
@pytest.mark.computing
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_recognised_on_every_kernel_and_number_of_threads(kind: str) -> None:
    model = model_of(kind)
    golden = make_golden(opener(model))
    assert len(golden.model_dump_json()) < 4096
    for kernels in ("xnnpack", "none"):
        for threads in (1, 2):
            recognise(golden, opener(model, threads)(kernels), opener(model, threads))
    # Float kernels agree to rounding; 8 bits need the reference.
    assert (golden.kernels, golden.tolerance == SAME) in {("plain", True), ("reference", False)}


@pytest.mark.system
@pytest.mark.computing
@pytest.mark.skipif(not TFLITE_PYTHON, reason="VEDETTE_TFLITE_PYTHON names no python with tflite-runtime")
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_recognised_by_tflite_runtime(kind: str) -> None:
    model = model_of(kind)
    run = subprocess.run(
        [str(TFLITE_PYTHON), "-c", THEIRS, str(model)],
        input=make_golden(opener(model)).model_dump_json(),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert run.stdout == "tflite-runtime 2.14.0\n", run.stderr[-2000:]


def test_answers_do_not_hang_on_chance() -> None:
    model = built("default")
    assert answer(opener(model)("reference")) == answer(opener(model, threads=2)("reference"))


def test_each_kind_is_read_in_parts_of_one_scale_each(tmp_path: Path) -> None:
    """A small score beside boxes of hundreds of pixels would go under."""
    rows = yolo_rows(3 * CELLS, 2, [(3, (500.0, 500.0, 20.0, 40.0), 0.9, 0)])
    file = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)])
    write_manifest(file, output={"kind": "yolov5", "boxes": "pixels"})
    golden = make_golden(opener(tmp_path))
    rows[3, 4] = 0.899
    build(file, [PICTURE], [Spec((1, 252, 7), values=rows)])
    write_manifest(file, output={"kind": "yolov5", "boxes": "pixels"})
    with pytest.raises(ManifestInvalid, match="part 2 of the outputs"):
        recognise(golden, open_detector(tmp_path), opener(tmp_path))


def test_outputs_that_say_nothing_are_recognised_and_told_apart(tmp_path: Path) -> None:
    silent = build(tmp_path / "silent" / "model.tflite", [PICTURE], [Spec((1, 6, CELLS))])
    write_manifest(silent)
    golden = make_golden(opener(silent.parent))
    recognise(golden, open_detector(silent.parent), opener(silent.parent))
    loud = build(tmp_path / "loud" / "model.tflite", [PICTURE], [Spec((1, 6, CELLS), values=np.ones((1, 6, CELLS)))])
    write_manifest(loud)
    with pytest.raises(ManifestInvalid, match="differs"):
        recognise(golden, open_detector(loud.parent), opener(loud.parent))


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = np.zeros((1, 6, CELLS), np.float32)
    values[0, 5, 7] = np.nan
    file = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 6, CELLS), values=values)])
    write_manifest(file)
    with pytest.raises(InferenceFailed, match="not finite"):
        make_golden(opener(tmp_path))


def test_what_another_program_answered_is_named(tmp_path: Path) -> None:
    tiny(tmp_path)
    golden = make_golden(opener(tmp_path))
    detector = open_detector(tmp_path)

    def refusal(**changes: object) -> str:
        changed = Golden.model_validate(golden.model_dump() | changes)
        with pytest.raises(ManifestInvalid) as refused:
            recognise(changed, detector, opener(tmp_path))
        return refused.value.what

    assert refusal(pictures=2) == "golden: its answers are to the pictures of set 2, this program has set 1"
    assert "no golden picture named 'sunset'" in refusal(answers={"sunset": golden.answers["noise"]})
    assert "is answered by 2 parts of outputs, the model has 3" in refusal(
        answers={"noise": golden.answers["noise"][:2]}
    )
    few = golden.answers["noise"][0].model_copy(update={"sums": (1.0,)})
    assert "parts of outputs" in refusal(answers={"noise": (few, *golden.answers["noise"][1:])})


def test_what_lies_between_is_settled_by_the_kernels_of_the_answers(tmp_path: Path) -> None:
    tiny(tmp_path / "sound")
    tiny(tmp_path / "other", score=0.8)
    golden = make_golden(opener(tmp_path / "sound")).model_copy(update={"tolerance": 0.5})
    other = open_detector(tmp_path / "other")
    # A delegate may compute it so, where the plain kernels give the release's answers.
    recognise(golden, other, opener(tmp_path / "sound"))
    with pytest.raises(ManifestInvalid, match="on the plain kernels, part 2"):
        recognise(golden, other, opener(tmp_path / "other"))
    loose = golden.model_copy(update={"tolerance": SAME})
    with pytest.raises(ManifestInvalid, match="golden: part 2"):
        recognise(loose, other, opener(tmp_path / "sound"))


def test_one_picture_that_shows_a_difference_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(tmp_path / "sound")
    tiny(tmp_path / "other", score=0.8)
    golden = make_golden(opener(tmp_path / "sound"))
    shown: list[Image] = []
    readings = ModelDetector.readings

    def counted(detector: ModelDetector, picture: Image) -> list[FloatArray]:
        shown.append(picture)
        return readings(detector, picture)

    monkeypatch.setattr(ModelDetector, "readings", counted)
    recognise(golden, open_detector(tmp_path / "sound"), opener(tmp_path / "sound"))
    assert len(shown) == len(golden.answers) == 3
    shown.clear()
    with pytest.raises(ManifestInvalid, match="on the golden picture 'noise'"):
        recognise(golden, open_detector(tmp_path / "other"), opener(tmp_path / "other"))
    assert len(shown) == 1


def test_a_delegate_library_may_round_more(tmp_path: Path) -> None:
    tiny(tmp_path / "sound")
    tiny(tmp_path / "other", score=0.89)
    golden = make_golden(opener(tmp_path / "sound"))
    other = open_detector(tmp_path / "other")
    recognise(golden, other, opener(tmp_path / "sound"), library=True)
    with pytest.raises(ManifestInvalid, match="on the plain kernels"):
        recognise(golden, other, opener(tmp_path / "other"), library=True)
    with pytest.raises(ManifestInvalid, match="golden: part 2"):
        recognise(golden, other, opener(tmp_path / "sound"))


@pytest.mark.parametrize("seed", range(20))
def test_a_sketch_tells_the_size_of_a_change_wherever_it_lies(seed: int) -> None:
    dice = np.random.default_rng(seed)
    values = dice.gamma(0.1, size=50_000).astype(np.float32)
    change = np.zeros_like(values)
    changed = dice.choice(values.size, size=10 ** (seed % 5), replace=False)
    change[changed] = dice.normal(size=changed.size)
    true = float(np.sqrt(np.mean(change.astype(np.float64) ** 2)) / values.std())
    told = _apart(_sketch(values), _sketch(values + change))
    assert 0.5 * true < told < 1.6 * true


def test_a_model_that_xnnpack_refuses_gets_answers_all_the_same(tmp_path: Path) -> None:
    tiny(tmp_path)

    def opened(kernels: str) -> ModelDetector:
        if kernels == "xnnpack":
            raise DelegateFailed("the delegate xnnpack refused the model")
        return open_detector(tmp_path, delegates=[kernels])

    assert make_golden(opened).kernels == "plain"
    assert CLOSE < SAME


@pytest.mark.parametrize(
    "change",
    [
        {"tolerance": 0},
        {"tolerance": float("nan")},
        {"kernels": "gpu"},
        {"answers": {}},
        {"answers": {"noise": []}},
        {"answers": {"noise": [{"spread": 0, "sums": [1]}]}},
        {"answers": {"noise": [{"spread": 1, "sums": []}]}},
    ],
)
def test_golden_answers_that_break_the_contract(change: dict[str, object], tmp_path: Path) -> None:
    sound = {"kernels": "plain", "tolerance": 0.1, "answers": {"noise": [{"spread": 1, "sums": [1]}]}}
    file = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 6, CELLS))])
    write_manifest(file, golden=sound)
    open_detector(tmp_path)
    write_manifest(file, golden=json.loads(json.dumps(sound | change)))
    with pytest.raises(ManifestInvalid, match="golden"):
        open_detector(tmp_path)
