"""A real device asks a real service about its objects, and goes by what it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest

from agent.adapters.receipt_log import FILES, FOLDER
from agent.app.egress import UNKNOWN, UploadLine, egress
from agent.decide.doubt import DOUBT
from tests.ports import free_port
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, System, eventually, whole_system
from wire.messages import Alert, AlertState, AskReason, DecidedBy, Decision, Verdict
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
bytes = "{amount}"

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
    # In this order: an alert that its own question confirms may be stored in between.
    standing = system.standing()
    asked_for = {question.alert_id for _, question in system.verdicts()}
    return [
        alert
        for alert in standing.values()
        if (alert.state, alert.decided_by) == (AlertState.CONFIRMED, DecidedBy.CLOUD) and alert.id not in asked_for
    ]


def test_an_objects_verdict_corrects_what_the_device_stands_behind(system: System) -> None:
    agent = system.start_agent(TOLD.format(clip=need_clip(), amount="20MB/hour"))
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
    assert 0 < left(system) < 20e6 / 20


def test_a_rule_that_asks_for_context_shows_the_whole_frame(system: System) -> None:
    told = TOLD.format(clip=need_clip(), amount="200MB/hour").replace(
        'labels = ["person"]\n', 'labels = ["person"]\ncontext = true\n\n[asking.objects]\nenabled = false\n'
    )
    agent = system.start_agent(told)
    eventually(lambda: bool(system.verdicts()), "a question of the rule is answered", 2 * BOUND_S)
    assert system.ends(agent) == 0
    for verdict, question in system.verdicts():
        assert (question.reason, question.context, question.region) == (
            AskReason.UNCERTAIN,
            True,
            (0.0, 0.0, 1.0, 1.0),
        )
        assert verdict.looked is not None
        x1, y1, x2, y2 = verdict.looked
        assert (x2 - x1) * (y2 - y1) < 0.5, "it speaks of what is close to the object"
    frames = system.store.rows("SELECT picture_bytes FROM questions")
    assert min(size for (size,) in frames) > 20_000, "the clip's frames, whole"


def test_an_answer_that_leaves_a_doubt_is_followed_by_the_whole_frame(system: System, tmp_path: Path) -> None:
    # Of a person far off the cloud's models say .39 in a cut-out of this frame, and .68 in the whole of it.
    told = TOLD.format(clip=frame_of(need_clip(), 120, tmp_path / "still"), amount="200MB/hour").replace(
        'labels = ["person"]\n',
        'labels = ["person"]\n\n[asking]\ndeadline_s = 60\n[asking.objects]\nenabled = false\n',
    )
    port = free_port()
    told += f'\n[telemetry]\nevery_s = 1\nfirst_after_s = 1\n\n[status]\nlisten = "127.0.0.1:{port}"\n'
    agent = system.start_agent(told)
    eventually(
        lambda: Decision.CONFIRMED in {again.decision for _, again in taken_in(system)},
        "an alert is asked about again, and confirmed by the second answer",
        2 * BOUND_S,
    )
    # One that is answered after this may find the agent on its way out.
    answered = taken_in(system)
    figures = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=BOUND_S).text
    again_total = re.search(r"(?m)^vedette_agent_questions_again_total (\S+)$", figures)
    assert again_total is not None
    assert float(again_total[1]) >= len(answered)
    eventually(lambda: telemetry(system).get("asks_again", 0) > 0, "telemetry says so")
    assert system.ends(agent) == 0
    for first, _ in answered:
        assert first.decision is Decision.RETRACTED
        assert max(one.score for one in first.found or ()) >= DOUBT
    assert all(pair in taken_in(system) for pair in answered)


def test_an_outage_costs_the_budget_nothing(system: System) -> None:
    system.uplink.cut()
    agent = system.start_agent(TOLD.format(clip=need_clip(), amount="500kB/hour"))
    eventually(lambda: len(tries(system)) >= 20, "the cloud is tried again and again", 2 * BOUND_S)
    assert system.ends(agent) == 0
    assert {(one.outcome, one.sent) for one in tries(system)} == {("not reached", 0)}
    assert left(system) == pytest.approx(500e3 / 20 * 0.75, abs=1), "as much as it can hold"


def telemetry(system: System) -> dict[str, Any]:
    """What the device said last of itself."""
    return json.loads(system.typed("device", "show", System.DEVICE, "--json"))["telemetry"] or {}


def doubted(system: System) -> list[tuple[Verdict, Verdict]]:
    """What was said of the cut-out, and then of the whole frame, for each alert with both."""
    first: dict[str, Verdict] = {}
    again: dict[str, Verdict] = {}
    for verdict, question in system.verdicts():
        (again if question.context else first)[str(question.alert_id)] = verdict
    return [(first[alert], verdict) for alert, verdict in again.items()]


def taken_in(system: System) -> list[tuple[Verdict, Verdict]]:
    """Those of `doubted` whose alert the cloud shows as the second answer decided it."""
    states = {Decision.CONFIRMED: AlertState.CONFIRMED, Decision.RETRACTED: AlertState.RETRACTED}
    standing = system.standing()
    return [
        (first, again)
        for first, again in doubted(system)
        if (alert := standing.get(str(again.alert_id))) is not None
        and (alert.state, alert.decided_by) == (states[again.decision], DecidedBy.CLOUD)
    ]


def frame_of(clip: Path, number: int, folder: Path) -> Path:
    """A folder that shows one frame of a clip, for a camera before which nothing moves."""
    reader = cv2.VideoCapture(str(clip))
    for _ in range(number + 1):
        there, frame = reader.read()
        assert there
    reader.release()
    folder.mkdir()
    for name in ("a.png", "b.png"):
        assert cv2.imwrite(str(folder / name), frame)
    return folder


def left(system: System) -> float:
    """What the agent wrote down of its budget."""
    kept = json.loads((agent_folder(system.folder, System.DEVICE) / "data" / "budget.json").read_text())
    return float(kept[""])


def tries(system: System) -> list[UploadLine]:
    """Questions that were sent, or were to be, and came to an end."""
    data = agent_folder(system.folder, System.DEVICE) / "data"
    # The folder is there before the log in it is.
    if not any((data / FOLDER).glob(FILES)):
        return []
    return [one for one in egress(data).uploads if one.reason == "questions" and one.outcome != UNKNOWN]
