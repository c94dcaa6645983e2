"""The same detections on tflite-runtime, in an environment of its own (it can't live beside numpy 2)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.vision.shared import built, shared
from vision.detector import open_detector

PYTHON = os.environ.get("VEDETTE_TFLITE_PYTHON")
FRAMES = (0, 200, 400)
SCRIPT = """
import json, sys
import cv2, numpy as np
from vision.detector import open_detector
detector = open_detector(sys.argv[1], runtimes=["tflite-runtime"])
found = []
for picture in sys.argv[2:]:
    seen = detector.detect(cv2.imread(picture), 0.3)
    found.append([[seen.label(i), float(seen.scores[i]), seen.boxes[i].tolist()] for i in range(len(seen))])
print(json.dumps({"runtime": detector.runtime_name, "numpy": np.__version__, "found": found}))
"""


@pytest.mark.system
@pytest.mark.skipif(not PYTHON, reason="VEDETTE_TFLITE_PYTHON names no python with tflite-runtime 2.14 and numpy 1")
@pytest.mark.parametrize(("name", "tolerance"), [("nanodet-g-416-fp16", 0.01), ("default", 0.08)])
def test_tflite_runtime_sees_the_same(name: str, tolerance: float, tmp_path: Path) -> None:
    """Float models agree; int8 kernels round differently (by up to 19 of 256 steps in the default model's scores)."""
    model = built(name)
    reader = cv2.VideoCapture(str(shared("pets09-s2l1/vtest.avi")))
    pictures = []
    for index in FRAMES:
        reader.set(cv2.CAP_PROP_POS_FRAMES, index)
        pictures.append(tmp_path / f"{index}.png")
        assert cv2.imwrite(str(pictures[-1]), reader.read()[1])
    run = subprocess.run(
        [str(PYTHON), "-c", SCRIPT, str(model), *map(str, pictures)],
        capture_output=True,
        check=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    answer = json.loads(run.stdout)
    assert answer["runtime"] == "tflite-runtime 2.14.0"
    assert answer["numpy"].startswith("1.")
    detector = open_detector(model, runtimes=["litert"])
    for picture, theirs in zip(pictures, answer["found"], strict=True):
        image = cv2.imread(str(picture))
        assert image is not None
        ours = detector.detect(image.astype(np.uint8), 0.3)
        sure = [(label, score, box) for label, score, box in theirs if score > 0.5]
        assert sure, "the frame shows people"
        for label, score, box in sure:
            assert any(
                ours.label(i) == label
                and abs(float(ours.scores[i]) - score) <= tolerance
                and np.abs(ours.boxes[i] - box).max() <= 0.03
                for i in range(len(ours))
            ), (label, score, box)
