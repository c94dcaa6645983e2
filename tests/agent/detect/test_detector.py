from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from agent.detect.detector import model_status, open_configured
from agent.detect.settings import DetectSettings, LibraryDelegate
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, yolo_rows
from vision.errors import ModelMissing
from vision.tflite_file import LOGISTIC


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    return build(tmp_path / "tiny.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])


def test_the_configured_model_detects_and_reports_itself(tiny: Path) -> None:
    detector = open_configured(DetectSettings(model=str(tiny)))
    assert len(detector.detect(np.zeros((64, 64, 3), np.uint8), 0.3)) == 1
    status = model_status(detector)
    assert (status.name, status.version, status.delegate, status.detail) == ("tiny", "0", "xnnpack", "")
    assert status.runtime.startswith("litert ")
    assert status.digest == detector.manifest.digest


def test_a_fallback_stands_in_the_status(tiny: Path) -> None:
    accelerator = LibraryDelegate(library="/no\u0007where/libedgetpu.so.1", options={"device": "usb:0"})
    settings = DetectSettings(model=str(tiny), delegates=(accelerator, "x" * 900, "none"))
    status = model_status(open_configured(settings))
    assert status.delegate == "none"
    assert status.detail.startswith("litert: the delegate /no where/libedgetpu.so.1 can't be loaded")
    assert len(status.detail) <= 500


def test_settings_as_a_file_holds_them() -> None:
    settings = DetectSettings.model_validate(
        {"delegates": [{"library": "libedgetpu.so.1", "options": {"device": "usb:0"}}, "none"], "threads": 2}
    )
    assert settings.delegates == (LibraryDelegate(library="libedgetpu.so.1", options={"device": "usb:0"}), "none")
    assert settings.runtimes == ("litert", "tflite-runtime")


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"threads": 0}, "threads"),
        ({"delegates": []}, "delegates"),
        ({"runtimes": ["tensorflow"]}, "runtimes"),
        ({"modell": "x"}, "modell"),
        ({"model": ""}, "model"),
    ],
)
def test_wrong_settings_name_their_key(wrong: dict, key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DetectSettings.model_validate(wrong)
    assert refused.value.errors()[0]["loc"][0] == key


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        open_configured(DetectSettings(model=str(tmp_path / "gone.tflite")))
