from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path, PurePath

import pytest

from agent.config import load_config
from agent.errors import ServiceRefused
from agent.supervise.unit import CONFIG, DEVICES, HOMES_HIDDEN, PROGRAM, WHOSE, Entry, closed_at, fitted

SYSTEMD = Path(__file__).parents[3] / "deploy" / "systemd"
SHIPPED = (SYSTEMD / "vedette-agent.service").read_text("utf-8")
ANALYZE = shutil.which("systemd-analyze")
MAX_EXPOSURE = 20
"""In tenths: what systemd calls OK begins below 5.0."""


def settings(unit: str) -> dict[str, list[str]]:
    """Each setting's values; a later line of one adds to it."""
    parser = configparser.RawConfigParser(strict=False, dict_type=dict)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def fit(**changed: object) -> str:
    given = {
        "program": PurePath(PROGRAM),
        "config": PurePath(CONFIG),
        "user": None,
        "reads": [PurePath("/opt/vedette")],
    }
    return fitted(SHIPPED, **(given | changed))  # type: ignore[arg-type]


def test_what_is_replaced_is_in_the_shipped_unit() -> None:
    assert SHIPPED.count(PROGRAM) == 2
    assert SHIPPED.count(CONFIG) == 2
    assert SHIPPED.count(WHOSE) == SHIPPED.count(HOMES_HIDDEN) == 1


def test_where_the_package_has_it_nothing_changes() -> None:
    assert settings(fit()) == settings(SHIPPED)


def test_another_place() -> None:
    found = settings(fit(program=PurePath("/opt/v/bin/vedette-agent"), config=PurePath("/srv/gate/own.toml")))
    assert found["ExecStart"] == ["/opt/v/bin/vedette-agent run --config /srv/gate/own.toml"]
    assert found["ExecReload"][0] == "/opt/v/bin/vedette-agent check --config /srv/gate/own.toml --settings-only"
    assert found["LoadCredential"] == ["token:/srv/gate/token"]
    assert found["ConditionPathExists"] == ["/srv/gate/token"]
    assert found["WorkingDirectory"] == ["/srv/gate"]


def test_another_user() -> None:
    found = settings(fit(user="camera"))
    assert found["User"] == ["camera"]
    assert "DynamicUser" not in found


@pytest.mark.parametrize("folder", ["/home", "/root", "/run/user/1000/venv"])
def test_a_program_in_a_home_can_be_read_and_not_written(folder: str) -> None:
    assert settings(fit(reads=[PurePath("/usr"), PurePath(folder)]))["ProtectHome"] == ["read-only"]


@pytest.mark.parametrize("path", ["/opt/two words/vedette-agent", "/opt/50%/vedette-agent", "/opt/$HOME/x", "/a\nb"])
def test_a_path_that_would_mean_something_else_in_a_unit(path: str) -> None:
    with pytest.raises(ServiceRefused, match="can't be named in a unit"):
        fit(program=PurePath(path))


@pytest.mark.parametrize(
    ("uid", "gids", "closed"),
    [(None, (), "/srv/ann"), (1000, (), None), (2000, (50,), None), (2000, (51,), "/srv/ann"), (0, (), None)],
)
def test_who_may_enter(uid: int | None, gids: tuple[int, ...], closed: str | None) -> None:
    entries = [Entry("/", 0o755, 0, 0), Entry("/srv", 0o755, 0, 0), Entry("/srv/ann", 0o710, 1000, 50)]
    assert closed_at(entries, uid=uid, gids=gids) == closed


def test_the_example_of_a_configuration_can_be_read() -> None:
    config = load_config(SYSTEMD / "agent.toml")
    assert config.cameras[0].source == "/dev/video0"
    assert config.ask is None, "nobody's pictures leave before somebody says where to"


def test_every_start_that_heals_is_tried_for_ever() -> None:
    """A rollback takes `updates.max_crashes` + 2 starts, and nobody stands beside the device."""
    found = settings(SHIPPED)
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["Restart"] == ["always"]
    assert found["RestartPreventExitStatus"] == ["78 2"]
    assert float(found["RestartSec"][0]) >= 5


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("dropin", [None, *DEVICES])
def test_how_much_the_service_is_exposed(tmp_path: Path, dropin: str | None) -> None:
    unit = tmp_path / "vedette-agent.service"
    more = (SYSTEMD / f"{dropin}.conf").read_text("utf-8") if dropin else ""
    unit.write_text(f"{SHIPPED}\n{more}")
    done = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-600:] + done.stderr
