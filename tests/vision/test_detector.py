"""Opening a model: runtimes and delegates in order of preference, and what real models see on a real picture."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.vision.shared import built, shared
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, manifest_json, write_manifest, yolo_rows
from vision.describe import describe
from vision.detections import Detections, Image
from vision.detector import ModelDetector, open_detector
from vision.errors import (
    DelegateFailed,
    InferenceFailed,
    ModelMissing,
    ModelRefused,
    ModelUnreadable,
    RuntimeMissing,
)
from vision.runtime import Delegate
from vision.runtimes.litert import open_litert
from vision.tensors import AnyArray, TensorInfo
from vision.tflite_file import LOGISTIC

GREY = np.full((64, 64, 3), 114, np.uint8)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    return build(tmp_path / "tiny.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])


@pytest.fixture(scope="session")
def frame() -> Image:
    reader = cv2.VideoCapture(str(shared("pets09-s2l1/vtest.avi")))
    grabbed, image = reader.read()
    reader.release()
    assert grabbed
    return image


def people(detections: Detections) -> int:
    return sum(detections.label(i) == "person" for i in range(len(detections)))


def test_what_opened_it_is_told(tiny: Path) -> None:
    detector = open_detector(tiny)
    assert detector.runtime_name.startswith("litert ")
    assert (detector.delegate, detector.notes) == ("xnnpack", ())
    assert detector.labels == ("class 0", "class 1")


def test_without_any_delegate_the_same_is_seen(tiny: Path) -> None:
    detector = open_detector(tiny, delegates=["none"])
    assert detector.delegate == "none"
    assert len(detector.detect(GREY, 0.3)) == 1


def test_a_library_that_is_missing_or_no_delegate_is_noted_and_passed_over(tiny: Path) -> None:
    detector = open_detector(tiny, delegates=["libedgetpu-none.so.9", "libc.so.6", "xnnpack"])
    assert detector.delegate == "xnnpack"
    assert len(detector.notes) == 2
    assert detector.notes[0].startswith("litert: the delegate libedgetpu-none.so.9 can't be loaded: ")
    assert detector.notes[1] == "litert: libc.so.6 is no delegate: it has no tflite_plugin_create_delegate"
    assert len(detector.detect(GREY, 0.3)) == 1


def test_a_delegate_that_refuses_to_start_says_why(tiny: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build a delegate library with")
    source, library = tmp_path / "d.c", tmp_path / "libd.so"
    source.write_text(
        "#include <stddef.h>\n"
        "void* tflite_plugin_create_delegate(char** k, char** v, size_t n, void (*report)(const char*)) {\n"
        '  report(n == 1 ? v[0] : "no options"); return NULL; }\n'
        "void tflite_plugin_destroy_delegate(void* d) {}\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=60)
    detector = open_detector(tiny, delegates=[Delegate(str(library), {"device": "usb:7 is away"}), "xnnpack"])
    assert detector.delegate == "xnnpack"
    assert "refused to start" in detector.notes[0]
    assert "usb:7 is away" in detector.notes[0]


def test_when_every_delegate_fails_each_ones_reason_is_told(tiny: Path) -> None:
    with pytest.raises(DelegateFailed, match=r"liba\.so can't be loaded.*; .*libb\.so can't be loaded"):
        open_detector(tiny, delegates=["/liba.so", "/libb.so"])


def test_a_runtime_that_is_not_installed_is_passed_over(tiny: Path) -> None:
    detector = open_detector(tiny, runtimes=["tflite-runtime", "litert"])
    assert detector.runtime_name.startswith("litert ")


def test_no_runtime_at_all_names_the_extra(tiny: Path) -> None:
    with pytest.raises(RuntimeMissing, match=r"tflite-runtime can't be imported.*vedette\[agent-tflite\]"):
        open_detector(tiny, runtimes=["tflite-runtime"])
    with pytest.raises(RuntimeMissing, match="The names are litert, tflite-runtime"):
        open_detector(tiny, runtimes=["tensorrt"])


def test_a_model_whose_operators_the_runtime_lacks(tmp_path: Path) -> None:
    path = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 252, 7))], custom="Mystery")
    with pytest.raises(ModelRefused, match="Mystery"):
        open_detector(path, delegates=["none"])
    with pytest.raises(DelegateFailed, match="Add the delegate 'none'"):
        open_detector(path, delegates=["xnnpack"])


@pytest.mark.parametrize("length", [0, 4, 100, 0.5, 0.9])
def test_truncated_models_never_reach_the_runtime_unnamed(length: float, tiny: Path) -> None:
    data = tiny.read_bytes()
    tiny.write_bytes(data[: int(length * len(data)) if length < 1 else length])  # type: ignore[misc]
    with pytest.raises(ModelUnreadable):
        open_detector(tiny)


def test_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="Correct the path"):
        open_detector(tmp_path / "gone.tflite")


def test_a_manifest_for_another_input_says_both(tiny: Path) -> None:
    write_manifest(tiny, input={"width": 300, "height": 300}, output={"kind": "yolov5"})
    with pytest.raises(ModelRefused, match="an input of 1×300×300×3, the model's is 'input0' 1×64×64×3 float32"):
        open_detector(tiny)


class NanRuntime:
    """A runtime that has gone mad."""

    name, delegate = "a fake", "none"
    input = TensorInfo("image", (1, 64, 64, 3), np.dtype(np.float32))
    outputs = (TensorInfo("head", (1, 252, 7), np.dtype(np.float32)),)

    def run(self, tensor: AnyArray) -> list[AnyArray]:
        return [np.full((1, 252, 7), np.nan, np.float32)]

    def close(self) -> None:
        return


def test_an_output_gone_mad_is_no_empty_picture(tiny: Path) -> None:
    detector = ModelDetector(describe(tiny), NanRuntime())
    with pytest.raises(InferenceFailed, match="'head'"):
        detector.detect(GREY, 0.3)


def test_a_kept_failure_does_not_stop_the_next_run(tiny: Path) -> None:
    detector = open_detector(tiny)
    kept = []
    for _ in range(2):
        with pytest.raises(InferenceFailed) as failed:
            detector.detect(np.zeros((4, 4), np.uint8), 0.3)
        kept.append(failed)
        assert len(detector.detect(GREY, 0.3)) == 1


def test_a_closed_model(tiny: Path) -> None:
    detector = open_detector(tiny)
    detector.close()
    detector.close()
    with pytest.raises(InferenceFailed, match="closed"):
        detector.detect(GREY, 0.3)


def test_results_are_the_callers_own(tiny: Path) -> None:
    detector = open_detector(tiny)
    first = detector.detect(GREY, 0.3)
    before = first.boxes.copy()
    detector.detect(np.zeros((10, 200, 3), np.uint8), 0.3)
    assert (first.boxes == before).all()


def test_a_letterboxed_picture_gets_its_boxes_back(tiny: Path) -> None:
    """The box stands in the middle of the tensor; a picture twice as wide as high fills half its height."""
    detector = open_detector(tiny)
    box = detector.detect(np.zeros((50, 100, 3), np.uint8), 0.3).boxes[0]
    assert box == pytest.approx([0.4, 0.1, 0.6, 0.9], abs=1e-6)


def test_what_lies_in_the_padding_is_dropped(tmp_path: Path) -> None:
    rows = yolo_rows(3 * CELLS, 1, [(3, (0.5, 0.1, 0.2, 0.1), 0.9, 0)])
    path = build(tmp_path / "t.tflite", [PICTURE], [Spec((1, 252, 6), values=rows)], extra_codes=[LOGISTIC])
    detector = open_detector(path)
    assert len(detector.detect(np.zeros((50, 100, 3), np.uint8), 0.3)) == 0
    assert len(detector.detect(np.zeros((100, 100, 3), np.uint8), 0.3)) == 1


def test_litert_reports_the_tensors(tiny: Path) -> None:
    runtime = open_litert(tiny, threads=2, delegate=Delegate("xnnpack"))
    assert runtime.input.shape == (1, 64, 64, 3)
    assert [info.shape for info in runtime.outputs] == [(1, 252, 7)]


@pytest.mark.parametrize("name", ["default", "nanodet-g-416-fp16"])
@pytest.mark.parametrize("delegate", ["xnnpack", "none"])
def test_the_default_models_see_the_people(name: str, delegate: str, frame: Image) -> None:
    found = open_detector(built(name), delegates=[delegate]).detect(frame, 0.5)
    assert people(found) == 3
    assert found.scores[0] > 0.8
    assert (found.boxes >= 0).all()
    assert (found.boxes <= 1).all()


@pytest.mark.parametrize("name", ["yolox_nano_syed.tflite", "ssd_mobilenet_v1_1_metadata_1.tflite"])
def test_other_peoples_models_see_the_people_without_a_manifest(name: str, frame: Image) -> None:
    assert people(open_detector(shared(f"models/{name}")).detect(frame, 0.5)) >= 3


def test_an_onnx_model_with_a_manifest(frame: Image, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.symlink_to(shared("models/nanodet_m.onnx"))
    told = describe(path).manifest
    (tmp_path / "manifest.json").write_text(
        json.dumps(manifest_json(path) | json.loads(told.model_dump_json()) | {"name": "nanodet-m"})
    )
    detector = open_detector(tmp_path)
    assert detector.manifest.name == "nanodet-m"
    assert detector.runtime_name.startswith("onnxruntime ")
    assert people(detector.detect(frame, 0.4)) >= 2
    detector.close()
    with pytest.raises(InferenceFailed, match="closed"):
        detector.detect(frame, 0.4)
