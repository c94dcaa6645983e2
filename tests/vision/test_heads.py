"""Every output kind, through real model files and the real runtime, float and quantised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, write_manifest, yolo_rows
from vision.detections import Detections
from vision.detector import open_detector
from vision.errors import InferenceFailed, ModelRefused
from vision.outputs.ssd import make_anchors
from vision.tflite_file import LOGISTIC
from wire.model import SsdAnchors

IMAGE = np.zeros((64, 64, 3), np.uint8)
STORED = {"float32": ("float32", 0.0, 0), "int8": ("int8", 1 / 255, -128), "uint8": ("uint8", 1 / 255, 0)}


def output(values: np.ndarray, stored: str = "float32") -> Spec:
    dtype, scale, zero_point = STORED[stored]
    return Spec(values.shape, dtype, scale, zero_point, values)


def detect(tmp_path: Path, outputs: list[Spec], *, min_score: float = 0.3, **manifest: object) -> Detections:
    path = build(tmp_path / "model.tflite", [PICTURE], outputs, extra_codes=[LOGISTIC])
    if manifest:
        write_manifest(path, **manifest)
    return open_detector(tmp_path).detect(IMAGE, min_score)


def found(detections: Detections) -> list[tuple[str, float, list[float]]]:
    return [
        (
            detections.label(i),
            round(float(detections.scores[i]), 2),
            [round(float(v), 2) for v in detections.boxes[i]],
        )
        for i in range(len(detections))
    ]


TWO = [(3, (0.25, 0.5, 0.2, 0.4), 0.9, 0), (50, (0.7, 0.5, 0.2, 0.2), 0.5, 1), (60, (0.5, 0.5, 0.2, 0.2), 0.2, 1)]
BOTH = [("class 0", 0.9, [0.15, 0.3, 0.35, 0.7]), ("class 1", 0.5, [0.6, 0.4, 0.8, 0.6])]


@pytest.mark.parametrize("stored", STORED)
def test_yolov5_as_its_shape_tells(stored: str, tmp_path: Path) -> None:
    assert found(detect(tmp_path, [output(yolo_rows(3 * CELLS, 2, TWO)[None], stored)])) == BOTH


@pytest.mark.parametrize("stored", STORED)
def test_yolov8_as_its_shape_tells(stored: str, tmp_path: Path) -> None:
    rows = yolo_rows(CELLS, 2, TWO)
    columns = np.concatenate([rows[:, :4], rows[:, 5:] * rows[:, 4:5]], axis=1).T[None]
    assert found(detect(tmp_path, [output(columns, stored)])) == BOTH


@pytest.mark.parametrize("kind", ["yolov5", "yolov8", "yolox"])
def test_boxes_in_pixels_are_noticed(kind: str, tmp_path: Path) -> None:
    rows = yolo_rows(3 * CELLS if kind == "yolov5" else CELLS, 2, TWO)
    rows[:, :4] *= 64
    if kind == "yolov8":
        rows = np.concatenate([rows[:, :4], rows[:, 5:] * rows[:, 4:5]], axis=1).T
    assert found(detect(tmp_path, [output(rows[None])])) == BOTH


def test_yolox_raw_against_its_strides(tmp_path: Path) -> None:
    """Row 64 is the first cell of stride 16, row 83 the last of stride 32."""
    rows = yolo_rows(CELLS, 2, [(64, (0.5, 1.0, 0.0, np.log(2.0)), 0.9, 0), (83, (0.0, 0.0, 0.0, 0.0), 0.6, 1)])
    # One side of the second box lies outside the picture and is cut off.
    assert found(detect(tmp_path, [output(rows[None])])) == [
        ("class 0", 0.9, [0.0, 0.0, 0.25, 0.5]),
        ("class 1", 0.6, [0.25, 0.25, 0.75, 0.75]),
    ]


def test_yolox_logits(tmp_path: Path) -> None:
    rows = np.full((CELLS, 7), -9.0, np.float32)
    rows[5, :4] = (32, 32, 16, 16)
    rows[5, 4:6] = 2.0
    one = found(
        detect(tmp_path, [output(rows[None])], output={"kind": "yolox", "boxes": "pixels", "scores": "logits"})
    )
    assert one == [("person", 0.78, [0.38, 0.38, 0.62, 0.62])]


@pytest.mark.parametrize("stored", STORED)
def test_postprocess(stored: str, tmp_path: Path) -> None:
    boxes = np.array([[[0.1, 0.2, 0.5, 0.4], [0.0, 0.5, 0.3, 0.9], [0, 0, 1, 1], [0, 0, 1, 1]]])
    outputs = [
        output(boxes, stored),
        Spec((1, 4), values=[[0, 2, 0, 0]]),
        output(np.array([[0.9, 0.6, 0.1, 0.99]]), stored),
        Spec((1,), values=[3]),
    ]
    result = detect(tmp_path, outputs, output={"kind": "detection_postprocess"}, labels=["person", "", "car"])
    assert found(result) == [("person", 0.9, [0.2, 0.1, 0.4, 0.5]), ("car", 0.6, [0.5, 0.0, 0.9, 0.3])]


def test_postprocess_classes_beyond_the_labels_and_counts_beyond_the_rows(tmp_path: Path) -> None:
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (1, 2, 1))
    outputs = [
        output(boxes),
        Spec((1, 2), values=[[7, 1]]),
        Spec((1, 2), values=[[0.9, 0.8]]),
        Spec((1,), values=[1e9]),
    ]
    result = detect(tmp_path, outputs, output={"kind": "detection_postprocess", "class_offset": -1})
    assert found(result) == [("person", 0.8, [0.1, 0.1, 0.5, 0.5])]


SMALL_SSD = {"feature_maps": [[2, 2], [1, 1]], "aspect_ratios": [1.0], "reduce_lowest": True}
ANCHORS = 4 * 3 + 2


@pytest.mark.parametrize("stored", STORED)
def test_ssd_against_its_anchors(stored: str, tmp_path: Path) -> None:
    """An anchor may speak for two classes; a class with an empty label is never reported."""
    boxes, scores = np.zeros((1, ANCHORS, 4)), np.zeros((1, ANCHORS, 3))
    scores[0, 12] = (0.9, 0.7, 0.8)
    result = detect(
        tmp_path,
        [output(scores, stored), output(boxes)],
        output={"kind": "ssd", "anchors": SMALL_SSD},
        labels=["person", "", "car"],
    )
    assert [(label, score) for label, score, _ in found(result)] == [("person", 0.9), ("car", 0.8)]
    assert result.boxes == pytest.approx(np.tile([0.025, 0.025, 0.975, 0.975], (2, 1)), abs=1e-5)


def test_ssd_boxes_are_decoded_as_they_are_coded(tmp_path: Path) -> None:
    boxes, scores = np.zeros((1, ANCHORS, 4)), np.zeros((1, ANCHORS, 2))
    scores[0, 12, 1] = 0.9
    boxes[0, 12] = (2.0, -1.0, 5 * np.log(0.5), 5 * np.log(0.25))
    result = detect(tmp_path, [output(boxes), output(scores)], output={"kind": "ssd", "anchors": SMALL_SSD})
    side = 0.95
    cx, cy, w, h = 0.5 - 0.1 * side, 0.5 + 0.2 * side, side / 4, side / 2
    assert result.boxes[0] == pytest.approx([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], abs=1e-5)


def test_the_300_pixel_rule_gives_1917_anchors() -> None:
    anchors = make_anchors(SsdAnchors(feature_maps=((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))))
    assert anchors.shape == (1917, 4)
    assert anchors[0] == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert anchors[1] == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 * 2**0.5, 0.2 / 2**0.5])
    assert anchors[-1] == pytest.approx([0.5, 0.5, (0.95 * 1.0) ** 0.5, (0.95 * 1.0) ** 0.5])


@pytest.mark.parametrize("stored", STORED)
def test_nanodet(stored: str, tmp_path: Path) -> None:
    """The first cell of stride 32 has its centre at 16; each side is two strides but the upper, which is none."""
    bins = np.full((1, 4, 4, 8), -60.0)
    bins[..., 2] = 60.0
    bins[0, 0, 1] = [60.0, *[-60.0] * 7]
    scores = np.zeros((1, 4, 2))
    scores[0, 0, 1] = 0.8
    outputs = [
        output(np.zeros((1, 64, 2)), stored),
        output(np.zeros((1, 16, 2)), stored),
        output(scores, stored),
        Spec((1, 64, 32)),
        Spec((1, 16, 32)),
        Spec((1, 4, 32), values=bins.reshape(1, 4, 32)),
    ]
    assert found(detect(tmp_path, outputs)) == [("class 1", 0.8, [0.0, 0.25, 1.0, 1.0])]


def test_overlaps_of_one_class_are_suppressed_and_of_two_are_not(tmp_path: Path) -> None:
    box = (0.5, 0.5, 0.4, 0.4)
    near = (0.51, 0.5, 0.4, 0.4)
    rows = yolo_rows(3 * CELLS, 2, [(1, box, 0.9, 0), (2, near, 0.8, 0), (3, box, 0.7, 1)])
    assert [(label, score) for label, score, _ in found(detect(tmp_path, [output(rows[None])]))] == [
        ("class 0", 0.9),
        ("class 1", 0.7),
    ]


def test_at_most_a_hundred_and_the_best_of_them(tmp_path: Path) -> None:
    rows = yolo_rows(CELLS * 3, 1, [(i, (i / 300, 0.5, 0.001, 0.5), 0.4 + i / 600, 0) for i in range(1, 240)])
    result = detect(tmp_path, [output(rows[None])])
    assert len(result) == 100
    assert result.scores[0] == result.scores.max()
    assert result.scores.min() == pytest.approx(0.4 + 140 / 600)
    assert (np.diff(result.scores) <= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_name_their_tensor(bad: float, tmp_path: Path) -> None:
    rows = yolo_rows(3 * CELLS, 2, TWO)
    rows[200, 6] = bad
    with pytest.raises(InferenceFailed, match="'tensor:0' 1×252×7 float32 holds values that are not finite"):
        detect(tmp_path, [output(rows[None])])


def test_a_box_that_overflows_is_no_detection(tmp_path: Path) -> None:
    rows = yolo_rows(3 * CELLS, 2, [(3, (3e38, 0.5, 3e38, 0.4), 0.9, 0)])
    with pytest.raises(InferenceFailed, match="not finite"):
        detect(tmp_path, [output(rows[None])], output={"kind": "yolov5", "boxes": "normalised"})


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ({"kind": "yolov8"}, [Spec((1, 84, 5, 2))]),
        ({"kind": "yolov5"}, [Spec((1, 252, 7)), Spec((1, 1))]),
        ({"kind": "yolox", "boxes": "raw"}, [Spec((1, 85, 7))]),
        ({"kind": "ssd", "anchors": SMALL_SSD}, [Spec((1, 15, 4)), Spec((1, 15, 2))]),
        ({"kind": "ssd", "anchors": SMALL_SSD}, [Spec((1, 14, 4)), Spec((1, 13, 2))]),
        ({"kind": "nanodet"}, [Spec((1, 64, 2)), Spec((1, 64, 32))]),
        ({"kind": "detection_postprocess"}, [Spec((1, 4, 4)), Spec((1, 4)), Spec((1, 3)), Spec((1,))]),
    ],
)
def test_outputs_that_are_not_of_the_manifests_kind(kind: dict, outputs: list[Spec], tmp_path: Path) -> None:
    with pytest.raises(
        ModelRefused, match=f"the manifest says `{kind['kind']}`, which has .*; the model's outputs are"
    ):
        detect(tmp_path, outputs, output=kind)


def test_labels_that_do_not_count_up(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="3 labels, the model's outputs speak of 2 classes"):
        detect(tmp_path, [Spec((1, 6, 84))], output={"kind": "yolov8"}, labels=["a", "b", "c"])


@pytest.mark.parametrize("min_score", [0.0, 1.0])
def test_the_extremes_of_min_score(min_score: float, tmp_path: Path) -> None:
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 1.0, 0)])
    result = detect(tmp_path, [output(rows[None], "int8")], min_score=min_score)
    assert found(result)[0] == ("class 0", 1.0, [0.4, 0.3, 0.6, 0.7])
    assert min_score == 0.0 or len(result) == 1
