"""A device audits itself on the demo's clip, with each of the two models, and the cloud tells which is better."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.engines import beginning, need_clip, need_models
from tests.system.parts import System, eventually, whole_system
from vision.models import DEFAULT_MODEL, UPGRADE_MODEL

BOUND_S = 240.0
FRAMES = 40
"""Half a second each for the default cloud model on one core; enough for intervals of a tenth on this busy clip."""
SECONDS = 24
"""Of the clip's beginning, where one model misses a third and the other a tenth: seven standard errors of that
difference with so many frames, whichever are drawn. Over the whole clip it is three."""
PROBABILITY = 0.4
pytestmark = [pytest.mark.system, pytest.mark.timeout(3 * BOUND_S)]

TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
fps_limit = 5

[model]
model = "{model}"

[[rules]]
name = "anyone"
labels = ["person"]

[asking]
max_per_minute = 1

[asking.objects]
enabled = false

[audit]
probability = {probability}
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    need_clip()
    with whole_system(tmp_path) as running:
        yield running


def all_are_concluded(system: System) -> bool:
    """Nothing changes any more what is estimated."""
    return system.store.rows("SELECT COUNT(*) FROM audits WHERE NOT concluded") == [(0,)]


def concluded(system: System) -> dict[str, int]:
    """How many frames were looked at, by model."""
    return dict(system.store.rows("SELECT model, COUNT(*) FROM audits WHERE concluded GROUP BY model"))


def audit_with(system: System, model: str) -> None:
    clip = system.folder / "clip.avi"
    beginning(need_clip(), clip, 10 * SECONDS)
    agent = system.start_agent(TOLD.format(clip=clip, model=model, probability=PROBABILITY))
    eventually(
        lambda: any(name.startswith(model) and count >= FRAMES for name, count in concluded(system).items()),
        f"{FRAMES} frames of {model} are audited",
        BOUND_S,
    )
    assert system.ends(agent) == 0


def test_the_better_model_is_told_from_audits_alone(system: System) -> None:
    for model in (DEFAULT_MODEL, UPGRADE_MODEL):
        audit_with(system, model)
    eventually(lambda: all_are_concluded(system), "what came last is looked at", BOUND_S)
    report: dict[str, Any] = json.loads(
        system.typed("audit", "--label", "person", "--device", System.DEVICE, "--json")
    )
    old, new = report["estimates"]
    assert old["model"].startswith(DEFAULT_MODEL)
    assert new["model"].startswith(UPGRADE_MODEL)
    for one in (old, new):
        assert one["audits"] >= FRAMES
        for figure in ("recall", "precision", "f1"):
            found = one[figure]
            assert 0.3 < found["low"] < found["value"] < found["high"] < 1.0
            assert found["high"] - found["low"] < 0.3
    # In F1 they are too near each other to be told apart by so few frames.
    assert new["recall"]["value"] > old["recall"]["value"]

    [sample] = report["cameras"]
    assert sample["lost"] <= 0.1 * sample["kept"]
    assert 5_000 < sample["picture_bytes"] / sample["kept"] < 30_000
    assert sample["walked"] * PROBABILITY == pytest.approx(sample["kept"] + sample["lost"], rel=0.5)

    table = system.typed("audit")
    assert "all" in table
    assert f"{new['f1']['value']:.2f} ({new['f1']['low']:.2f}–{new['f1']['high']:.2f}" in table
