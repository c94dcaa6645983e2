"""What `make fleet` says before it builds anything, and when it comes to nothing; a script plays `docker`."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.ports import kept_port

SCRIPT = Path(__file__).parents[2] / "deploy" / "setup" / "fleet.sh"
DOCKER = """#!/bin/bash
case "$*" in
  "version"|"compose version") exit {there};;
  "buildx version") exit 1;;
  "compose build"*) echo "$* bake=$COMPOSE_BAKE";;
  "compose up"*) echo "$*"; exit {up};;
esac
"""


def fleet(folder: Path, *words: str, there: int = 0, up: int = 0, port: int | None = None) -> tuple[int, str]:
    """Its exit code, and all that it says."""
    docker = folder / "docker"
    docker.write_text(DOCKER.format(there=there, up=up))
    docker.chmod(0o755)
    with kept_port() as free:
        done = subprocess.run(
            [SCRIPT, *words],
            env=os.environ
            | {"PATH": f"{folder}:{os.environ['PATH']}", "VEDETTE_PORT": str(port or free.getsockname()[1])},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
        )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("agents", ["x", "-1", "1e3", "10000"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, agents: str) -> None:
    code, said = fleet(tmp_path, agents, "check")
    assert code == 1
    assert "make fleet AGENTS=3" in said


def test_without_docker_nothing_is_built(tmp_path: Path) -> None:
    code, said = fleet(tmp_path, "3", "check", there=1)
    assert code == 1
    assert "needs Docker" in said


def test_a_port_that_is_taken_is_named_before_anything_is_built(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = fleet(tmp_path, "3", "check", port=port)
    assert code == 1
    assert f"Port {port} of this machine, for the dashboard, is taken" in said


def test_it_ends_with_where_to_look_and_how_to_stop(tmp_path: Path) -> None:
    assert fleet(tmp_path, "3", "check") == (0, "")
    code, said = fleet(tmp_path, "3")
    assert code == 0
    assert "bake=false" in said, "what is not installed is not complained of"
    assert "--scale agent=3" in said
    assert "3 agents are well" in said
    assert "http://127.0.0.1:" in said
    assert "docker compose down --volumes" in said


def test_a_fleet_that_does_not_come_up_says_what_to_look_at(tmp_path: Path) -> None:
    code, said = fleet(tmp_path, "3", up=7)
    assert code == 7
    assert "did not come up" in said
    assert "docker compose logs cloud" in said
    assert "agents are well" not in said
