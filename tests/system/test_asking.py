"""A real device asks a real service about its objects, and goes by what it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, System, eventually, whole_system
from wire.messages import Alert, AlertState, AskReason, DecidedBy
from workbench.demo.parts import agent_folder

pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * BOUND_S)]

TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true

[[rules]]
name = "anyone"
labels = ["person"]

[asking.budget]
bytes = "20MB/hour"

[audit]
per_hour = 0
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    need_clip()
    with whole_system(tmp_path) as running:
        yield running


def vouched(system: System) -> list[Alert]:
    """Alerts that the cloud confirmed without having been asked for their sake."""
    asked_for = {question.alert_id for _, question in system.verdicts()}
    return [
        alert
        for alert in system.standing().values()
        if (alert.state, alert.decided_by) == (AlertState.CONFIRMED, DecidedBy.CLOUD) and alert.id not in asked_for
    ]


def test_an_objects_verdict_corrects_what_the_device_stands_behind(system: System) -> None:
    agent = system.start_agent(TOLD.format(clip=need_clip()))
    eventually(lambda: bool(vouched(system)), "an alert is confirmed by what was said of its object", 2 * BOUND_S)
    eventually(
        lambda: {question.reason for _, question in system.verdicts()} >= {AskReason.NEW, AskReason.REFRESH},
        "an object is asked about again",
        2 * BOUND_S,
    )
    answered = system.verdicts()
    assert any(verdict.found for verdict, _ in answered)
    assert all(verdict.looked is not None for verdict, _ in answered)
    assert system.ends(agent) == 0
    balance = json.loads((agent_folder(system.folder, System.DEVICE) / "data" / "budget.json").read_text())
    assert 0 < balance[""] < 20e6 / 20
