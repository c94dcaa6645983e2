from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.app import updating
from agent.detect.detector import open_configured
from tests.agent.app.material import clip, demo_clip, folder, person_model
from tests.agent.app.running import BOUND_S, alerts, running, wait_for_alerts
from tests.agent.deliver.network import PASSWORDS, Nats
from tests.ports import free_port
from tests.vision.shared import built
from vision.detections import Detections, Image
from vision.detector import ModelDetector
from vision.errors import InferenceFailed
from wire.messages import AlertEvent, AlertState

pytestmark = pytest.mark.parts

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What runs in this process sets up the log of the whole of it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return person_model(tmp_path_factory.mktemp("model") / "person")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "film.avi", frames=20)


class Site:
    """A device's folder and configuration; keys are replaced by the tests."""

    def __init__(self, root: Path, model: Path, film: Path) -> None:
        self.data_dir = root / "data"
        self.path = root / "agent.toml"
        self.device = "gate-1"
        self.model = str(model)
        self.cameras = [("front", str(film), "loop = true")]
        self.rule = 'name = "people"\nlabels = ["person"]'
        self.more = ""
        self.link = f"url = 'mqtt://127.0.0.1:{free_port()}'\nreconnect_min_s = 0.1"

    def write(self) -> Path:
        cameras = "".join(
            f"[[cameras]]\nname = '{name}'\nsource = '{source}'\nreconnect_initial_s = 0.1\n{more}\n"
            for name, source, more in self.cameras
        )
        self.path.write_text(
            f"device = '{self.device}'\ndata_dir = '{self.data_dir}'\n[model]\nmodel = '{self.model}'\n{cameras}"
            # Who stands there all the time is never taken for gone, however long a busy machine looks away.
            f"[[rules]]\nend_after_s = 3600\n{self.rule}\n[link]\n{self.link}\n{self.more}\n"
        )
        return self.path


@pytest.fixture
def site(tmp_path: Path, model: Path, film: Path) -> Site:
    return Site(tmp_path, model, film)


# --- what keeps it from starting ----------------------------------------------------------------------------------


def failed(site: Site, capsys: Capture, *arguments: str) -> tuple[int, str]:
    code = main(["run", "--config", str(site.write()), *arguments])
    return code, capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [("gone", None, "ModelMissing"), ("cut", "cut", "ModelUnreadable"), ("text", "text", "ModelUnreadable")],
)
def test_a_model_that_can_not_be_used(
    site: Site, tmp_path: Path, model: Path, file: str, content: str | None, error: str, capsys: Capture
) -> None:
    path = tmp_path / f"{file}.tflite"
    whole = (model / "model.tflite").read_bytes()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "cut" else b"not a model, but a text")
    site.model = str(path)
    code, said = failed(site, capsys)
    assert code == 1
    assert said.startswith(f"{error}: ")


