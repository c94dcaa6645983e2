"""The demo from start to end: enrol, start the service and the agents, show, stop in order, tell the figures.

The first alert is what a person waits for. So what a rollout needs (keys but for the root of trust, a signed and
published model) is made afterwards, in the background, and of a larger fleet the first two devices start before the
others, one by one: that spreads the load, and has them see the clip at different times.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import httpx
from pydantic import ValidationError

from agent.capture.settings import CameraSettings, SourceKind
from cloud.adapters.data_dir import DataDir
from cloud.store.alerts import AlertStore, Audit
from cloud.store.database import open_database
from vision.describe import describe
from vision.models import UPGRADE_MODEL, find_model
from wire.messages import Presence
from workbench.clip import demo_clip
from workbench.demo.figures import Figures
from workbench.demo.looking import LOOK_EVERY_S, Looking
from workbench.demo.parts import (
    agent_folder,
    cloud_folder,
    enrol_over_tls,
    identity_folder,
    served_over_tls,
    start_agent,
    start_service,
)
from workbench.demo.plan import DEVICES, FLEET, Device, Scene, agent_config
from workbench.demo.processes import Child, Children
from workbench.demo.release import Releasing, Rolling, command_for, make_trust
from workbench.demo.screen import Screen
from workbench.errors import DemoFailed, DemoRefused


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person asked for.

    Attributes:
        source: A webcam's number, a file or a URL; None is the demo clip.
        duration_s: None runs until Ctrl-C.
        data_dir: Kept afterwards; None is a temporary folder that is removed.
        open_browser: Where there is a screen.
        devices: How many agents.
        rollout: The built model to bring to all of them while they run; None is none.
        started_at: Wall-clock seconds from which `first_alert_s` counts.
    """

    source: str | None
    duration_s: float | None
    data_dir: Path | None
    http_port: int
    open_browser: bool
    started_at: float
    devices: int = len(DEVICES)
    rollout: str | None = None


ANSWERS_S: Final = 30.0
"""The service shares a machine with agents that all start at once; where it is slow the figures are, too."""
NEXT_AGENT_S: Final = 1.5
"""Between the starts of agents after the first two; starting takes one about a second of a core."""
RELEASE_AFTER_S: Final = 20.0
"""Where no alert comes, such as from a camera that sees nobody, the release is made all the same."""
ROLL_OUT_AFTER_S: Final = 5.0
"""After the first alert, so that one sees what the model before was like."""
RELEASED_S: Final = 15.0
"""A release under way is waited for at the end; signing and publishing take a second or two."""


def run_demo(options: DemoOptions, screen: Screen) -> Figures:
    """Run it all; the figures at its end.

    Raises:
        VedetteError: A part can't start, or died.
    """
    # Before signals are only noted: fetching the clip may take minutes, and Ctrl-C shall end it at once.
    scene, described = chosen_scene(options.source, screen.say, options.devices)
    if options.rollout is not None:
        find_model(options.rollout)
    stop = threading.Event()
    with _folder(options.data_dir) as folder, _stopped_by_signals(stop):
        root = make_trust(folder)
        children = Children(folder)
        try:
            return _Running(options, screen, folder, root, scene, children).watched(described, stop)
        finally:
            children.stop_all()


