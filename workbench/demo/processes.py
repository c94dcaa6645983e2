"""The demo's child processes: started with their own log, stopped in order, never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.errors import DemoFailed

STOP_S: Final = 20.0
"""Four times what an agent may take to drain its outbox at a stop: it ends its cameras besides, and may have to share
the processors."""
KEPT: Final = frozenset({"VEDETTE_MODELS_DIR"})
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Child:
    """A running part of the demo."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def died(self) -> str | None:
        """How it ended, if it did."""
        code = self.process.poll()
        return None if code is None else f"{self.name} ended with {_exit(code)}"


class Children:
    """Owns the processes; `stop_all` is safe to call at any time, and twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], stdout: int | None = None
    ) -> Child:
        """Start a child whose output goes to `<folder>/<name>.log`, its standard output elsewhere if asked."""
        log = self._folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=out,
                env=_own_settings_only(os.environ) | dict(environment),
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - no threads of ours run yet, and libc is loaded
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """See that all are alive.

        Raises:
            DemoFailed: One is not; says which, and its last lines.
        """
        for child in self._children:
            how = child.died()
            if how is not None:
                raise DemoFailed(f"{how}:\n{last_lines(child.log)}", f"Its whole log is {child.log}.")

    def stop(self, child: Child) -> int:
        """Ask it to stop, and wait; it is killed where it does not obey. Returns its exit code."""
        if child in self._children:
            self._children.remove(child)
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
        return child.process.returncode

    def stop_all(self) -> None:
        """Stop whatever runs, the last started first."""
        for child in reversed(tuple(self._children)):
            self.stop(child)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, indented."""
    lines = log.read_text("utf-8", "replace").splitlines()[-count:] if log.is_file() else []
    return "\n".join(f"    {line}" for line in lines)


def _own_settings_only(environment: Mapping[str, str]) -> dict[str, str]:
    """Without a person's settings for programs of their own: one VEDETTE_DATA_DIR would be that of all parts here."""
    return {name: value for name, value in environment.items() if not name.startswith("VEDETTE_") or name in KEPT}


def _die_with(parent: int) -> Callable[[], None]:
    """What the child does first: ask the kernel to end it with its parent, so that a kill -9 leaves nothing."""

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
