"""Commands to a real agent that take a while: a clip that comes to a file, and one that a kill interrupts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, System, environment, eventually, whole_system
from tests.system.preloaded import programs
from workbench.demo.parts import agent_folder, cloud_folder
from workbench.demo.processes import Child

pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * BOUND_S)]

TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
[[rules]]
name = "anyone"
labels = ["person"]
[telemetry]
every_s = 1
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    with whole_system(tmp_path) as system:
        yield system


def at_work(system: System) -> Child:
    agent = system.start_agent(TOLD.format(clip=need_clip()))
    eventually(lambda: bool(system.stored()), "the agent is at work")
    return agent


def types(system: System, *words: str) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(
        [programs().vedette, "command", *words, "--json"],
        env=environment(VEDETTE_DATA_DIR=str(cloud_folder(system.folder).root)),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode >= 0, f"it was ended by signal {-done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def clips_of(system: System) -> list[str]:
    folder = agent_folder(system.folder, system.DEVICE) / "data" / "clips"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def test_a_clip_comes_to_a_file_and_judging_goes_on(system: System, tmp_path: Path) -> None:
    at_work(system)
    file = tmp_path / "gate.webm"
    before = len(system.stored())
    code, (answer,) = types(system, "gate-1", "capture-clip", "for_s=3", "--wait", "--out", str(file))
    assert code == 0, answer
    result = answer["result"]
    assert isinstance(result, dict)
    assert (result["camera"], result["seconds"], result["bytes"]) == ("gate", 3.0, file.stat().st_size)
    capture = cv2.VideoCapture(str(file))
    pictures = [picture for read, picture in iter(capture.read, (False, None)) if read]
    assert len(pictures) == 15
    assert pictures[0].shape == (480, 640, 3)
    assert max(picture.std() for picture in pictures) > 10
    eventually(lambda: clips_of(system) == [], "the agent keeps no copy")
    eventually(lambda: len(system.stored()) > before, "alerts go on")


def test_a_clip_that_a_kill_interrupts_is_answered_as_failed_and_leaves_nothing(system: System) -> None:
    agent = at_work(system)
    types(system, "gate-1", "capture-clip", "for_s=60")
    eventually(lambda: clips_of(system) != [], "it is being recorded")
    agent.process.kill()
    agent.process.wait()
    system.children.stop(agent)
    assert clips_of(system) != []
    at_work(system)

    def answered() -> bool:
        (one,) = system.store.rows("SELECT outcome, reason FROM commands")
        return one[0] == "failed" and "restarted while it was done" in one[1]

    eventually(answered, "the command is answered")
    eventually(lambda: clips_of(system) == [], "what was recorded is gone")
