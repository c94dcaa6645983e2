"""Releases signed, published and rolled out to real agents: committed, returned, refused, and after kill -9."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from agent.app.run import EX_RESTART
from tests.system.bad_updates import make_bad_updates
from tests.system.browser import in_browser
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, Kept, environment, eventually
from tests.system.preloaded import programs
from vision.describe import describe
from vision.models import DEFAULT_MODEL, UPGRADE_MODEL, find_model
from wire.messages import Alert
from workbench.demo.parts import agent_folder, cloud_folder, enrol, start_agent, start_service, token_file
from workbench.demo.processes import Child, Children

pytestmark = [pytest.mark.system, pytest.mark.timeout(10 * BOUND_S)]

SETTLED_S = 240.0
"""Agents on two cores prove, try and watch a model that is slower than what they run; in 8 bits the proof alone takes
15 s of a core."""
GATES = (
    *("--shadow-frames", "10", "--probation-frames", "20", "--probation", "3s"),
    *("--max-latency-ratio", "100", "--max-load-s", "120"),
)
"""How fast a machine is that does other things besides is no fault of the model's."""
REFUSED = 10
CRASHING, BLIND = "nanodet-outlier", "nanodet-blind"
LONGEST_SILENCE_S = 15.0
"""People are in view all the time, and told of twice a second."""
SELDOM, OFTEN = 6, 60
"""Questions a minute."""
DISPUTED = "40"
"""Frames of a trial: in so many of the clip, wherever they begin, the two models disagree about three objects at the
least, and about eight on average; in ten of them, one time in twenty, about none."""
KILLED_IN = ("downloading", "verifying", "proving", "shadowing", "installing", "probation")

# Little is asked: the service's answers would take half a core from what is proved, tried and watched.
TOLD = """
device = "{device}"
data_dir = "{data}"
[[cameras]]
name = "gate"
source = "{clip}"
loop = true
fps_limit = 5
[[rules]]
name = "anyone"
labels = ["person"]
update_every_s = 0.5
end_after_s = 2
[link]
url = "{mqtt}"
token_file = "{token}"
reconnect_max_s = 2
[ask]
url = "{http}"
[asking]
max_per_minute = {asked}
[asking.budget]
questions_per_minute = 6
[trust]
root_file = "{root}"
[updates]
swap = "{swap}"
max_attempts = 10
max_crashes = 2
retry_min_s = 0.5
retry_max_s = 1
[telemetry]
every_s = 2
"""


