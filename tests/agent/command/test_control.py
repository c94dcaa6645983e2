"""What commands do to the agent: muting, overriding rules, pictures and reports."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from agent.adapters.clip_file import DiskClips, shrunk
from agent.app.control import AgentControl
from agent.app.live_config import LiveConfig
from agent.app.overrides import OVERRIDES_FILE, load_overridden
from agent.command.actions import Actions
from agent.command.arguments import (
    ClipArguments,
    ConfigArguments,
    LogLevelArguments,
    MuteArguments,
    NoArguments,
    SnapshotArguments,
)
from agent.command.clip import Recorder
from agent.command.errors import CommandRefused
from agent.command.frames import WatchedFrames
from agent.command.log_tail import LogTail
from agent.command.ports import Picture, Task
from agent.decide.settings import RuleSettings
from agent.deliver.messages import Boot
from agent.deliver.telemetry import Snapshot
from agent.domain import Frame
from agent.errors import ConfigInvalid
from agent.judging.inbox import Event, Inbox, Mute, NewRules
from tests.agent.decide.scene import Scene, person, rule
from tests.agent.redact.doors import plain_door

from .rig import CLOUD, ManualClock

FILE = """
device = "cam-1"
data_dir = "{data}"
[[cameras]]
name = "yard"
source = "clip.mp4"
[[rules]]
name = "people"
labels = ["person"]
"""
BOUND_S = 60.0
DOGS = '[[rules]]\nname = "dogs"\nlabels = ["dog"]\n'


class NoFigures:
    def snapshot(self) -> Snapshot:
        return Snapshot(1, 50, 1, asks=7, asks_again=2, answers=6, asks_failed=1, errors={"LinkLost": 2})


class Frames:
    def __init__(self, *frames: Frame) -> None:
        self.frames = list(frames)

    def take(self, timeout_s: float) -> Frame | None:
        return self.frames.pop(0) if self.frames else None

    def wake(self) -> None:
        pass


class Kept:
    def __init__(self) -> None:
        self.put_in: dict[str, bytes] = {}

    async def put(self, command_id: str, picture: Picture) -> None:
        self.put_in[command_id] = picture.jpeg


class Rig:
    def __init__(self, folder: Path, inbox: Inbox | None = None) -> None:
        self.path = folder / "agent.toml"
        self.path.write_text(FILE.format(data=folder / "data"))
        (folder / "data").mkdir(exist_ok=True)
        config = load_overridden(self.path)
        self.inbox = inbox or Inbox(lambda: None)
        self.live_config = LiveConfig(self.path, config, self.inbox)
        self.tail = LogTail()
        self.control = AgentControl(
            live_config=self.live_config, boot=Boot("cam-1", "b0" * 16, "0.1.0", CLOUD, "sha256:" + "ab" * 32),
            figures=NoFigures(), inbox=self.inbox, clock=ManualClock(), tail=self.tail, model=lambda: self.model,
        )  # fmt: skip
        self.model = "ssd 1"
        self.supply = WatchedFrames(Frames(Frame("yard", 0, np.zeros((4, 4, 3), np.uint8), 1.0)), ("yard",))
        self.kept = Kept()
        actions = Actions(
            self.control,
            self.supply,
            encode=lambda frame, *_: Picture(frame.camera, b"jpeg", None),
            snapshots=self.kept,
            recorder=Recorder(self.supply, DiskClips(folder / "clips"), plain_door().cut, shrunk),
            clips=None,
            models=lambda: None,
        )
        self.table = actions.table()

    def rules_handed_in(self) -> list[tuple[RuleSettings, ...]]:
        """To the judging thread, since this was asked last."""
        given = [event for event, _ in iter(self.inbox.take, None)]
        return [event.rules for event in given if isinstance(event, NewRules)]

    async def do(self, name: str, arguments: object = NoArguments()):
        return await self.table[name](Task("c1", arguments, lambda *_: None))


def test_a_mute_holds_new_alerts_back_and_lets_them_come_afterwards() -> None:
    scene = Scene(rule(), rule(name="cars", labels=("car",)))
    scene.book.mute("people", "front", scene.now + 10)
    assert scene.frames(5, person(), person(2, x=0.1, label="car")) == [("new", "confirmed")]
    assert scene.told[0].rule == "cars"
    assert scene.book.counts["alerts_muted"] > 0
    assert scene.frames(5, person(3, x=0.8), camera="back") == [("new", "confirmed")]
    scene.now += 10
    scene.frames(1, person())
    raised = [(change.rule, change.camera) for change in scene.told if change.revision == 0]
    assert raised == [("cars", "front"), ("people", "back"), ("people", "front")]
    scene.book.mute(None, None, scene.now + 10)
    assert scene.frames(5, person(9, x=0.9)) == []
    scene.book.mute(None, None, scene.now)
    assert scene.frames(1, person(9, x=0.9)) == [("new", "confirmed")]


async def test_a_mute_goes_to_the_judging_thread(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    doing = asyncio.create_task(rig.do("mute", MuteArguments(rule="people", for_s=5)))
    while (waiting := rig.inbox.take()) is None:  # noqa: ASYNC110 - the inbox is a thread's, it wakes no task
        await asyncio.sleep(0)
    assert waiting[0] == Mute("people", None, 5)
    waiting[1].set_result(None)
    assert await doing == {"for_s": 5}
    for wrong in (MuteArguments(rule="cats", for_s=5), MuteArguments(camera="roof", for_s=5)):
        with pytest.raises(CommandRefused, match="there is no"):
            await rig.do("mute", wrong)


async def test_overrides_are_kept_over_a_restart_and_taken_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.do("set-config", ConfigArguments(toml=DOGS))
    assert [one.name for one in load_overridden(rig.path).rules] == ["dogs"]
    await rig.do("set-config", ConfigArguments(config={"asking": {"deadline_s": 7}}))
    config = load_overridden(rig.path)
    assert (config.rules[0].name, config.asking.deadline_s) == ("dogs", 7)
    assert rig.rules_handed_in()[-1] == config.rules
    await rig.do("set-config", ConfigArguments(reset=True))
    assert [one.name for one in load_overridden(rig.path).rules] == ["people"]


class StalledInbox(Inbox):
    """Takes what is put first only once it is let."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.reached, self.let, self.overtaken = threading.Event(), threading.Event(), threading.Event()

    def put(self, event: Event) -> Future[None]:
        if self.reached.is_set():
            self.overtaken.set()
        else:
            self.reached.set()
            assert self.let.wait(BOUND_S)
        return super().put(event)


