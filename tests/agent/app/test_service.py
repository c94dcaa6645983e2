from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.app import service as module
from agent.supervise.unit import MARK

UNIT = "etc/systemd/system/vedette-agent.service"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> str:
    """An installation that everybody may enter, which a checkout in somebody's home is not."""
    monkeypatch.setattr(module, "closed_at", lambda entries, uid, gids: None)
    return f"{module.sys.prefix}/bin/vedette-agent"


def installed(root: Path, *options: str) -> int:
    return main(["install-service", "--prefix", str(root), *options])


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_installed_twice_and_removed(tmp_path: Path, program: str, capsys: Capture) -> None:
    assert installed(tmp_path) == 0
    first = files(tmp_path)
    assert set(first) == {UNIT, f"{UNIT}.d/v4l2.conf", "etc/vedette/agent.toml"}
    assert f"ExecStart={program} run --config /etc/vedette/agent.toml\n" in first[UNIT]
    assert stat.S_IMODE((tmp_path / UNIT).stat().st_mode) == 0o644
    assert "systemctl enable --now vedette-agent.service" in capsys.readouterr().out

    (tmp_path / "etc/vedette/agent.toml").write_text("mine")
    assert installed(tmp_path) == 0
    assert files(tmp_path) == {**first, "etc/vedette/agent.toml": "mine"}
    assert capsys.readouterr().out.count("is as it should be") == 2

    assert main(["uninstall-service", "--prefix", str(tmp_path)]) == 0
    assert files(tmp_path) == {"etc/vedette/agent.toml": "mine"}
    assert not (tmp_path / f"{UNIT}.d").exists()
    assert main(["uninstall-service", "--prefix", str(tmp_path)]) == 0
    assert "there is no service of ours" in capsys.readouterr().out


def test_other_devices_replace_those_before(tmp_path: Path) -> None:
    assert installed(tmp_path) == 0
    assert installed(tmp_path, "--device", "edgetpu", "--device", "gpu") == 0
    assert {Path(name).name for name in files(tmp_path)} == {
        "vedette-agent.service",
        "edgetpu.conf",
        "gpu.conf",
        "agent.toml",
    }


def test_printing_writes_nothing(tmp_path: Path, capsys: Capture) -> None:
    assert installed(tmp_path, "--print", "--user", "root", "--config", "/srv/own.toml") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(MARK)
    assert "User=root\n" in printed
    assert "--config /srv/own.toml" in printed
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("put", "said"),
    [
        ("usr/lib/systemd/system/vedette-agent.service", "is a package's"),
        (UNIT, "was not written by this command"),
        (f"{UNIT}.d/gpu.conf", "was not written by this command"),
    ],
)
def test_what_is_somebody_else_s_stays(tmp_path: Path, put: str, said: str, capsys: Capture) -> None:
    (tmp_path / put).parent.mkdir(parents=True)
    (tmp_path / put).write_text("[Service]\n")
    assert installed(tmp_path) == 1
    assert said in capsys.readouterr().err
    assert files(tmp_path) == {put: "[Service]\n"}


def test_removing_what_is_somebody_else_s_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert installed(tmp_path) == 0
    (tmp_path / UNIT).write_text("[Service]\n")
    assert main(["uninstall-service", "--prefix", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("ServiceRefused: ")
    assert (tmp_path / UNIT).read_text() == "[Service]\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--user", "nobody-of-that-name"), "there is no user 'nobody-of-that-name'"),
        (("--user", "root\nExecStart=evil"), "there is no user"),
        (("--config", "agent.toml"), "agent.toml is not absolute"),
        (("--config", "/srv/two words.toml"), "can't be named in a unit"),
    ],
)
def test_what_can_not_be_installed(tmp_path: Path, options: tuple[str, ...], said: str, capsys: Capture) -> None:
    assert installed(tmp_path, *options) == 1
    assert said in capsys.readouterr().err
    assert files(tmp_path) == {}


def test_a_program_that_the_service_s_user_may_not_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.undo()
    prefix = tmp_path / "hidden" / "venv"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "vedette-agent").touch()
    (tmp_path / "hidden").chmod(0o700)
    monkeypatch.setattr(module.sys, "prefix", str(prefix))
    assert installed(tmp_path) == 1
    assert "the service's user may not enter " in capsys.readouterr().err


def test_a_program_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path))
    assert installed(tmp_path) == 1
    assert "Install the package first" in capsys.readouterr().err


def test_the_wheel_s_copy_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    package = tmp_path / "agent"
    shutil.copytree(Path(__file__).parents[3] / "deploy" / "systemd", package / "systemd")
    (package / "__init__.py").touch()
    unit = package / "systemd" / "vedette-agent.service"
    unit.write_text(unit.read_text().replace("Description=Vedette agent", "Description=From the wheel"))
    monkeypatch.setattr(module.agent, "__file__", str(package / "__init__.py"))
    assert installed(tmp_path, "--print") == 0
    assert "Description=From the wheel" in capsys.readouterr().out