def vedette(root: Path, *words: str, code: int = 0) -> str:
    """Run the command, as a person at the service's machine would; its standard output."""
    done = subprocess.run(
        [programs().vedette, *words],
        env=environment(VEDETTE_DATA_DIR=str(root)),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def release(root: Path, keys: Path, source: str, *options: str) -> None:
    """Import, sign and publish its version 1.0.0; a folder is named as the model in it."""
    name = Path(source).name
    vedette(root, "model", "import", source, *options)
    vedette(root, "model", "sign", name, "1.0.0", "--keys", str(keys))
    vedette(root, "model", "publish", name, "1.0.0")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service's data after the ceremony, with NanoDet; the keys beside it."""
    need_models()
    need_clip()
    folder = tmp_path_factory.mktemp("published")
    root = cloud_folder(folder).root
    vedette(root, "model", "keys", "create", "--keys", str(folder / "keys"), "--demo")
    release(root, folder / "keys", UPGRADE_MODEL)
    return folder


@pytest.fixture
def bad_updates(tmp_path: Path) -> Path:
    """A folder with a model that can't be loaded, and one that detects nothing."""
    need_models()
    made = tmp_path / "bad-updates"
    made.mkdir()
    make_bad_updates(need_clip(), made / CRASHING, made / BLIND)
    return made


class Fleet:
    """The service with its releases, and agents that know its root of trust."""

    def __init__(self, folder: Path, children: Children, devices: int, asked: int = SELDOM) -> None:
        self.folder = folder
        self.devices = [f"gate-{number}" for number in range(1, devices + 1)]
        self.children = children
        self._asked = asked
        self.store = Kept(cloud_folder(folder).root / "vedette.db")
        enrol(folder, self.devices)
        self._root = folder / "root.json"
        self._root.write_text(self.vedette("model", "keys", "show-root"))
        _, self.addresses = start_service(self.children, folder)
        self.agents = {device: self.start(device) for device in self.devices}
        eventually(lambda: all(self.reported(device) for device in self.devices), "the agents report")

    def vedette(self, *words: str, code: int = 0) -> str:
        return vedette(cloud_folder(self.folder).root, *words, code=code)

    def start(self, device: str, swap: str = "auto") -> Child:
        own = agent_folder(self.folder, device)
        told = TOLD.format(
            device=device,
            data=own / "data",
            clip=need_clip(),
            mqtt=self.addresses.mqtt,
            http=self.addresses.http,
            token=token_file(self.folder, device),
            root=self._root,
            swap=swap,
            asked=self._asked,
        )
        return start_agent(self.children, self.folder, device, told)

    def start_again(self, device: str, swap: str = "auto") -> None:
        self.agents[device] = self.start(device, swap)

    def roll_out(self, name: str, *options: str) -> str:
        """Its id."""
        said = self.vedette("rollout", "start", name, "--json", "--soak", "0s", *GATES, *options)
        return str(json.loads(said)["id"])

    def rollout(self, begun: str) -> dict[str, Any]:
        """The service's record of a rollout."""
        (phase,) = [phase for known, phase in self.store.rows("SELECT id, phase FROM rollouts") if known == begun]
        orders = self.store.rows("SELECT rollout, device, fate, reason FROM rollout_orders")
        return {
            "phase": phase,
            "orders": {device: (fate, why) for known, device, fate, why in orders if known == begun},
        }

    def until(self, begun: str, phase: str) -> None:
        eventually(lambda: self.rollout(begun)["phase"] == phase, f"the rollout is {phase}", SETTLED_S)

    def reported(self, device: str) -> dict[str, Any]:
        """What the service last heard of the device's update; empty before."""
        found = dict(self.store.rows("SELECT id, reported FROM devices"))[device]
        return json.loads(found) if found else {}

    def until_reported(self, device: str, state: str, model: str) -> dict[str, Any]:
        def is_so() -> bool:
            said = self.reported(device)
            return said.get("state") == state and said["running"]["name"] == model

        eventually(is_so, f"{device} reports {state} with {model}; it says {self.reported(device)}", SETTLED_S)
        return self.reported(device)

    def until_judging(self, device: str, model: str) -> None:
        """Until the device's status names it: that keeps no order with reports and alerts."""

        def is_so() -> bool:
            said = json.loads(self.vedette("device", "show", device, "--json"))
            return said["presence"] == "online" and said["model"]["name"] == model

        eventually(is_so, f"{device} says that {model} judges")

    def alerts(self, device: str) -> list[Alert]:
        """In the order in which they were stored."""
        rows = self.store.rows("SELECT message FROM alert_events ORDER BY number")
        return [alert for row in rows if (alert := Alert.model_validate_json(row[0])).device == device]

    def until_alerts_of(self, device: str, digest: str) -> None:
        """Until an alert that the model saw first comes after all that are stored."""
        ((last,),) = self.store.rows("SELECT COALESCE(MAX(number), 0) FROM alert_events")
        new = f"SELECT message FROM alert_events WHERE device = '{device}' AND number > {last}"  # noqa: S608
        eventually(
            lambda: any(json.loads(row[0])["model_digest"] == digest for row in self.store.rows(new)),
            f"{device} sends alerts of {digest}",
        )

    def check_no_gap(self) -> None:
        """Every camera's alerts are numbered from 1 on, in order, through every switch."""
        for device in self.devices:
            numbers: dict[str, list[int]] = defaultdict(list)
            for alert in self.alerts(device):
                numbers[alert.camera].append(alert.sequence)
            assert numbers, device
            assert all(found == list(range(1, len(found) + 1)) for found in numbers.values()), device

    def check_no_silence(self) -> None:
        """No switch kept a device from judging."""
        for device in self.devices:
            times = sorted(alert.made_at for alert in self.alerts(device))
            assert max(later - sooner for sooner, later in pairwise(times)).total_seconds() < LONGEST_SILENCE_S

    def record(self, device: str) -> str:
        """The state that the device itself keeps of its update; it is written before each act."""
        try:
            kept = json.loads((agent_folder(self.folder, device) / "data" / "update.json").read_bytes())
        except FileNotFoundError:
            return ""
        return str(kept.get("state", ""))


@pytest.fixture
def fleet(published: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with running(published, tmp_path, request.param) as begun:
        yield begun


@pytest.fixture
def asking(published: Path, tmp_path: Path) -> Iterator[Fleet]:
    """One device that has more to ask than its rules do, who take what they may."""
    with running(published, tmp_path, 1, OFTEN) as begun:
        yield begun


@contextmanager
def running(published: Path, folder: Path, devices: int, asked: int = SELDOM) -> Iterator[Fleet]:
    shutil.copytree(published, folder, dirs_exist_ok=True)
    children = Children(folder)
    try:
        yield Fleet(folder, children, devices, asked)
    finally:
        children.stop_all()


def of_the_update(reported: dict[str, Any]) -> dict[str, Any]:
    """Without what each message has for itself: a device that connects anew reports anew."""
    return {name: said for name, said in reported.items() if name not in {"message_id", "made_at", "boot_seq"}}


def digest(model: str) -> str:
    return describe(find_model(model)).manifest.digest


@pytest.mark.parametrize("fleet", [3], indirect=True)
def test_every_device_switches_and_every_device_returns(fleet: Fleet) -> None:
    assert "no rollout has told" in fleet.vedette("command", "gate-1", "update-model", "--wait", code=6)
    begun = fleet.roll_out(UPGRADE_MODEL, "--stages", "34,100")
    fleet.until(begun, "finished")
    assert "already_installed" in fleet.vedette("command", "--group", "default", "update-model", "--wait", "--jsonl")
    another = ("update-model", f"model={DEFAULT_MODEL}", "--wait")
    assert "can't choose another" in fleet.vedette("command", "gate-1", *another, code=6)
    for device in fleet.devices:
        fleet.until_reported(device, "committed", UPGRADE_MODEL)
        fleet.until_alerts_of(device, digest(UPGRADE_MODEL))
        fleet.until_judging(device, UPGRADE_MODEL)
    assert {fate for fate, _ in fleet.rollout(begun)["orders"].values()} == {"committed"}
    fleet.check_no_gap()

    fleet.vedette("rollout", "rollback", begun)
    fleet.until(begun, "rolled_back")
    for device in fleet.devices:
        fleet.until_alerts_of(device, digest(DEFAULT_MODEL))
        assert fleet.reported(device)["running"]["digest"] == digest(DEFAULT_MODEL)
        fleet.until_judging(device, DEFAULT_MODEL)
    fleet.check_no_gap()
    fleet.check_no_silence()
    fleet.children.check()


@pytest.mark.parametrize("fleet", [1], indirect=True)
def test_dashboard_shows_what_watch_shows(fleet: Fleet, tmp_path: Path) -> None:
    (device,) = fleet.devices

    def look(page: Page) -> None:
        page.goto(f"{fleet.addresses.dashboard}#/rollouts")
        expect(page.get_by_test_id("no-rollout")).to_be_visible()
        # A browser looks once a second, and has to share the processors: a probation of 3 s could go by unseen.
        begun = fleet.roll_out(UPGRADE_MODEL, "--stages", "100", "--probation", "12s")
        # Live from here on: nothing is loaded again.
        row = page.get_by_test_id("rollout-device")
        expect(row).to_contain_text("at work")
        expect(row).to_contain_text("probation")
        page.screenshot(path=tmp_path / "under-way.png")
        expect(row).to_contain_text("runs it")
        expect(row).to_contain_text(re.compile(r"Trial: agreement \d+\s%.* 10 frames"))
        shown = page.get_by_test_id("rollout")
        expect(shown).to_contain_text("finished")
        watched = json.loads(fleet.vedette("rollout", "watch", begun, "--json").splitlines()[-1])
        counts = watched["counts"]
        assert (watched["phase"], counts["committed"], counts["eligible"]) == ("finished", 1, 1)
        expect(page.get_by_test_id("reason")).to_have_text(watched["reason"])
        expect(page.get_by_test_id("counts").get_by_role("img")).to_have_accessible_name(
            "Of {eligible} devices: {committed} run it, {pending} at work, {failed} failed, {away} away".format(
                **counts
            )
        )
        page.screenshot(path=tmp_path / "finished.png")

        page.get_by_role("link", name="Commands").click()
        expect(page.get_by_test_id("no-command")).to_be_visible()
        fleet.vedette("command", device, "snapshot", "camera=gate", "--wait")
        picture = page.get_by_test_id("command").get_by_role("img", name=f"What {device} saw")
        page.wait_for_function("image => image.naturalWidth > 100", arg=picture.element_handle())
        page.screenshot(path=tmp_path / "commands.png")

        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_test_id("update")).to_contain_text(UPGRADE_MODEL)
        page.screenshot(path=tmp_path / "overview.png", full_page=True)

    assert in_browser(look, within_s=SETTLED_S) == []
    fleet.children.check()


@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_bad_updates_stop_at_the_canary(fleet: Fleet, bad_updates: Path) -> None:
    canary, other = fleet.devices
    fleet.until_alerts_of(canary, digest(DEFAULT_MODEL))
    untouched, process = of_the_update(fleet.reported(other)), fleet.agents[canary].process.pid
    root, keys = cloud_folder(fleet.folder).root, fleet.folder / "keys"
    at_canary = ("--canary", canary, "--stages", "50,100", "--min-tried", "1")

    # One brings down every process that loads it, that of the import too; whoever publishes it must insist.
    crashing = str(bad_updates / CRASHING)
    fleet.vedette("model", "import", crashing, code=REFUSED)
    release(root, keys, crashing, "--untried")
    begun = fleet.roll_out(CRASHING, *at_canary)
    fleet.until(begun, "halted")
    said = fleet.until_reported(canary, "rejected", DEFAULT_MODEL)
    assert "crashed with SIGABRT while loading" in said["reason"]
    fate, why = fleet.rollout(begun)["orders"][canary]
    assert (fate, "crashed with SIGABRT" in why) == ("failed", True)
    assert fleet.agents[canary].process.pid == process
    fleet.until_alerts_of(canary, digest(DEFAULT_MODEL))
    fleet.vedette("rollout", "abort", begun)
    fleet.until(begun, "aborted")

    # The other is sound, and of no use.
    release(root, keys, str(bad_updates / BLIND))
    begun = fleet.roll_out(BLIND, *at_canary)
    fleet.until(begun, "halted")
    said = fleet.until_reported(canary, "rejected", DEFAULT_MODEL)
    assert "objects a frame where the current model finds" in said["reason"]
    fate, why = fleet.rollout(begun)["orders"][canary]
    assert (fate, "objects a frame" in why) == ("failed", True)
    fleet.vedette("rollout", "abort", begun)
    fleet.until(begun, "aborted")

    # Without the trial it gets as far as the probation.
    begun = fleet.roll_out(BLIND, *at_canary, "--shadow-frames", "0")
    fleet.until(begun, "halted")
    said = fleet.until_reported(canary, "rolled_back", DEFAULT_MODEL)
    assert "it finds 0.00 objects a frame" in said["reason"]
    assert said["quarantined"] == [said["target"]["digest"]]
    assert fleet.rollout(begun)["orders"].keys() == {canary}

    fleet.until_alerts_of(canary, digest(DEFAULT_MODEL))
    fleet.check_no_gap()
    assert of_the_update(fleet.reported(other)) == untouched
    assert {alert.model_digest for alert in fleet.alerts(other)} == {digest(DEFAULT_MODEL)}
    fleet.children.check()


def held_in(process: subprocess.Popen[bytes], state: Callable[[], str]) -> str:
    """Its state, at which it stands still from here on: some last for no longer than a signal is under way."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return state()


@pytest.mark.parametrize("fleet", [1], indirect=True)
def test_killed_in_the_midst_and_commanded(fleet: Fleet) -> None:
    (device,) = fleet.devices
    fleet.until_alerts_of(device, digest(DEFAULT_MODEL))
    begun = fleet.roll_out(UPGRADE_MODEL, "--stages", "100")

    killed: list[str] = []
    until = time.monotonic() + SETTLED_S
    while (state := fleet.record(device)) != "committed":
        assert time.monotonic() < until, f"{state} after kills in {killed}"
        assert state not in {"failed", "rejected", "rolled_back", "rollback_failed"}, fleet.reported(device)
        if state in KILLED_IN and state not in killed:
            agent = fleet.agents[device].process
            if (state := held_in(agent, lambda: fleet.record(device))) in KILLED_IN and state not in killed:
                agent.kill()
                agent.wait()
                killed.append(state)
                fleet.children.stop(fleet.agents[device])
                fleet.start_again(device)
            else:
                agent.send_signal(signal.SIGCONT)
        threading.Event().wait(0.002)
    assert {"proving", "probation"} <= set(killed)
    fleet.until(begun, "finished")
    fleet.until_alerts_of(device, digest(UPGRADE_MODEL))

    done = json.loads(fleet.vedette("command", device, "ping", "--wait", "--json").splitlines()[-1])
    assert UPGRADE_MODEL in json.dumps(done)

    restarted = fleet.agents[device]
    fleet.vedette("command", device, "restart")
    assert restarted.process.wait(BOUND_S) == EX_RESTART
    fleet.children.stop(restarted)
    fleet.start_again(device)
    fleet.until_alerts_of(device, digest(UPGRADE_MODEL))

    fleet.vedette("command", device, "rollback-model", "--wait")
    fleet.until_reported(device, "rolled_back", DEFAULT_MODEL)
    fleet.until_alerts_of(device, digest(DEFAULT_MODEL))
    # There is nothing to go back to any more.
    fleet.vedette("command", device, "rollback-model", "--wait", code=6)
    fleet.check_no_gap()


def test_the_cloud_says_which_is_right_and_a_small_device_swaps_in_place(asking: Fleet) -> None:
    fleet = asking
    (device,) = fleet.devices
    asks = ("--ask-disagreements", "10", "--shadow-frames", DISPUTED)
    begun = fleet.roll_out(UPGRADE_MODEL, "--stages", "100", *asks)
    fleet.until(begun, "finished")
    said = fleet.until_reported(device, "committed", UPGRADE_MODEL)
    trial = said["trial"]
    assert 0 < trial["asked"] <= 10
    assert 0 < trial["candidate_right"] + trial["current_right"] <= trial["asked"]
    assert said["reason"].startswith("opened beside the model before; ")
    asked = [json.loads(row[0]) for row in fleet.store.rows("SELECT message FROM questions")]
    about = [question for question in asked if question["reason"] == "disagreement"]
    assert len(about) == trial["asked"]
    assert {question.get("alert_id") for question in about} == {None}
    assert {question["model_digest"] for question in about} <= {digest(UPGRADE_MODEL), digest(DEFAULT_MODEL)}

    agent = fleet.agents[device]
    agent.process.terminate()
    agent.process.wait(BOUND_S)
    fleet.children.stop(agent)
    fleet.start_again(device, "in-place")
    fleet.until_alerts_of(device, digest(UPGRADE_MODEL))
    fleet.vedette("rollout", "rollback", begun)
    fleet.until(begun, "rolled_back")
    said = fleet.until_reported(device, "committed", DEFAULT_MODEL)
    assert said["reason"].startswith("opened in place; ")
    sys.stdout.write(f"\n{json.dumps({'trial': trial, 'in_place': said['reason']})}\n")
    fleet.until_alerts_of(device, digest(DEFAULT_MODEL))
    fleet.check_no_gap()
    fleet.children.check()
