"""A real agent on the demo's clip is held to an objective: its audits move its bands, a restart does not.

No outcome is there in time, as with a cloud that is busy: all of them are asked for later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.system.engines import need_clip, need_models
from tests.system.parts import Kept, System, eventually, whole_system
from vision.models import DEFAULT_MODEL
from workbench.demo.parts import agent_folder

BOUND_S = 120.0
FRAMES = 12
START = 0.35
"""The lower end that the default model comes with."""
ALLOWED = 0.8
"""So many may be missed that the few answers there are prove it from above `START` on, whichever frames are drawn."""
HELD = "SELECT lower, upper, day_began_at FROM held"
pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * BOUND_S)]

TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
audit = {{ probability = {probability} }}

[model]
model = "{model}"

[[rules]]
name = "anyone"
labels = ["person"]

[audit]
answer_within_s = 0.01
ask_again_after_s = 1

[asking]
max_per_minute = 1

[objective]
max_miss_rate = {allowed}
fewest_answers = {frames}
max_step_per_day = 1.0

[telemetry]
every_s = 1
first_after_s = 0
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    need_clip()
    with whole_system(tmp_path) as running:
        yield running


def told(probability: float) -> str:
    return TOLD.format(clip=need_clip(), probability=probability, model=DEFAULT_MODEL, frames=FRAMES, allowed=ALLOWED)


def shown(system: System) -> str:
    return system.typed("device", "show", System.DEVICE)


def band(system: System) -> dict[str, Any] | None:
    """As the service knows it."""
    rows = system.store.rows("SELECT telemetry FROM devices WHERE telemetry IS NOT NULL")
    bands = [one for (text,) in rows for one in json.loads(text).get("bands", ())]
    return bands[0] if bands else None


def page(port: int) -> str:
    """The device's own, which needs no uplink; empty while it is not there."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).text
    except httpx.TransportError:
        return ""


def test_answers_move_a_band_and_a_restart_holds_it_with_the_uplink_cut(system: System) -> None:
    agent = system.start_agent(told(0.3))
    proven: list[dict[str, Any]] = []

    def is_proven() -> bool:
        found = band(system)
        if found is None or found["frames"] < FRAMES or found["state"] != "met":
            return False
        proven.append(found)
        return True

    eventually(is_proven, "a band is proven", BOUND_S)
    # The device goes on learning: an answer may have it gather some more before it is proven again.
    eventually(lambda: ", met: the answers prove it" in shown(system), "a person is shown that it is", BOUND_S)
    [one] = proven
    assert (one["camera"], one["label"]) == ("gate", "person")
    assert one["miss_rate"] <= one["miss_rate_at_most"] <= ALLOWED

    system.uplink.cut()
    assert system.ends(agent) == 0
    kept = Kept(agent_folder(system.folder, System.DEVICE) / "data" / "answers.db")
    [(lower, upper, began)] = kept.rows(HELD)
    assert START < lower <= upper

    port = free_port()
    system.start_agent(told(0.3) + f'\n[status]\nlisten = "127.0.0.1:{port}"\n')
    # An answer that came in the last moment may move the band once more at the start; it does not begin anew.
    eventually(
        lambda: any(f"{lower:.2f} to {upper:.2f}" in page(port) for lower, upper, _ in kept.rows(HELD)),
        "the band is held",
    )
    [(lower, upper, still)] = kept.rows(HELD)
    assert START < lower <= upper
    assert still == began
