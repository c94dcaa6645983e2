"""A person who types what the README and the guides say gets what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest

from tests.docs.prose import ROOT, section
from tests.ports import free_port
from tests.system.parts import eventually
from workbench.clip import demo_clip
from workbench.errors import WorkbenchError

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
README = ROOT / "README.md"
OPERATING = ROOT / "docs" / "operating.md"
FRAMES = 200
TYPED_S = 200.0
"""For one block; a rollout is watched in one."""


class Person:
    """Sits in a folder of their own, with the project's programs where the documents say that they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")},
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "XDG_DATA_HOME": str(folder / "data"),
            # Only so that other tests and other people on this machine keep theirs.
            "VEDETTE_HTTP_PORT": str(free_port()),
            "VEDETTE_MQTT_PORT": str(free_port()),
        }
        self._begun: list[subprocess.Popen[bytes]] = []

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.environ['VEDETTE_HTTP_PORT']}"

    def types(self, block: str) -> str:
        """Type it, and wait for its end; what it printed."""
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TYPED_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        return done.stdout.decode()

    def begins(self, block: str) -> subprocess.Popen[bytes]:
        """Type it in a terminal of its own, where it goes on."""
        with (self.folder / f"terminal-{len(self._begun)}.log").open("wb") as log:
            begun = subprocess.Popen(
                ["/bin/bash", "-euo", "pipefail", "-c", block],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._begun.append(begun)
        return begun

    def ends(self, terminal: subprocess.Popen[bytes]) -> int:
        """Press Ctrl-C in that terminal."""
        if terminal.poll() is None:
            os.killpg(terminal.pid, signal.SIGINT)
        return terminal.wait(90)

    def leave(self) -> None:
        for terminal in reversed(self._begun):
            self.ends(terminal)

    def reads(self, path: str) -> Any:
        answer = httpx.get(self.dashboard + path, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def finds(self, path: str) -> bool:
        try:
            self.reads(path)
        except httpx.HTTPError:
            return False
        return True


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    try:
        clip = demo_clip(lambda _: None).path
    except WorkbenchError as missing:
        pytest.skip(str(missing))
    someone = Person(tmp_path)
    _begin(clip, tmp_path / "clip.mp4")
    yield someone
    someone.leave()


def test_the_readme_s_ways_work_as_they_are_typed(person: Person) -> None:
    serve, enroll, run, alone = section(README, "A device of your own")
    keys, import_and_roll_out = section(README, "Updating models")

    service = person.begins(serve)
    eventually(lambda: person.finds("/readyz"), "the service is there")
    printed = person.types(enroll)
    _save(person.folder, printed)
    agent = person.begins(run)
    eventually(lambda: person.reads("/api/alerts")["alerts"], "an alert on the dashboard")
    assert "gate-1" in person.types("vedette devices")
    eventually(lambda: "online" in person.types("vedette device show gate-1"), "the device is said to be there")
    assert person.ends(agent) == 0

    person.types(alone)
    assert json.loads((person.folder / "detections.jsonl").read_text().splitlines()[0])["frame"] == 0

    person.types(keys)
    with (person.folder / "agent.toml").open("a") as settings:
        settings.write(_toml(README, "Updating models"))
    agent = person.begins(run)
    eventually(lambda: "online" in person.types("vedette device show gate-1"), "the device is back")
    person.types(import_and_roll_out)
    eventually(lambda: "nanodet-g-416-fp16" in person.types("vedette devices"), "the device says what it runs")
    assert "nanodet" in person.types("vedette command gate-1 ping --wait")
    person.types("vedette audit")
    for line in section(OPERATING, "Commands")[0].splitlines():
        if "gate-2" not in line and "site=north" not in line:
            person.types(line)
    assert (person.folder / "gate.webm").stat().st_size > 0

    person.types("vedette device revoke gate-1")
    eventually(lambda: "revoked" in person.types("vedette device show gate-1"), "the device is turned away")
    person.ends(agent)
    assert person.ends(service) == 0


def _begin(clip: Path, short: Path) -> None:
    """The first seconds of the demo's clip: the detector alone, and the bench, go through all that they are given."""
    reader = cv2.VideoCapture(str(clip))
    _, frame = reader.read()
    own = short.with_suffix(".avi")
    writer = cv2.VideoWriter(str(own), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, frame.shape[1::-1])
    for _ in range(FRAMES):
        writer.write(frame)
        _, frame = reader.read()
    writer.release()
    reader.release()
    own.rename(short)


def _save(folder: Path, printed: str) -> None:
    """As `enroll` says: the token into a file, and what follows the last sentence into another."""
    token = next(line for line in printed.splitlines() if line.startswith("vdt_"))
    (folder / "token").touch(0o600)
    (folder / "token").write_text(token + "\n")
    settings = printed[printed.index("# Save this as agent.toml") :]
    settings = settings.replace('source = "/dev/video0"', 'source = "clip.mp4"').replace(
        "# loop = true", "loop = true"
    )
    assert tomllib.loads(settings)["cameras"][0] == {"name": "camera-1", "source": "clip.mp4", "loop": True}
    (folder / "agent.toml").write_text(settings)


def _toml(path: Path, heading: str) -> str:
    (code,) = section(path, heading, "toml")
    return code
