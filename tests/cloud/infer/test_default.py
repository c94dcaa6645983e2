from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from cloud.infer.default import DEFAULT_MODELS, InferSettings, open_default_detector
from cloud.infer.worker import InferWorker
from vision.errors import ModelMissing
from vision.models import find_model

SHARED = Path(os.environ.get("VEDETTE_SHARED", Path(__file__).parents[4] / "shared" / "data"))


def models_or_skip():
    try:
        for model in DEFAULT_MODELS:
            find_model(model)
    except ModelMissing as missing:
        pytest.skip(f"the default models are not built: {missing}")


def shared_or_skip(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"there is no evaluation data at {path}")
    return path


@pytest.fixture(scope="module")
def frame():
    video = cv2.VideoCapture(str(shared_or_skip("pets09-s2l1/vtest.avi")))
    read, image = video.read()
    video.release()
    assert read
    return image


@pytest.fixture(scope="module")
def people():
    """The labelled people of the first frame, shares of the picture."""
    rows = [line.split(",") for line in shared_or_skip("pets09-s2l1/gt.txt").read_text().splitlines()]
    boxes = [tuple(map(float, row[2:6])) for row in rows if row[0] == "1" and row[6] != "0"]
    return [(x / 768, y / 576, (x + w) / 768, (y + h) / 576) for x, y, w, h in boxes]


@pytest.fixture(scope="module")
def detector():
    models_or_skip()
    opened = open_default_detector(InferSettings())
    yield opened
    opened.close()


def overlap(a, b):
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def found_people(found, people):
    seen = [found.boxes[i] for i in range(len(found)) if found.label(i) == "person"]
    return sum(any(overlap(box, person) >= 0.5 for box in seen) for person in people)


def test_the_default_detector_finds_the_people_in_a_real_frame(detector, frame, people):
    found = detector.detect(frame, 0.4)
    assert found_people(found, people) >= len(people) - 1
    assert "person" in detector.labels


def test_it_names_the_models_in_it(detector):
    assert detector.name.count(" + ") == 1
    assert all(model in detector.name for model in DEFAULT_MODELS)


def test_it_finds_a_person_in_a_small_crop(detector, frame, people):
    x1, y1, x2, y2 = (round(share * side) for share, side in zip(people[0], (768, 576, 768, 576), strict=True))
    crop = np.ascontiguousarray(frame[max(0, y1 - 45) : y2 + 45, max(0, x1 - 20) : x2 + 20])
    found = detector.detect(crop, 0.4)
    assert "person" in {found.label(i) for i in range(len(found))}


def test_nothing_is_found_in_an_empty_picture(detector):
    assert len(detector.detect(np.full((576, 768, 3), 127, np.uint8), 0.4)) == 0


async def test_it_serves_many_askers(detector, frame):
    async with InferWorker([detector], max_waiting=2) as worker:
        found = await worker.detect(frame, 0.4)
    assert len(found) > 0


@pytest.mark.parametrize("model", ["nanodet_m.onnx", "yolox_nano_syed.tflite"])
def test_any_model_of_a_known_kind_may_be_brought(frame, people, model):
    brought = open_default_detector(InferSettings(models=(str(shared_or_skip(f"models/{model}")),)))
    assert found_people(brought.detect(frame, 0.3), people) >= len(people) // 2
    brought.close()


def test_a_model_that_is_not_there_is_said():
    with pytest.raises(ModelMissing):
        open_default_detector(InferSettings(models=("no-such-model",)))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"weights": (1.0,)}, "weights"),
        ({"weights": (1.0, 0.0)}, "weights"),
        ({"models": ()}, "models"),
        ({"tiles": 0}, "tiles"),
        ({"tile_overlap": 1.0}, "tile_overlap"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_make_no_sense_name_their_key(changes, key):
    with pytest.raises(ValidationError, match=key):
        InferSettings(**changes)
