from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.vision.shared import built
from vision.detector import open_detector
from vision.errors import ManifestInvalid
from vision.golden import Golden, answers, difference, load_golden, pictures


def test_the_pictures_are_the_same_everywhere() -> None:
    digests = {name: hashlib.sha256(image.tobytes()).hexdigest()[:16] for name, image in pictures().items()}
    assert digests == {"black": "0b150fd32588b1da", "grey": "c971019bdfe572ec", "noise": "f90b950b152fef6b"}
    assert all(image.shape == (480, 640, 3) for image in pictures().values())


def test_a_real_model_answers_alike_with_and_without_its_delegate() -> None:
    model = built("default")
    golden = Golden(scores=answers(open_detector(model, delegates=["xnnpack"])))
    assert any(golden.scores.values())
    assert difference(golden, answers(open_detector(model, delegates=["none"]))) is None


def test_what_differs_is_named() -> None:
    golden = Golden(tolerance=0.02, scores={"grey": (0.3, 0.1)})
    assert difference(golden, {"grey": (0.31, 0.09)}) is None
    assert difference(golden, {"grey": (0.3, 0.1, 0.029)}) is None, "one more score near the lowest is chance"
    assert difference(golden, {"grey": (0.3,)}) == (
        "score 2 of the golden picture 'grey' is 0.01, its release says 0.1"
    )
    assert difference(golden, {}) == "there is no golden picture named 'grey'"


@pytest.mark.parametrize("content", ["", "{}", "[" * 5000, '{"scores": {"grey": [2.0]}}', " " * 70_000])
def test_answers_that_can_not_be_read(content: str, tmp_path: Path) -> None:
    assert load_golden(tmp_path) is None
    (tmp_path / "golden.json").write_text(content)
    with pytest.raises(ManifestInvalid, match=r"golden\.json"):
        load_golden(tmp_path)