async def test_a_command_waits_for_a_reload_and_is_not_undone_by_it(tmp_path: Path) -> None:
    inbox = StalledInbox()
    rig = Rig(tmp_path, inbox)
    rig.path.write_text(rig.path.read_text().replace("people", "persons"))
    reloading = asyncio.create_task(asyncio.to_thread(rig.live_config.reload))
    assert await asyncio.to_thread(inbox.reached.wait, BOUND_S)
    commanded = asyncio.create_task(rig.do("set-config", ConfigArguments(toml=DOGS)))
    overtaken = await asyncio.to_thread(inbox.overtaken.wait, 0.3)
    inbox.let.set()
    assert not overtaken
    assert await reloading == ["rules"]
    assert await commanded == {"changed": ["rules"]}
    assert [[rule.name for rule in rules] for rules in rig.rules_handed_in()] == [["persons"], ["dogs"]]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel("ERROR")  # as `--log-level error`, over the file's `info`
    yield logger
    logger.setLevel(before)


async def test_a_log_level_that_a_command_set_holds_until_a_reload(root: logging.Logger, tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.do("set-log-level", LogLevelArguments(level="debug"))
    await rig.do("set-config", ConfigArguments(toml=DOGS))
    assert root.level == logging.DEBUG
    assert rig.live_config.reload() == []
    assert root.level == logging.ERROR
    rig.path.write_text('log_level = "warning"\n' + rig.path.read_text())
    assert rig.live_config.reload() == ["log_level"]
    await rig.do("set-log-level", LogLevelArguments(level="debug"))
    rig.live_config.reload()
    assert root.level == logging.WARNING


async def test_a_command_adds_masks_and_lifts_none_of_the_devices_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    own, more = ({"camera": "yard", "polygon": [[x, 0], [1, 0], [1, 1]]} for x in (0.25, 0.5))
    rig.path.write_text(rig.path.read_text() + '[[masks]]\ncamera = "yard"\npolygon = [[0.25, 0], [1, 0], [1, 1]]\n')
    for wanted, left in ([], [0.25]), ([more], [0.25, 0.5]), ([own], [0.25]):
        await rig.do("set-config", ConfigArguments(config={"masks": wanted}))
        assert [mask.polygon[0][0] for mask in load_overridden(rig.path).masks] == left


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"toml": '[[rules]]\nname = "x"\n'}, "labels"),
        ({"toml": "[["}, "not TOML"),
        ({"toml": '[link]\nurl = "mqtt://evil"\n'}, "link can't be set"),
        ({"toml": "[asking]\ndeadline_s = 08:00:00\n"}, "quotes"),
        ({"config": {"masks": [{"camera": "roof", "polygon": [[0, 0], [1, 0], [1, 1]]}]}}, "no camera 'roof'"),
    ],
)
async def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path, arguments, said: str) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(CommandRefused, match=said):
        await rig.do("set-config", ConfigArguments(**arguments))
    assert not (tmp_path / "data" / OVERRIDES_FILE).exists()
    assert rig.rules_handed_in() == []


