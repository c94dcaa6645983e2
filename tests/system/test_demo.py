"""`vedette demo` as a person or a program starts it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from cloud.store.alerts import AlertStore
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from tests.docs.prose import ROOT, written
from tests.system.engines import missing, need_clip, need_models
from tests.system.parts import Kept, alive, descendants, environment, eventually
from vision.models import UPGRADE_MODEL
from workbench.demo.parts import cloud_folder
from workbench.demo.plan import DEVICES, FLEET

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

KEYS = {
    "first_alert_s", "alerts_raised", "alerts_stored", "duplicates", "confirmed", "retracted", "asks", "bytes_sent",
    "bytes_if_streamed", "frames", "agent_rss_mib", "updated", "rollout",
}  # fmt: skip
AGENT_RSS_MIB = 120
DEMO = (sys.executable, "-m", "workbench", "demo", "--json", "--no-browser")
SEEN = 75
BOUND_S = 90
ROLLOUT_S = 300
"""At most: five agents on two cores, each of which proves, tries and watches a model that is seven times slower."""


@pytest.fixture(autouse=True)
def _parts() -> None:
    need_models()
    need_clip()


class Demo:
    """The process, and the folder in which it may make temporary ones."""

    def __init__(self, scratch: Path, *options: str, command: Sequence[str] | None = None) -> None:
        self.scratch = scratch
        scratch.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            # Tests that run in the background of a shell ignore Ctrl-C, and so would what they start.
            ["/usr/bin/env", "--default-signal=INT", *(command or [*DEMO, *options])],
            cwd=ROOT if command else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Where there is a screen, it would be opened on it.
            env=environment(TMPDIR=str(scratch), DISPLAY="", WAYLAND_DISPLAY=""),
            start_new_session=True,
        )
        self.parts: list[psutil.Process] = []

    def wait_until_it_runs(self) -> None:
        """The service, its broker and both agents."""

        def running() -> bool:
            assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
            self.parts = descendants(self.process.pid)
            names = " ".join(map(_command, self.parts))
            return names.count("agent.toml") == 2 and "nats-server" in names

        eventually(running, "the demo starts its parts")

    def kept(self, folder: Path | None = None) -> Kept:
        """What its service keeps, in that folder or in its own temporary one; nothing while there is none."""
        where = folder or next(self.scratch.glob("vedette-demo-*"), self.scratch)
        return Kept(cloud_folder(where).root / "vedette.db")

    def stop_once(self, so: Callable[[], bool], what: str) -> None:
        """Press Ctrl-C when that is so: how long it takes is the machine's business."""

        def is_so() -> bool:
            assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
            return so()

        eventually(is_so, what)
        self.process.send_signal(signal.SIGINT)

    def stop_with_an_alert(self, folder: Path) -> None:
        """Press Ctrl-C once an alert of this run is stored."""
        store = self.kept(folder)
        before = store.rows("SELECT id FROM alerts")
        self.stop_once(lambda: len(store.rows("SELECT id FROM alerts")) > len(before), "an alert is stored")

    def end(self, within_s: float = BOUND_S) -> tuple[int, str, str]:
        said, complained = self.process.communicate(timeout=within_s)
        return self.process.returncode, said, complained

    def left_over(self) -> Sequence[str]:
        return [path.name for path in self.scratch.iterdir() if path.name.startswith("vedette-")]


