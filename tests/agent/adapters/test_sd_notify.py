from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.sd_notify import Notifier, supervisor

PID = 4711


class Manager:
    """The receiving end, as systemd has it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(5)

    def hears(self) -> str:
        return self.socket.recv(4096).decode()

    def hears_nothing_more(self) -> None:
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(4096)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    manager = Manager(path)
    yield manager
    manager.socket.close()


def test_the_words_of_the_protocol(manager: Manager, path: str) -> None:
    told = supervisor({"NOTIFY_SOCKET": path}, PID)
    told.ready()
    told.stopping()
    told.feed()
    told.status("all\nis well")
    assert [manager.hears() for _ in range(4)] == ["READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=all | is well"]


def test_a_reload_says_when(manager: Manager, path: str) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    supervisor({"NOTIFY_SOCKET": path}, PID).reloading()
    said = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.hears())
    assert said
    assert before <= int(said[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_is_said_once(manager: Manager, path: str) -> None:
    told = supervisor({"NOTIFY_SOCKET": path}, PID)
    for text in ("well", "well", "better", "well"):
        told.status(text)
    assert [manager.hears() for _ in range(3)] == ["STATUS=well", "STATUS=better", "STATUS=well"]
    manager.hears_nothing_more()


def test_an_abstract_socket(tmp_path: Path) -> None:
    name = f"vedette-{tmp_path.name}-{id(tmp_path)}"
    manager = Manager(f"\0{name}")
    Notifier(f"@{name}").ready()
    assert manager.hears() == "READY=1"
    manager.socket.close()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_nobody_is_told(environment: dict[str, str]) -> None:
    told = supervisor({**environment, "WATCHDOG_USEC": "1000000"}, PID)
    for say in (told.ready, told.reloading, told.stopping, told.feed):
        say()
    told.status("well")
    assert told.watchdog_s is None


def test_a_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}, PID).ready()


def test_a_manager_that_does_not_read_does_not_hold_us_up(manager: Manager, path: str) -> None:
    told = supervisor({"NOTIFY_SOCKET": path}, PID)
    for _ in range(10_000):  # far more than a socket's queue takes
        told.feed()
    assert manager.hears() == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(PID)}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_how_patient_the_watchdog_is(environment: dict[str, str], watchdog_s: float | None, path: str) -> None:
    assert supervisor({"NOTIFY_SOCKET": path, **environment}, PID).watchdog_s == watchdog_s
