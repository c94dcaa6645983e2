"""Power cuts in each state, and at each system call of an update: always a working model, and then the new one."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.agent.update.worker.bench import NEW, OLD, Device, on, wanted
from tests.fork_server import ForkServer
from wire.updates import UpdateState

CALLS = "openat,write,fsync,rename,unlink,unlinkat,mkdir,rmdir,close,newfstatat,statfs,getdents64,read"
FATAL_ONLY = {"close"}
"""An error from `close` after an fsync tells nothing that the fsync did not."""


@pytest.fixture(scope="module")
def server():
    with ForkServer("tests.agent.update.worker.crash_server") as running:
        yield running


@pytest.fixture
def disk():
    """In memory where there is a folder for that: the same calls, without hundreds of waits for a real one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def before(disk):
    """The disk of a device that runs OLD."""
    on(Device(disk / "before"), OLD)
    return disk / "before"


def fresh(before: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(before, folder / "device")
    return folder


def comes_back(folder: Path) -> tuple[str, Device]:
    """Start again: a working model at once, then the new one, and nothing left over."""
    device = Device(folder / "device")
    at_start = device.live.running.ref
    assert at_start in (OLD, NEW), device.errors
    facts = device.update(wanted(version=2))
    device.restart()
    if facts.state is not UpdateState.ROLLED_BACK:
        facts = device.update(wanted(version=3))
    assert facts.state in {UpdateState.COMMITTED, UpdateState.ALREADY_INSTALLED, UpdateState.ROLLED_BACK}, facts
    assert facts.running == device.works() == (OLD if facts.state is UpdateState.ROLLED_BACK else NEW)
    return at_start.version, device


@pytest.mark.parametrize(
    "state",
    [
        s
        for s in UpdateState
        if s.value in ["queued", "downloading", "verifying", "proving", "shadowing", "installing"]
    ]
    + [UpdateState.PROBATION, UpdateState.COMMITTED, UpdateState.ROLLING_BACK],
)
def test_kill_in_each_state(server, before, disk, state):
    folder = fresh(before, disk / "killed")
    status = server.run(folder, state.value)
    assert os.WTERMSIG(status) == signal.SIGKILL
    at_start, device = comes_back(folder)
    after_the_switch = state in {UpdateState.PROBATION, UpdateState.COMMITTED}
    assert at_start == ("new" if after_the_switch else "old")
    assert device.errors == []


@pytest.mark.parametrize(
    ("opened", "found", "at_start"),
    [
        # The old one is closed, the new one not open yet: the pointer names the new one.
        ("new", "the agent went down 1 times in probation", "new"),
        # The new one was refused, the old one not open again: nothing is lost by trying the new one once more.
        ("new,old", "the agent went down 1 times in probation", "new"),
        # The new one did harm and is closed; the old one is not open again.
        ("old", "it sees nothing", "old"),
    ],
)
def test_kill_while_no_model_is_open(server, before, disk, opened, found, at_start):
    folder = fresh(before, disk / "killed")
    status = server.run(folder, f"no_model:{opened}")
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert found in Device(folder / "device").booted.reason
    folder = fresh(before, disk / "again")
    server.run(folder, f"no_model:{opened}")
    version, device = comes_back(folder)
    assert version == at_start
    assert device.errors == []


@pytest.mark.system
@pytest.mark.computing
@pytest.mark.timeout(400)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("injection", ["signal=KILL", "error=ENOSPC", "error=EIO"])
def test_every_file_system_call_of_an_update(server, before, disk, injection, capsys):
    folder, log = disk / "run", disk / "trace"
    found = server.points(fresh(before, folder), "-", CALLS, [folder / "device" / "data"], log)
    points = [(call, number) for call, number, _ in found if not (call in FATAL_ONLY and injection != "signal=KILL")]
    ends: collections.Counter[str] = collections.Counter()
    broken: list[str] = []
    for call, number in points:
        status = server.inject(fresh(before, folder), "-", call, number, injection)
        if status != (signal.SIGKILL if injection == "signal=KILL" else 0):
            broken.append(f"{call} #{number} ended with {status}")
        try:
            ends[comes_back(folder)[0]] += 1
        except AssertionError as wrong:
            broken.append(f"{call} #{number} did not come back: {wrong}")
    with capsys.disabled():
        sys.stdout.write(
            f"\n{injection} at each of {len(points)} system calls: woke on {dict(ends)}, {len(broken)} broken\n"
        )
    assert len(points) > 80
    assert broken == []
