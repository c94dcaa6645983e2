"""How good the device's models are on the labelled clip, through the command that a person runs."""

from __future__ import annotations

import pytest

from bench.labelled import FRAMES, GOALS, measured
from tests.system.engines import labels, need_clip, need_models

pytestmark = [pytest.mark.system, pytest.mark.computing, pytest.mark.timeout(600)]


@pytest.mark.parametrize("model", GOALS)
def test_person_ap50_on_all_frames(model: str) -> None:
    truth = labels()
    need_models()
    found = measured(need_clip(), model, truth)
    assert found.pictures == FRAMES
    assert found.labelled > 4000
    assert found.ap50 >= GOALS[model]
