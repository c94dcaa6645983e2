"""Forks a device for each line on stdin, so that only what the update does is traced, injected into or killed.

A line is `FOLDER STATE`: the child says its process id, waits for a byte in the pipe FOLDER/go, and brings the
device to the new model. On entering STATE (`-` for none) it kills itself, once the record is on disk. `no_model:A,B`
instead swaps in place, is refused by each of the versions named but the last, and kills itself when that one is about
to be opened and no model is. Its exit is said last.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from agent.errors import CandidateRejected
from agent.update.record import ReportedFacts
from tests.agent.update.worker.bench import Device, wanted
from tests.agent.update.worker.in_place import InPlaceLive
from vision.errors import ModelRefused
from wire.updates import Gates

IN_PLACE = "no_model:"


def child_in_place(folder: Path, refused: list[str], last: str) -> None:
    device = Device(folder / "device")

    def opening(version: str) -> None:
        if version == last:
            os.kill(os.getpid(), signal.SIGKILL)
        if version in refused:
            raise ModelRefused("memory is short", "")

    device.make_live = lambda _, running: InPlaceLive(running, harm="it sees nothing", opening=opening)
    device.restart()
    device.update(wanted(version=2, gates=Gates(shadow_frames=0)))


def child(folder: Path, state: str) -> None:
    device = Device(folder / "device")

    class Deadly(list[ReportedFacts]):
        def append(self, facts: ReportedFacts) -> None:
            if facts.state == state and facts.desired_version == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    device.reports = Deadly()
    device.restart()
    if state == "rolling_back":
        device.script.plan["watch"] = [CandidateRejected("it sees nothing", "")]
    device.update(wanted(version=2))


def main() -> None:
    for line in sys.stdin:
        folder, state = line.split()
        go = os.open(Path(folder) / "go", os.O_RDWR)
        pid = os.fork()
        if pid == 0:
            status = 1
            # Not a call that is counted: whether strace sees the one during which it attached is chance.
            select.select([go], [], [])
            try:
                if state.startswith(IN_PLACE):
                    *refused, last = state.removeprefix(IN_PLACE).split(",")
                    child_in_place(Path(folder), refused, last)
                else:
                    child(Path(folder), state)
                status = 0
            finally:
                os._exit(status)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(pid, 0)[1]}\n")
        sys.stdout.flush()
        os.close(go)


if __name__ == "__main__":
    main()
