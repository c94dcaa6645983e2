"""The demo from start to end: enrol, start the service and the agents, show, stop in order, tell the figures."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import httpx
import psutil

from agent.capture.settings import CameraSettings, SourceKind
from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.fleet.enrolment import Enrolment
from cloud.store.alerts import AlertStore
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from cloud.web.views import DeviceView, Summary
from vision.describe import describe
from vision.models import find_model
from workbench.clip import demo_clip
from workbench.demo.figures import Figures
from workbench.demo.plan import DEVICES, Device, Scene, agent_config
from workbench.demo.processes import Child, Children
from workbench.demo.screen import Screen
from workbench.errors import DemoFailed

READY_S: Final = 30.0
"""Loading two models on a slow disk takes a few seconds; more than this is a fault worth showing."""
LOOK_EVERY_S: Final = 0.25
SETTLE_S: Final = 3.0
"""How long after the agents' end their last messages may take to be stored."""
MIB: Final = 2**20
TOKEN: Final = "token"  # noqa: S105 - a file name


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
    stop = threading.Event()
    with _folder(options.data_dir) as folder, _stopped_by_signals(stop):
        scene, described = _scene(options.source, screen.say)
        asyncio.run(_enrol(folder, DEVICES))
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
    service, addresses = _service(children, folder, options.http_port)
    agents = [_agent(children, folder, device, scene, addresses) for device in DEVICES]
    figures = Figures(source=described, dashboard=addresses["dashboard"])
    if options.open_browser:
        webbrowser.open(figures.dashboard)
    until = None if options.duration_s is None else time.time() + options.duration_s
    with httpx.Client(base_url=addresses["http"], timeout=5.0) as cloud:
        screen.begin()
        try:
            while not stop.wait(LOOK_EVERY_S) and (until is None or time.time() < until):
                children.check()
                _look(cloud, figures, agents, options.started_at)
                screen.show(figures, time.time() - options.started_at)
        finally:
            screen.end()
        screen.say("Stopping the agents")
        for agent in agents:
            children.stop(agent)
        _settle(cloud, figures, options.started_at)
    children.stop(service)
    stored = asyncio.run(_stored(folder / "cloud"))
    figures.alerts_stored, figures.duplicates = stored
    return figures


def _look(cloud: httpx.Client, figures: Figures, agents: list[Child], started_at: float) -> None:
    """Read the figures where the dashboard reads them."""
    try:
        summary = Summary.model_validate_json(cloud.get("/api/summary").content)
        devices = [DeviceView.model_validate(one) for one in cloud.get("/api/devices").json()]
    except httpx.HTTPError as failed:
        raise DemoFailed(f"the service does not answer: {failed}", "See cloud.log in the demo's folder.") from None
    figures.frames = summary.frames
    figures.alerts_stored = summary.alerts_total
    figures.alerts_raised = sum(
        sum(device.telemetry.alerts.values()) for device in devices if device.telemetry is not None
    )
    figures.confirmed = summary.alerts.confirmed
    figures.retracted = summary.alerts.retracted
    figures.provisional = summary.alerts.provisional
    figures.asks, figures.answers = summary.asks, summary.answers
    figures.bytes_sent, figures.bytes_if_streamed = summary.bytes_sent, summary.bytes_if_streamed
    figures.devices = {device.device: device.presence.value for device in devices}
    if figures.first_alert_s is None and summary.alerts_total:
        figures.first_alert_s = round(time.time() - started_at, 2)
    memory = [_rss_mib(agent) for agent in agents]
    figures.agent_rss_mib = round(max([figures.agent_rss_mib, *memory]), 1)


def _settle(cloud: httpx.Client, figures: Figures, started_at: float) -> None:
    """Wait until what the agents delivered at their end is in the figures."""
    until = time.monotonic() + SETTLE_S
    while True:
        _look(cloud, figures, [], started_at)
        gone = all(state == "offline" for state in figures.devices.values())
        if (gone and figures.alerts_raised <= figures.alerts_stored) or time.monotonic() > until:
            return
        threading.Event().wait(LOOK_EVERY_S)


def _rss_mib(agent: Child) -> float:
    try:
        return float(psutil.Process(agent.process.pid).memory_info().rss) / MIB
    except psutil.NoSuchProcess:
        return 0.0


# --- the parts ----------------------------------------------------------------------------------------------------


def _service(children: Children, folder: Path, http_port: int) -> tuple[Child, dict[str, str]]:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "workbench", "serve", "--json", "--data-dir", str(folder / "cloud")]
    command += ["--http-port", str(http_port), "--mqtt-port", "0"]
    child = children.start("cloud", command, {}, stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        ready, _, _ = select.select([said], [], [], READY_S)
        line = said.readline() if ready else b""
    if not line:
        children.check()
        raise DemoFailed(f"the service was not ready within {READY_S:.0f} s", f"See {child.log}.")
    addresses: dict[str, str] = json.loads(line)
    return child, addresses


def _agent(children: Children, folder: Path, device: Device, scene: Scene, addresses: dict[str, str]) -> Child:
    own = folder / device.name
    config = own / "agent.toml"
    told = agent_config(device, scene, own / "data", own / TOKEN, addresses["mqtt"], addresses["http"])
    config.write_text(told, "utf-8")
    return children.start(device.name, [sys.executable, "-m", "agent", "run", "--config", str(config)], {})


async def _enrol(folder: Path, devices: Sequence[Device]) -> None:
    """Take in the devices that have no token yet; a kept data folder has them."""
    data = DataDir(folder / "cloud")
    data.make()
    async with open_database(data.database_url) as database:
        enrolment = Enrolment(DeviceStore(database), SystemClock())
        for device in devices:
            token_file = folder / device.name / TOKEN
            if token_file.is_file():
                continue
            token_file.parent.mkdir(exist_ok=True)
            token = await enrolment.enroll(device.name)
            token_file.touch(mode=0o600)
            token_file.write_text(token)


async def _stored(folder: Path) -> tuple[int, int]:
    """Alerts in the store, and alert messages stored more than once."""
    async with open_database(DataDir(folder).database_url) as database:
        audit = await AlertStore(database).audit()
        return audit.alerts, audit.repeated


def _scene(source: str | None, say: Callable[[str], None]) -> tuple[Scene, str]:
    manifest = describe(find_model("default")).manifest
    everything = [label for label in manifest.labels if label]
    if source is None:
        clip = demo_clip(say)
        people = ["person"] if clip.path.name == "vtest.avi" else everything
        return Scene(str(clip.path), recorded=True, labels=people), clip.description
    path = Path(source)
    camera = CameraSettings(name="source", source=str(path.resolve()) if path.exists() else source)
    return Scene(camera.source, camera.kind is SourceKind.RECORDED, everything), camera.redacted_source


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
