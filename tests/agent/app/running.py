"""`vedette-agent run` in a process of its own, and what it left behind."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from agent.app.ground import OUTBOX_FILE
from wire.codec import decode
from wire.messages import Alert

BOUND_S = 60.0
"""How long a test waits for what takes a second on an idle machine."""


class AgentProcess:
    """A running agent; its log can be waited for."""

    def __init__(self, config: Path, arguments: Sequence[str] = (), token: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", str(config), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "VEDETTE_TOKEN": token},
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    @property
    def log(self) -> str:
        with self._changed:
            return "".join(self._lines)

    def says(self, pattern: str, times: int = 1) -> None:
        """Wait until the log holds the pattern so often."""

        def found() -> bool:
            return len(re.findall(pattern, "".join(self._lines))) >= times

        with self._changed:
            self._changed.wait_for(lambda: found() or self._over, BOUND_S)
            assert found(), f"{pattern!r} is not in the log:\n{''.join(self._lines)}"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, within_s: float = BOUND_S) -> int:
        """Its exit code."""
        code = self.process.wait(within_s)
        self._reader.join(BOUND_S)
        return code


@contextmanager
def running(config: Path, *arguments: str, token: str = "") -> Iterator[AgentProcess]:
    agent = AgentProcess(config, arguments, token)
    try:
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.process.kill()
        agent.ends()


def alerts(data_dir: Path) -> list[Alert]:
    """What the outbox holds, in order; harmless while the agent runs."""
    file = data_dir / OUTBOX_FILE
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=BOUND_S)) as db:
        try:
            rows = db.execute("SELECT payload FROM outbox ORDER BY row").fetchall()
        except sqlite3.OperationalError:
            return []
    return [decode(Alert, payload) for (payload,) in rows]


def wait_for_alerts(agent: AgentProcess, data_dir: Path, count: int) -> list[Alert]:
    """Wait until so many messages are in the outbox."""
    return wait_until_told(agent, data_dir, lambda found: len(found) >= count)


def wait_until_told(agent: AgentProcess, data_dir: Path, true: Callable[[list[Alert]], bool]) -> list[Alert]:
    """Wait until that is true of the outbox; there is no event to wait for in another process's file."""
    waiting = threading.Event()
    for _ in range(int(BOUND_S / 0.05)):
        found = alerts(data_dir)
        if true(found):
            return found
        assert agent.process.poll() is None, agent.log
        waiting.wait(0.05)
    raise AssertionError(f"only {len(found)} alerts came:\n{agent.log}")
