"""The demo from start to end: enrol, start the service and the agents, show, stop in order, tell the figures."""

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

import httpx
from pydantic import ValidationError

from agent.capture.settings import CameraSettings, SourceKind
from cloud.adapters.data_dir import Addresses, DataDir
from cloud.store.alerts import AlertStore, Audit
from cloud.store.database import open_database
from vision.describe import describe
from vision.models import find_model
from workbench.clip import demo_clip
from workbench.demo.figures import Figures
from workbench.demo.looking import LOOK_EVERY_S, Looking
from workbench.demo.parts import agent_folder, cloud_folder, enrol, start_agent, start_service, token_file
from workbench.demo.plan import DEVICES, Device, Scene, agent_config
from workbench.demo.processes import Child, Children
from workbench.demo.screen import Screen
from workbench.errors import DemoFailed


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person asked for.

    Attributes:
        source: A webcam's number, a file or a URL; None is the demo clip.
        duration_s: None runs until Ctrl-C.
        data_dir: Kept afterwards; None is a temporary folder that is removed.
        open_browser: Where there is a screen.
        started_at: Wall-clock seconds from which `first_alert_s` counts.
    """

    source: str | None
    duration_s: float | None
    data_dir: Path | None
    http_port: int
    open_browser: bool
    started_at: float


def run_demo(options: DemoOptions, screen: Screen) -> Figures:
    """Run it all; the figures at its end.

    Raises:
        VedetteError: A part can't start, or died.
    """
    # Before signals are only noted: fetching the clip may take minutes, and Ctrl-C shall end it at once.
    scene, described = chosen_scene(options.source, screen.say)
    stop = threading.Event()
    with _folder(options.data_dir) as folder, _stopped_by_signals(stop):
        enrol(folder, [device.name for device in scene.devices])
        children = Children(folder)
        try:
            return _watched(options, screen, folder, scene, described, children, stop)
        finally:
            children.stop_all()


def _watched(
    options: DemoOptions,
    screen: Screen,
    folder: Path,
    scene: Scene,
    described: str,
    children: Children,
    stop: threading.Event,
) -> Figures:
    service, addresses = start_service(children, folder, ["--http-port", str(options.http_port)])
    with httpx.Client(base_url=addresses.http, timeout=5.0) as cloud:
        figures = Figures(source=described, dashboard=addresses.dashboard)
        looking = Looking(cloud, figures, options.started_at)
        agents = [_agent(children, folder, device, scene, addresses) for device in scene.devices]
        if options.open_browser:
            webbrowser.open(figures.dashboard)
        until = None if options.duration_s is None else time.time() + options.duration_s
        screen.begin()
        try:
            while not stop.wait(LOOK_EVERY_S) and (until is None or time.time() < until):
                children.check()
                looking.look(agents)
                screen.show(figures, time.time() - options.started_at)
        finally:
            screen.end()
        screen.say("Stopping the agents")
        for agent in agents:
            children.stop(agent)
        looking.settle()
    children.stop(service)
    stored = asyncio.run(_stored(cloud_folder(folder)))
    figures.alerts_stored, figures.duplicates = stored.alerts - looking.before.alerts_total, stored.repeated
    return figures


def _agent(children: Children, folder: Path, device: Device, scene: Scene, addresses: Addresses) -> Child:
    data = agent_folder(folder, device.name) / "data"
    token = token_file(folder, device.name)
    told = agent_config(device, scene, data, token, addresses.mqtt, addresses.http)
    return start_agent(children, folder, device.name, told)


async def _stored(data: DataDir) -> Audit:
    async with open_database(data.database_url) as database:
        return await AlertStore(database).audit()


def chosen_scene(source: str | None, say: Callable[[str], None]) -> tuple[Scene, str]:
    """The source as the agents are told, and as a person is.

    Raises:
        DemoFailed: It can't be a source.
        VedetteError: The model, or the demo's clip, can't be had.
    """
    manifest = describe(find_model("default")).manifest
    everything = [label for label in manifest.labels if label]
    if source is None:
        clip = demo_clip(say)
        people = ["person"] if clip.path.name == "vtest.avi" else everything
        return Scene(str(clip.path), recorded=True, labels=people, devices=DEVICES), clip.description
    path = Path(source)
    camera = _camera(str(path.resolve()) if path.exists() else source)
    recorded = camera.kind is SourceKind.RECORDED
    if recorded and not path.exists():
        raise DemoFailed(
            f"there is no file or folder {source}",
            "Name a video, a folder of pictures, a webcam by its number, or an rtsp:// or http:// URL with --source.",
        )
    # A webcam serves one program at a time.
    devices = DEVICES[:1] if camera.kind is SourceKind.DEVICE else DEVICES
    return Scene(camera.source, recorded, everything, devices), camera.redacted_source


def _camera(source: str) -> CameraSettings:
    try:
        return CameraSettings(name="source", source=source)
    except ValidationError as refused:
        raise DemoFailed(
            f"--source can't be used: {refused.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
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