def _command(part: psutil.Process) -> str:
    """Empty where it ended meanwhile."""
    try:
        return " ".join(part.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[type[Demo]]:
    started: list[Demo] = []

    class Started(Demo):
        def __init__(self, *options: str, command: Sequence[str] | None = None) -> None:
            super().__init__(tmp_path / "scratch", *options, command=command)
            started.append(self)

    yield Started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def figures(said: str) -> dict[str, object]:
    line = json.loads(said)
    assert isinstance(line, dict)
    return line


def test_the_whole_thing_on_real_video(demo: type[Demo]) -> None:
    running = demo()
    running.stop_once(lambda: has_seen_and_asked(running.kept()), "both see people, and an answer decides an alert")
    code, said, complained = running.end()
    assert code == 0, complained
    shown = figures(said)
    assert shown.keys() >= KEYS
    assert shown["alerts_raised"] == shown["alerts_stored"] > 0
    assert shown["duplicates"] == 0
    assert shown["asks"] > 0
    assert shown["confirmed"] + shown["retracted"] > 0
    assert shown["first_alert_s"] > 0
    assert shown["frames"] > 0
    assert shown["bytes_if_streamed"] > 20 * shown["bytes_sent"] > 0
    assert 0 < shown["agent_rss_mib"] <= AGENT_RSS_MIB
    assert shown["devices"] == {"gate-1": "offline", "plaza-2": "offline"}
    assert (shown["updated"], shown["rollout"]) == (0, None)
    assert running.left_over() == []


def has_seen_and_asked(store: Kept) -> bool:
    """Each of two cameras has judged `SEEN` frames, and the cloud has answered and decided."""
    told = [json.loads(row[0]) for row in store.rows("SELECT telemetry FROM devices WHERE telemetry IS NOT NULL")]
    judged = [camera["judged"] for telemetry in told for camera in telemetry["cameras"]]
    return (
        len(judged) == len(DEVICES)
        and min(judged) >= SEEN
        and bool(store.rows("SELECT 1 FROM verdicts"))
        and bool(store.rows("SELECT 1 FROM alerts WHERE state != 'provisional'"))
    )


def test_it_ends_by_itself_after_its_duration(demo: type[Demo]) -> None:
    running = demo("--duration", "1")
    code, said, complained = running.end()
    assert code == 0, complained
    assert figures(said).keys() >= KEYS
    assert running.left_over() == []


@pytest.mark.alone
@pytest.mark.timeout(ROLLOUT_S + 2 * BOUND_S)
def test_a_fleet_of_five_gets_another_model_while_it_runs(demo: type[Demo], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    store = Kept(cloud_folder(kept).root / "vedette.db")
    running = demo("--devices", "5", "--rollout", "--data-dir", str(kept))

    def over() -> bool:
        assert running.process.poll() is None
        return any(phase != "running" for (phase,) in store.rows("SELECT phase FROM rollouts"))

    eventually(over, "the rollout is over", ROLLOUT_S)
    running.process.send_signal(signal.SIGINT)
    code, said, complained = running.end()
    assert code == 0, complained
    shown = figures(said)
    rollout = shown["rollout"]
    assert isinstance(rollout, dict)
    assert (rollout["model"], rollout["phase"]) == (UPGRADE_MODEL, "finished"), rollout
    assert shown["updated"] == 5
    assert rollout["devices"] == dict.fromkeys([device.name for device in FLEET[:5]], "committed")
    assert shown["alerts_raised"] == shown["alerts_stored"] > 0
    assert shown["duplicates"] == 0
    assert 0 < shown["agent_rss_mib"] <= AGENT_RSS_MIB
    assert f"vedette rollout start {UPGRADE_MODEL} --data-dir" in complained


def test_a_model_that_was_not_built_is_named_at_once(demo: type[Demo]) -> None:
    code, said, complained = demo("--rollout", "no-such-model").end()
    assert (code, said) == (3, "")
    assert "no-such-model" in complained


def test_what_the_readme_says_first(demo: type[Demo]) -> None:
    """Ctrl-C in the terminal goes to `make` as well as to what it started."""
    command = written("README.md", "make demo")
    stamp = subprocess.run(["make", "--question", ".venv/.ready-run"], cwd=ROOT, check=False)  # noqa: S607
    if stamp.returncode != 0:
        missing("this folder's .venv is not set up: make setup")
    running = demo(command=command.split())
    assert running.process.stdout is not None
    assert running.process.stderr is not None
    said = ""
    while not re.search(r"http://127\.0\.0\.1:\d+/", said):
        line = running.process.stdout.readline()
        assert line, f"it ends before it prints the dashboard's address: {said}{running.process.stderr.read()}"
        said += line
    running.parts = descendants(running.process.pid)
    assert any(part.name() == "nats-server" for part in running.parts)
    os.killpg(running.process.pid, signal.SIGINT)
    said += running.process.stdout.read()
    # `make` waits for what it started, and then ends by the same signal.
    assert running.process.wait(BOUND_S) == -signal.SIGINT, said
    assert re.search(r"First alert on the dashboard .+; \d+ raised, \d+ stored, 0 twice; ", said), "what was saved"
    assert alive(running.parts) == []
    assert running.left_over() == []


@pytest.mark.parametrize("number", [signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stops_everything_that_it_started(demo: type[Demo], number: signal.Signals) -> None:
    running = demo()
    running.wait_until_it_runs()
    running.process.send_signal(number)
    code, said, complained = running.end()
    assert code == 0, complained
    assert figures(said).keys() >= KEYS
    assert alive(running.parts) == []
    assert running.left_over() == []


def test_a_kill_leaves_no_process(demo: type[Demo]) -> None:
    running = demo()
    running.wait_until_it_runs()
    running.process.kill()
    running.process.communicate()
    eventually(lambda: alive(running.parts) == [], "the demo's parts end with it")


def test_a_video_of_ones_own(demo: type[Demo], tmp_path: Path) -> None:
    own = tmp_path / "my street.avi"
    shutil.copy(need_clip(), own)
    running = demo("--source", str(own), "--data-dir", str(tmp_path / "kept"))
    running.stop_with_an_alert(tmp_path / "kept")
    code, said, complained = running.end()
    assert code == 0, complained
    shown = figures(said)
    assert shown["source"] == str(own)
    assert shown["frames"] > 0
    assert shown["alerts_raised"] == shown["alerts_stored"] > 0


def test_a_source_that_is_not_there_is_refused_at_once(demo: type[Demo]) -> None:
    running = demo("--source", "no-such-video.avi")
    code, said, complained = running.end()
    assert (code, said) == (2, "")
    assert "there is no file or folder no-such-video.avi" in complained
    assert running.left_over() == []


def test_a_camera_that_does_not_answer_is_shown_as_lost(demo: type[Demo]) -> None:
    running = demo("--source", "rtsp://me:secret@127.0.0.1:9/camera")

    def all_lost() -> bool:
        rows = running.kept().rows("SELECT online_status FROM devices WHERE online_status IS NOT NULL")
        states = [camera["state"] for (text,) in rows for camera in json.loads(text)["cameras"]]
        return states == ["lost"] * len(DEVICES)

    running.stop_once(all_lost, "both devices say so")
    code, said, complained = running.end()
    assert code == 0, complained
    shown = figures(said)
    assert all(state.startswith("lost: ") for state in shown["cameras"].values()), shown["cameras"]
    assert shown["cameras"].keys() == {"gate", "plaza"}
    assert shown["frames"] == shown["alerts_raised"] == 0
    assert "secret" not in said + complained


def test_a_kept_folder_serves_again_and_counts_only_what_is_new(demo: type[Demo], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    seen = []
    for _ in range(2):
        running = demo("--data-dir", str(kept))
        running.stop_with_an_alert(kept)
        code, said, complained = running.end()
        assert code == 0, complained
        seen.append(figures(said))
    first, second = seen
    assert first["alerts_raised"] == first["alerts_stored"] > 0
    assert second["alerts_raised"] == second["alerts_stored"] > 0
    assert second["duplicates"] == 0
    assert second["frames"] > 0
    frames, alerts = asyncio.run(all_that_was_counted(kept))
    assert second["frames"] <= frames - first["frames"]
    assert second["alerts_stored"] == alerts - first["alerts_stored"]


async def all_that_was_counted(folder: Path) -> tuple[int, int]:
    """Frames and alerts, over all runs."""
    async with open_database(cloud_folder(folder).database_url) as database:
        fleet = await DeviceStore(database).sums(datetime.now(UTC))
        return fleet.totals.frames, (await AlertStore(database).audit()).alerts
