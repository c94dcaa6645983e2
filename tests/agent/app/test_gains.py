"""By what an agent ranks questions: the weights of the model that judges, or its own figures."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agent.app.watching import gains
from agent.ask.gain import FORM, NAMES, Case, by_hand
from tests.vision.tiny_models import PICTURE, Spec, build, manifest_json
from wire.messages import AskReason
from wire.model import Gain, Manifest

CASE = Case(AskReason.MOTION, (0.1, 0.1, 0.2, 0.3), 0.0)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    model = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 6, 84))])
    return Manifest.model_validate(manifest_json(model))


def test_a_model_without_weights_leaves_it_by_hand(manifest: Manifest) -> None:
    assert gains(manifest) is by_hand


def test_a_model_s_weights_are_gone_by(manifest: Manifest) -> None:
    only_motion = Gain(features=FORM, weights=tuple(20.0 * (name == "motion") for name in NAMES))
    ranked = gains(manifest.model_copy(update={"gain": only_motion}))
    assert ranked(CASE) > 0.99 > by_hand(CASE)


def test_weights_of_features_that_are_not_known_are_told_and_left_out(
    manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    newer = manifest.model_copy(update={"gain": Gain(features=FORM + 1, weights=(1.0,))})
    with caplog.at_level(logging.WARNING):
        assert gains(newer) is by_hand
    assert "features that this agent does not know" in caplog.text
