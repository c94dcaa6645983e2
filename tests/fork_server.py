"""Starts a program that forks a child for each line on its stdin, and traces or injects into that child's calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]


class ForkServer:
    """See `tests.cloud.registry.crash_server` for what the program has to do."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, home: Path, act: str, strace: tuple[str, ...] = ()) -> int:
        """The child's wait status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        go = home / "go"
        os.mkfifo(go)
        self._process.stdin.write(f"{home} {act}\n")
        self._process.stdin.flush()
        pid = self._process.stdout.readline().strip()
        tracer = None
        if strace:
            program = shutil.which("strace") or "strace"
            tracer = subprocess.Popen([program, *strace, "-p", pid], stderr=subprocess.PIPE, text=True)
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert "attached" in said, said
        with go.open("wb") as begin:
            begin.write(b"!")
        status = int(self._process.stdout.readline())
        if tracer is not None:
            tracer.communicate(timeout=60)
        go.unlink()
        return status

    def points(
        self, home: Path, act: str, calls: str, under: Sequence[Path], log: Path
    ) -> list[tuple[str, int, str]]:
        """Each call that the act makes on files below those folders.

        Returns:
            The call's name, its number among all of that name, and how strace tells it.
        """
        self.run(home, act, ("-f", "-y", "-o", str(log), "-e", f"trace={calls}"))
        counts: Counter[str] = Counter()
        found = []
        for line in log.read_text("utf-8", "replace").splitlines():
            if (call := re.match(r"\d+\s+(\w+)\(", line)) is None:
                continue
            counts[call[1]] += 1
            if any(str(folder) in line for folder in under):
                found.append((call[1], counts[call[1]], line))
        return found

    def inject(self, home: Path, act: str, call: str, number: int, what: str) -> int:
        """Run with one call failing or fatal; `what` is `signal=KILL` or `error=NAME`. The child's wait status."""
        return self.run(
            home, act, ("-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={number}")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