class _Running:
    """One run of the demo."""

    def __init__(
        self, options: DemoOptions, screen: Screen, folder: Path, root: Path, scene: Scene, children: Children
    ) -> None:
        self._options = options
        self._screen = screen
        self._folder = folder
        self._root = root
        self._scene = scene
        self._children = children
        self._agents: list[Child] = []
        self._releasing = Releasing(folder, options.rollout or UPGRADE_MODEL)
        self._rolling: Rolling | None = None
        self._told = False

    def watched(self, described: str, stop: threading.Event) -> Figures:
        """Start all, show it until it is to end, and stop it in order; the figures."""
        options, screen = self._options, self._screen
        asked = [*served_over_tls(self._folder), "--http-port", str(options.http_port)]
        service, addresses = start_service(self._children, self._folder, asked)
        enrol_over_tls(self._folder, [device.name for device in self._scene.devices], addresses)
        with httpx.Client(base_url=addresses.http, timeout=ANSWERS_S) as cloud:
            figures = Figures(source=described, dashboard=addresses.dashboard)
            looking = Looking(cloud, figures, options.started_at)
            for device in self._scene.devices[: len(DEVICES)]:
                self._start(device)
            if options.open_browser:
                webbrowser.open(figures.dashboard)
            began = time.time()
            screen.begin(figures.dashboard)
            try:
                while not stop.wait(LOOK_EVERY_S) and not self._is_over(began):
                    self._children.check()
                    self._start_due(time.time() - began)
                    looking.look(self._agents)
                    self._roll_out(cloud, figures, time.time() - began)
                    screen.show(figures, time.time() - options.started_at)
            finally:
                screen.end()
            # What came since the last look counts, too.
            looking.look(self._agents)
            self._look_at_rollout(figures)
            screen.say("Stopping the agents")
            for agent in self._agents:
                self._children.stop(agent)
            looking.settle()
            self._releasing.join(RELEASED_S)
        self._children.stop(service)
        stored = asyncio.run(_stored(cloud_folder(self._folder)))
        figures.alerts_stored, figures.duplicates = stored.alerts - looking.before.alerts_total, stored.repeated
        return figures

    def _is_over(self, began: float) -> bool:
        return self._options.duration_s is not None and time.time() - began >= self._options.duration_s

    def _start(self, device: Device) -> None:
        told = agent_config(
            device,
            self._scene,
            agent_folder(self._folder, device.name) / "data",
            identity=identity_folder(self._folder, device.name),
            root_file=self._root,
        )
        self._agents.append(start_agent(self._children, self._folder, device.name, told))

    def _start_due(self, elapsed_s: float) -> None:
        """Of a larger fleet, the next one, when its time has come."""
        waiting = self._scene.devices[len(self._agents) :]
        if waiting and elapsed_s >= (len(self._agents) - len(DEVICES) + 1) * NEXT_AGENT_S:
            self._start(waiting[0])

    def _look_at_rollout(self, figures: Figures) -> None:
        if self._rolling is not None:
            self._rolling.look()
            figures.updated = self._rolling.figures.updated

    def _roll_out(self, cloud: httpx.Client, figures: Figures, elapsed_s: float) -> None:
        """Publish the model, say how to roll it out, and do it where that was asked."""
        if self._rolling is not None:
            self._look_at_rollout(figures)
            return
        first = figures.first_alert_s
        if len(self._agents) < len(self._scene.devices) or (first is None and elapsed_s < RELEASE_AFTER_S):
            return
        self._releasing.begin()
        ref, failed = self._releasing.published, self._releasing.failed
        if failed is not None and self._options.rollout is not None:
            raise failed
        if ref is None:
            return
        if not self._told:
            self._told = True
            self._screen.say(
                f"A better model is published. Bring it to all devices, in another terminal:\n"
                f"  {command_for(self._folder, ref)}\n"
            )
        online = [name for name, state in figures.devices.items() if state == Presence.ONLINE]
        due = (first or 0.0) + ROLL_OUT_AFTER_S <= time.time() - self._options.started_at
        if self._options.rollout is not None and due and len(online) == len(self._scene.devices):
            self._rolling = Rolling(self._folder, cloud, ref)
            figures.rollout = self._rolling.figures


async def _stored(data: DataDir) -> Audit:
    async with open_database(data.database_url) as database:
        return await AlertStore(database).audit()


def chosen_scene(source: str | None, say: Callable[[str], None], count: int = len(DEVICES)) -> tuple[Scene, str]:
    """The source as the agents are told, and as a person is.

    Raises:
        DemoRefused: It can't be a source.
        VedetteError: The model, or the demo's clip, can't be had.
    """
    manifest = describe(find_model("default")).manifest
    everything = [label for label in manifest.labels if label]
    if source is None:
        clip = demo_clip(say)
        people = ["person"] if clip.path.name == "vtest.avi" else everything
        return Scene(str(clip.path), recorded=True, labels=people, devices=FLEET[:count]), clip.description
    path = Path(source)
    camera = _camera(str(path.resolve()) if path.exists() else source)
    recorded = camera.kind is SourceKind.RECORDED
    if recorded and not path.exists():
        raise DemoRefused(
            f"there is no file or folder {source}",
            "Name a video, a folder of pictures, a webcam by its number, or an rtsp:// or http:// URL with --source.",
        )
    # A webcam serves one program at a time.
    devices = FLEET[:1] if camera.kind is SourceKind.DEVICE else FLEET[:count]
    return Scene(camera.source, recorded, everything, devices), camera.redacted_source


def _camera(source: str) -> CameraSettings:
    try:
        return CameraSettings(name="source", source=source)
    except ValidationError as refused:
        raise DemoRefused(
            f"--source can't be used: {refused.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        try:
            wanted.mkdir(parents=True, exist_ok=True)
        except OSError as refused:
            raise DemoRefused(
                f"the folder {wanted} can't be made: {refused.strerror}", "Choose another with --data-dir."
            ) from None
        yield wanted.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="vedette-demo-"))
    try:
        yield made
    except DemoFailed:
        # The logs are the only witnesses of what went wrong.
        raise
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    else:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