@pytest.mark.parametrize("content", ["{torn", "[]", '{"zones": [{"name": "a", "camera": "gone"}]}', '{"link": {}}'])
def test_an_override_that_fits_no_more_does_not_keep_the_agent_from_starting(tmp_path: Path, content: str) -> None:
    rig = Rig(tmp_path)
    (tmp_path / "data" / OVERRIDES_FILE).write_text(content)
    assert [one.name for one in load_overridden(rig.path).rules] == ["people"]
    rig.path.write_text("device = 3")
    with pytest.raises(ConfigInvalid):
        load_overridden(rig.path)


async def test_a_snapshot_is_the_next_frame(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    doing = asyncio.create_task(rig.do("snapshot", SnapshotArguments()))
    while not rig.supply._awaited:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    assert rig.supply.take(0.0) is not None
    assert (await doing)["bytes"] == 4
    assert rig.kept.put_in == {"c1": b"jpeg"}
    with pytest.raises(CommandRefused, match="no camera 'roof'"):
        await rig.do("snapshot", SnapshotArguments(camera="roof"))


async def test_without_a_cloud_nothing_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="no cloud to send a clip to"):
        await Rig(tmp_path).do("capture-clip", ClipArguments())


async def test_without_an_update_worker_its_commands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="no model updates"):
        await Rig(tmp_path).do("rollback-model")


async def test_a_report_is_bounded_and_ends_with_the_latest_lines(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for number in range(500):
        rig.tail.handle(logging.LogRecord("x", logging.INFO, "", 0, f"line {number} " + "ü" * 200, None, None))
    report = (await rig.do("diagnose"))["report"]
    assert {"errors: 2 LinkLost", "bytes sent: none"} <= set(report.splitlines())
    assert "line 499" in report.splitlines()[-1]
    assert len(report.encode()) < 12_000


async def test_what_it_says_of_itself_follows_the_model(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.model = "nanodet 2"
    assert rig.control.facts()["model"] == "nanodet 2"
    report = rig.control.report().splitlines()
    assert "model: nanodet 2" in report
    assert "questions: 7, 6 answered, 1 failed, 2 again with the whole frame" in report