def test_a_data_dir_that_can_not_be_made(site: Site, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("in the way")
    site.data_dir = tmp_path / "file" / "data"
    code, said = failed(site, capsys)
    assert code == 1
    assert said.startswith("OutboxUnwritable: data_dir ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_dir_that_can_not_be_written(site: Site, capsys: Capture) -> None:
    site.data_dir.mkdir(mode=0o500)
    code, said = failed(site, capsys)
    assert code == 1
    assert said.startswith("OutboxUnwritable: ")


def test_an_outbox_that_is_a_folder(site: Site, capsys: Capture) -> None:
    (site.data_dir / "outbox.db").mkdir(parents=True)
    code, said = failed(site, capsys)
    assert code == 1
    assert said.startswith("OutboxUnwritable: ")


def test_a_certificate_that_is_not_there_ends_it_instead_of_hanging(site: Site, capsys: Capture) -> None:
    site.more = "[ask]\nurl = 'https://127.0.0.1:1'\nca_file = '/nowhere/ca.pem'"
    code, said = failed(site, capsys)
    assert code == 78
    assert said.startswith("ConfigInvalid: ")
    assert "/nowhere/ca.pem" in said
    assert [alert.event for alert in alerts(site.data_dir)] in ([], [AlertEvent.NEW, AlertEvent.END])


class Failing:
    """A detector that opens, and fails from some frame on."""

    def __init__(self, real: ModelDetector, error: Exception, after: int) -> None:
        self._real = real
        self._error = error
        self._left = after

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def detect(self, image: Image, min_score: float) -> Detections:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._real.detect(image, min_score)


def fails_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "open_configured", lambda settings: Failing(open_configured(settings), error, 10))


def test_a_model_that_fails_for_good_ends_it_by_name(
    site: Site, film: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    fails_with(InferenceFailed("the device is gone", "Plug it in."), monkeypatch)
    site.cameras = [("front", str(film), "pace = 'max'\nloop = true")]
    code, said = failed(site, capsys)
    assert (code, said) == (1, "InferenceFailed: the device is gone. Plug it in.")
    assert [(alert.event, alert.reason) for alert in alerts(site.data_dir)] == [
        (AlertEvent.NEW, "seen with certainty"),
        (AlertEvent.END, "the model failed"),
    ]


def test_a_fault_of_the_program_ends_it_too(site: Site, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(ZeroDivisionError("a fault"), monkeypatch)
    site.cameras = [("front", str(film), "pace = 'max'\nloop = true")]
    with pytest.raises(BaseExceptionGroup) as ended:
        main(["run", "--config", str(site.write())])
    assert ended.group_contains(ZeroDivisionError)


# --- to the end of a recording ------------------------------------------------------------------------------------


def test_until_end_ends_by_itself(site: Site, film: Path, capsys: Capture) -> None:
    site.cameras = [("front", str(film), "pace = 'max'"), ("back", str(film), "pace = 'max'")]
    assert main(["run", "--config", str(site.write()), "--until-end"]) == 0
    told = alerts(site.data_dir)
    for camera in ("front", "back"):
        assert [(a.event, a.sequence) for a in told if a.camera == camera] == [
            (AlertEvent.NEW, 1),
            (AlertEvent.END, 2),
        ]
    assert {alert.reason for alert in told if alert.event is AlertEvent.END} == {"the agent stopped"}


def test_until_end_says_what_ended_a_source_early(site: Site, film: Path, tmp_path: Path, capsys: Capture) -> None:
    site.cameras = [("front", str(film), "pace = 'max'"), ("back", str(tmp_path / "gone.avi"), "pace = 'max'")]
    code, said = failed(site, capsys, "--until-end")
    assert code == 1
    assert said.startswith("SourceMissing: ")
    assert {alert.camera for alert in alerts(site.data_dir)} == {"front"}


def test_a_folder_of_pictures_to_its_end(site: Site, tmp_path: Path) -> None:
    site.cameras = [("front", str(folder(tmp_path / "pictures", 5)), "pace = 'max'")]
    assert main(["run", "--config", str(site.write()), "--until-end"]) == 0
    assert len(alerts(site.data_dir)) == 2


def test_a_label_that_the_model_does_not_know_is_said(site: Site, film: Path, capsys: Capture) -> None:
    site.cameras = [("front", str(film), "pace = 'max'")]
    site.rule = 'name = "people"\nlabels = ["persn"]'
    assert main(["run", "--config", str(site.write()), "--until-end"]) == 0
    assert "no alert will be raised about 'persn'" in capsys.readouterr().err


# --- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_ends_the_open_alerts(site: Site, number: signal.Signals) -> None:
    with running(site.write()) as agent:
        wait_for_alerts(agent, site.data_dir, 1)
        agent.send(number)
        assert agent.ends() == 0
    assert "stopped" in agent.log
    assert "Traceback" not in agent.log
    new, end = alerts(site.data_dir)
    assert (new.event, new.state, new.label, new.camera) == (
        AlertEvent.NEW,
        AlertState.CONFIRMED,
        "person",
        "front",
    )
    assert (end.event, end.id, end.reason) == (AlertEvent.END, new.id, "the agent stopped")


@pytest.fixture
def silent_broker() -> Iterator[int]:
    """Takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in kept:
            connection.close()


@pytest.mark.system
def test_a_broker_that_says_nothing_holds_nothing_up(site: Site, silent_broker: int) -> None:
    site.link = f"url = 'mqtt://127.0.0.1:{silent_broker}'"
    with running(site.write()) as agent:
        wait_for_alerts(agent, site.data_dir, 1)
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0
    assert alerts(site.data_dir)[-1].event is AlertEvent.END


@pytest.mark.system
@pytest.mark.parametrize("impatient", [True, False])
async def test_a_second_interrupt_does_not_wait_for_the_cloud(site: Site, tmp_path: Path, impatient: bool) -> None:
    broker = Nats(tmp_path)
    await broker.start()
    try:
        # Nobody acks: a clean stop waits for as long as it may.
        site.link = f"url = 'mqtt://127.0.0.1:{broker.port}'\nstop_timeout_s = {BOUND_S if impatient else 0.2}"
        site.device = "cam-1"
        with running(site.write(), token=PASSWORDS["cam-1"]) as agent:
            agent.says("connected to mqtt://127.0.0.1")
            wait_for_alerts(agent, site.data_dir, 1)
            agent.send(signal.SIGINT)
            agent.says("stopping; interrupt once more")
            if impatient:
                wait_for_alerts(agent, site.data_dir, 2)
                agent.send(signal.SIGINT)
            assert agent.ends(BOUND_S / 2) == (130 if impatient else 0)
        assert "Traceback" not in agent.log
        assert [alert.event for alert in alerts(site.data_dir)] == [AlertEvent.NEW, AlertEvent.END]
    finally:
        await broker.kill()


@pytest.mark.system
def test_a_changed_rule_is_taken_over_without_a_restart(site: Site) -> None:
    with running(site.write()) as agent:
        wait_for_alerts(agent, site.data_dir, 1)
        site.rule = 'name = "anyone"\nlabels = ["person"]\nmin_score = 0.4'
        site.write()
        agent.send(signal.SIGHUP)
        agent.says("configuration reloaded: rules")
        told = wait_for_alerts(agent, site.data_dir, 3)
        assert [(alert.rule, alert.event) for alert in told] == [
            ("people", AlertEvent.NEW),
            ("people", AlertEvent.END),
            ("anyone", AlertEvent.NEW),
        ]
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0


@pytest.mark.system
def test_a_broken_file_changes_nothing(site: Site) -> None:
    with running(site.write()) as agent:
        wait_for_alerts(agent, site.data_dir, 1)
        whole = site.path.read_text()
        site.path.write_text(whole.replace("labels", "lables"))
        agent.send(signal.SIGHUP)
        agent.says("did you mean 'labels'")
        agent.says("going on with the old configuration")
        site.path.unlink()
        agent.send(signal.SIGHUP)
        agent.says("there is no file")
        site.path.write_text(whole)
        agent.send(signal.SIGHUP)
        agent.says("configuration reloaded: nothing changed")
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0
    assert [alert.event for alert in alerts(site.data_dir)] == [AlertEvent.NEW, AlertEvent.END]


@pytest.mark.system
def test_what_takes_a_restart_is_said_and_harms_nothing(site: Site, film: Path) -> None:
    with running(site.write()) as agent:
        wait_for_alerts(agent, site.data_dir, 1)
        site.cameras.append(("back", str(film), "loop = true"))
        site.rule = 'name = "anyone"\nlabels = ["person"]\ncameras = ["front", "back"]'
        # A cloud to ask, and objects that would be asked about: none is there in this run.
        site.more = "[ask]\nurl = 'http://127.0.0.1:1'\n[asking]\nuncertain = [0.5, 1.0]"
        site.write()
        agent.send(signal.SIGHUP)
        agent.says("cameras changed: that takes a restart")
        agent.says("ask changed: that takes a restart")
        told = wait_for_alerts(agent, site.data_dir, 3)
        assert (told[2].rule, told[2].camera, told[2].state) == ("anyone", "front", AlertState.CONFIRMED)
        agent.send(signal.SIGHUP)
        agent.says("cameras changed: that takes a restart", times=2)
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0
    assert {alert.camera for alert in alerts(site.data_dir)} == {"front"}


# --- cameras and restarts -----------------------------------------------------------------------------------------


@pytest.mark.system
def test_a_camera_that_is_not_there_does_not_touch_the_others(site: Site, film: Path, tmp_path: Path) -> None:
    late = tmp_path / "late.avi"
    site.cameras.append(("back", str(late), "loop = true"))
    with running(site.write()) as agent:
        agent.says("camera back is lost: there is no ")
        assert wait_for_alerts(agent, site.data_dir, 1)[0].camera == "front"
        part = tmp_path / "part.avi"
        shutil.copy(film, part)
        part.rename(late)
        agent.says("camera back is live")
        wait_for_alerts(agent, site.data_dir, 2)
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0
    assert {alert.camera for alert in alerts(site.data_dir)} == {"front", "back"}


@pytest.mark.system
def test_alerts_that_a_killed_run_left_open_are_ended_by_the_next(site: Site) -> None:
    with running(site.write()) as agent:
        (before,) = wait_for_alerts(agent, site.data_dir, 1)
        agent.send(signal.SIGKILL)
        assert agent.ends() == -signal.SIGKILL
    with running(site.write()) as agent:
        told = wait_for_alerts(agent, site.data_dir, 3)
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0
    assert (told[1].id, told[1].event, told[1].reason) == (before.id, AlertEvent.END, "the agent was restarted")
    assert told[2].event is AlertEvent.NEW
    assert told[2].id != before.id
    assert told[2].boot_id != before.boot_id
    assert [alert.sequence for alert in alerts(site.data_dir)] == [1, 2, 3, 4]


@pytest.mark.system
def test_real_people_on_the_demo_clip(site: Site) -> None:
    built("default")
    site.model = "default"
    site.cameras = [("street", str(demo_clip()), "")]
    with running(site.write()) as agent:
        told = wait_for_alerts(agent, site.data_dir, 2)
        agent.send(signal.SIGTERM)
        assert agent.ends() == 0
    assert {(alert.label, alert.camera) for alert in told} == {("person", "street")}
    after = alerts(site.data_dir)
    raised = {alert.id for alert in after if alert.event is AlertEvent.NEW}
    assert raised == {alert.id for alert in after if alert.event is AlertEvent.END}
