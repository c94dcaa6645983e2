"""What leaves a real agent on the demo's clip: painted over as told, and written down to the last byte."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.redact.paint import HIDDEN
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, System, environment, eventually, whole_system
from tests.system.preloaded import programs
from vision.detections import Image
from wire.audits import Audit
from wire.messages import PictureNote, Question, Redaction
from workbench.demo.parts import agent_folder, cloud_folder

pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * BOUND_S)]

MASKED_FROM = 0.6
MASK = f"polygon = [[{MASKED_FROM}, 0.0], [1.0, 0.0], [1.0, 1.0], [{MASKED_FROM}, 1.0]]"
TOLD = f"""
[[cameras]]
name = "gate"
source = "{{clip}}"
loop = true
fps_limit = 5
redaction = {{{{ hide = "heads" }}}}
audit = {{{{ per_hour = 0 }}}}

[[cameras]]
name = "yard"
source = "{{clip}}"
loop = true
fps_limit = 5
audit = {{{{ probability = 0.2 }}}}

[[masks]]
camera = "gate"
{MASK}

[[masks]]
camera = "yard"
{MASK}

[[rules]]
name = "anyone"
labels = ["person"]
picture = "always"
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    need_clip()
    with whole_system(tmp_path) as running:
        yield running


def typed(*words: str) -> Any:
    done = subprocess.run(
        words,
        check=False,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in words else None


def counted(system: System, table: str) -> int:
    return int(system.store.rows(f"SELECT COUNT(*) FROM {table}")[0][0])  # noqa: S608 - our own tables


def sent(system: System) -> Iterator[tuple[str, tuple[float, float, float, float], Redaction | None]]:
    """Every picture that the cloud keeps: its key, the part of the frame it shows, and what is said of it."""
    for message, key in system.store.rows("SELECT message, picture_key FROM questions"):
        asked = Question.model_validate_json(message)
        yield key, asked.region, asked.redaction
    for note, key in system.store.rows("SELECT note, key FROM pictures"):
        told = PictureNote.model_validate_json(note)
        yield key, told.region, told.redaction
    for message, key in system.store.rows("SELECT message, picture_key FROM audits"):
        yield key, (0.0, 0.0, 1.0, 1.0), Audit.model_validate_json(message).redaction


def check(image: Image, region: tuple[float, float, float, float], said: Redaction | None) -> None:
    """Black from the mask's edge on, but for the JPEG's own bleeding, and some of the rest grey."""
    height, width = image.shape[:2]
    left, _, right, _ = region
    edge = round((MASKED_FROM - left) / (right - left) * width)
    if edge < width - 16:
        assert said is not None
        assert said.masked > 0
        assert image[:, max(0, edge + 16) :].max() < 24
    if edge > 16:
        assert image[:, : edge - 16].std() > 5, "the rest is a picture"
    if said is not None and said.hidden > 0.03:
        grey = np.abs(image.astype(int) - HIDDEN).max(axis=2) < 10
        assert grey.mean() > said.hidden / 2
    assert height > 0


def test_pictures_are_painted_over_and_every_upload_has_its_receipt(system: System) -> None:
    agent = system.start_agent(TOLD.format(clip=need_clip()))
    eventually(
        lambda: all(counted(system, table) >= 3 for table in ("questions", "pictures", "audits")),
        "pictures of every kind arrived",
    )
    eventually(
        lambda: any(said is not None and said.hidden > 0.03 for _, _, said in sent(system)),
        "a picture shows somebody whose head is hidden",
    )
    vedette, vedette_agent = programs().vedette, programs().vedette_agent
    here = ["--data-dir", str(cloud_folder(system.folder).root)]
    snapshot = typed(vedette, "command", system.DEVICE, "snapshot", "camera=gate", "--wait", "--json", *here)
    assert system.ends(agent) == 0
    # It may be storing still what came last.
    assert system.ends(system.service) == 0

    blobs = cloud_folder(system.folder).root / "blobs"
    pictures = list(sent(system))
    for key, region, said in pictures:
        check(cv2.imread(str(blobs / key)), region, said)
    assert "heads" in json.dumps(snapshot)

    data = str(agent_folder(system.folder, system.DEVICE) / "data")
    typed(vedette_agent, "egress", "--data-dir", data, "--verify")
    told = typed(vedette_agent, "egress", "--data-dir", data, "--json")
    assert told["notes"] == [], "what the lines add up to is what the ledger counted"
    # What was under way when the agent ended may have arrived or not; the log has it in either case.
    left = {(one["sha256"], one["body"], one["reason"], one["what"]) for one in told["uploads"] if one["sent"]}
    answered = {one["sha256"] for one in told["uploads"] if one["outcome"].startswith("status 2")}
    kept = {hashlib.sha256(file.read_bytes()).hexdigest() for file in blobs.rglob("*") if file.is_file()}
    assert answered <= kept <= {sha256 for sha256, *_ in left}

    received: dict[str, int] = {}
    for row in typed(vedette, "cost", "--json", *here)["received"]:
        received[row["reason"]] = received.get(row["reason"], 0) + row["bytes"]
    bodies: dict[str, int] = {}
    for sha256, body, reason, _ in left:
        if sha256 in kept:
            bodies[reason] = bodies.get(reason, 0) + body
    assert received == bodies
    assert set(received) == {"questions", "pictures", "audits", "snapshots"}
