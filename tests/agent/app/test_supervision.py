"""What a service manager hears from a running agent."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.app.supervision import READING_MARGIN_S, frame_patience_s
from agent.capture.settings import CameraSettings
from tests.agent.app.material import clip, person_model
from tests.agent.app.running import BOUND_S, AgentProcess, running
from tests.ports import free_port

pytestmark = pytest.mark.parts

WATCHDOG_S = 2.0


class Manager:
    """systemd's end of the socket; each word it hears is kept."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.heard: list[str] = []

    def hears(self, pattern: str, within_s: float = BOUND_S) -> str:
        """Wait for a word that begins like this; what came before is passed over."""
        until = time.monotonic() + within_s
        while True:
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                word = self.socket.recv(4096).decode()
            except TimeoutError:
                raise AssertionError(f"{pattern!r} was not heard, but {self.heard}") from None
            self.heard.append(word)
            if re.match(pattern, word):
                return word

    def silence(self) -> None:
        """Forget what waits to be heard."""
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.recv(4096)
            except BlockingIOError:
                return


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = tmp_path / "notify"
    manager = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1e6)))
    yield manager
    manager.socket.close()


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("material")
    return person_model(folder / "person"), clip(folder / "film.avi", frames=20)


def configured(tmp_path: Path, material: tuple[Path, Path], *, source: str = "", label: str = "person") -> Path:
    model, film = material
    file = tmp_path / "agent.toml"
    file.write_text(
        f"device = 'gate-1'\ndata_dir = '{tmp_path / 'data'}'\n[model]\nmodel = '{model}'\n"
        f"[[cameras]]\nname = 'front'\nsource = '{source or film}'\nloop = true\n"
        f"[[rules]]\nname = 'people'\nlabels = ['{label}']\n"
        f"[link]\nurl = 'mqtt://127.0.0.1:{free_port()}'\n"
    )
    return file


def stands_still(agent: AgentProcess) -> None:
    """Wait until every thread of it does; the signal says only that they are to."""
    process = psutil.Process(agent.process.pid)
    until = time.monotonic() + BOUND_S
    while {state_of(thread.id) for thread in process.threads()} != {psutil.STATUS_STOPPED}:
        assert time.monotonic() < until, "it runs on"
        threading.Event().wait(0.01)


def state_of(thread: int) -> str:
    """Empty where it is gone."""
    try:
        return psutil.Process(thread).status()
    except psutil.NoSuchProcess:
        return ""


def healthy(manager: Manager) -> None:
    manager.hears("WATCHDOG=1")
    manager.hears("STATUS=1 of 1 camera live, ")


def test_from_start_to_stop(manager: Manager, tmp_path: Path, material: tuple[Path, Path]) -> None:
    with running(configured(tmp_path, material)) as agent:
        manager.hears("READY=1")
        assert not [word for word in manager.heard if word.startswith("STATUS=1 of 1")], "ready is said first"
        said = manager.hears("STATUS=1 of 1 camera live, ")
        assert re.search(r"; \d+ alerts?, \d+ undelivered; not connected to mqtt://127.0.0.1:\d+; .+ on ", said)
        healthy(manager)
        agent.send(signal.SIGTERM)
        manager.hears("STOPPING=1")
        manager.hears("STATUS=stopping")
        assert agent.ends() == 0


def test_ready_with_all_cameras_lost_and_fed_all_the_same(
    manager: Manager, tmp_path: Path, material: tuple[Path, Path]
) -> None:
    with running(configured(tmp_path, material, source=str(tmp_path / "nowhere.avi"))):
        manager.hears("READY=1")
        manager.hears(r"STATUS=0 of 1 camera live \(front lost: ")
        manager.silence()
        manager.hears("WATCHDOG=1")


def test_reloads_good_and_bad(manager: Manager, tmp_path: Path, material: tuple[Path, Path]) -> None:
    file = configured(tmp_path, material)
    with running(file) as agent:
        manager.hears("READY=1")
        whole = file.read_text()
        file.write_text(whole.replace("[[rules]]", "[[rulez]]"))
        agent.send(signal.SIGHUP)
        manager.hears(r"RELOADING=1\nMONOTONIC_USEC=\d+$")
        manager.hears("STATUS=going on with the old configuration, since the new one can't be used: .*rulez")
        manager.hears("READY=1")
        manager.hears("STATUS=going on with the old configuration.*; 1 of 1 camera live, ")

        file.write_text(whole.replace("'people'", "'persons'"))
        agent.send(signal.SIGHUP)
        manager.hears("RELOADING=1")
        manager.hears("STATUS=configuration reloaded")
        manager.hears("READY=1")
        manager.hears("STATUS=1 of 1 camera live, ")


def test_an_agent_that_stands_still_is_not_fed(manager: Manager, tmp_path: Path, material: tuple[Path, Path]) -> None:
    with running(configured(tmp_path, material)) as agent:
        healthy(manager)
        agent.send(signal.SIGSTOP)
        stands_still(agent)
        manager.silence()
        with pytest.raises(AssertionError, match="was not heard"):
            manager.hears("WATCHDOG=1", within_s=WATCHDOG_S)
        agent.send(signal.SIGCONT)
        manager.hears("WATCHDOG=1")


def test_the_watchdog_s_signal_leaves_every_thread_in_the_log(
    manager: Manager, tmp_path: Path, material: tuple[Path, Path]
) -> None:
    with running(configured(tmp_path, material)) as agent:
        manager.hears("READY=1")
        agent.send(signal.SIGABRT)
        assert agent.ends() == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in agent.log
        assert re.search(r"agent/pipeline.py\", line \d+ in run", agent.log), "where the judging thread stood"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("[[rules]]", "[[rulez]]"), 78, "STATUS=ConfigInvalid: .*rulez"),
        (("[model]\nmodel = '", "[model]\nmodel = '/nowhere"), 1, "STATUS=ModelMissing: "),
    ],
)
def test_what_keeps_it_from_starting_stays_in_the_status(
    manager: Manager, tmp_path: Path, material: tuple[Path, Path], change: tuple[str, str], code: int, said: str
) -> None:
    file = configured(tmp_path, material)
    file.write_text(file.read_text().replace(*change))
    agent = AgentProcess(file)
    manager.hears(said)
    assert agent.ends() == code


def test_a_camera_s_own_pauses_are_waited_for() -> None:
    cameras = [
        CameraSettings(name="slow", source="/dev/video0", fps_limit=0.05),
        CameraSettings(name="far", source="rtsp://camera/1", stall_timeout_s=60),
    ]
    assert frame_patience_s(cameras) == 60 + 20 + READING_MARGIN_S
