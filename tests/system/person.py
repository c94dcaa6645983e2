"""Somebody who sits before the documents and types what they say, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import httpx

from tests.docs.elsewhere import typed_elsewhere
from tests.docs.prose import ROOT, commands, commands_under, section
from tests.ports import free_port
from tests.system.parts import BOUND_S
from tests.system.preloaded import programs
from workbench.clip import cache_folder

FOLLOWED: Final[set[tuple[str, str]]] = set()
"""What was typed in this run: document and command."""

TYPED_S = 200.0
"""For one block; a rollout is watched in one."""


class Person:
    """With the project's programs where the documents say that they are.

    What is begun and goes on are those; what is typed and comes to its end is started from memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")},
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            # A wide window, in which no figure is broken over two lines.
            "COLUMNS": "160",
            # Only so that other tests and other people on this machine keep theirs.
            "VEDETTE_HTTP_PORT": str(free_port()),
            "VEDETTE_MQTT_PORT": str(free_port()),
        }
        # What was built is there; what is only remembered is not.
        (folder / "cache" / "vedette").mkdir(parents=True)
        (folder / "cache" / "vedette" / "models").symlink_to(cache_folder().parent / "models")
        self._begun: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.environ['VEDETTE_HTTP_PORT']}"

    # --- what is in the documents --------------------------------------------------------------------------------

    def opens(self, document: str, heading: str) -> list[str]:
        """The blocks under a heading, to be typed, every one of them."""
        FOLLOWED.update((document, command) for command in commands_under(ROOT / document, heading))
        return section(ROOT / document, heading)

    def follows(
        self,
        document: str,
        *headings: str,
        stands_for: Mapping[str, str] | None = None,
        shows: Mapping[str, str] | None = None,
        lasting: Mapping[str, str] | None = None,
        within: Path | None = None,
        given: str = "",
    ) -> dict[str, str]:
        """Type each command of the document, or under its headings, but for what is typed elsewhere.

        Args:
            stands_for: What in a command is only an example, and what it is here.
            shows: What a command prints, as an expression.
            lasting: Commands that go on until Ctrl-C, and what they show before.
            given: Typed when a command asks.

        Returns:
            What each has printed.
        """
        path, printed = ROOT / document, {}
        told = [c for heading in headings for c in commands_under(path, heading)] if headings else commands(path)
        for command in told:
            if (document, command) in typed_elsewhere():
                continue
            text = command
            for example, here in (stands_for or {}).items():
                text = text.replace(example, here)
            if lasting and command in lasting:
                printed[command] = self._watches(text, lasting[command])
            else:
                printed[command] = self.types(text, within, given)
            FOLLOWED.add((document, command))
        for command, expected in (shows or {}).items():
            assert re.search(expected, printed[command]), f"{command}\n{printed[command]}"
        return printed

    def _watches(self, text: str, expected: str) -> str:
        """What stood on the screen when it was ended: what is drawn anew all the time is not written to a file."""
        screen, shown = pty.openpty()
        watching = self._starts(text, shown)
        os.close(shown)
        seen = ""
        try:
            while not re.search(expected, seen):
                ready, _, _ = select.select([screen], [], [], BOUND_S)
                assert ready, f"{text} does not show {expected}: {seen}"
                seen += os.read(screen, 4096).decode("utf-8", "replace")
            drained = threading.Thread(target=_drain, args=(screen,))
            drained.start()
            assert self.ends(watching) in {0, 130}, seen
            drained.join()
        finally:
            self.ends(watching)
            os.close(screen)
        return seen

    # --- the terminal ---------------------------------------------------------------------------------------------

    def types(self, block: str, within: Path | None = None, given: str = "") -> str:
        """Type it, and wait for its end; what it printed."""
        path = f"{programs().folder}:{self.environ['PATH']}"
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=within or self.folder,
            env=self.environ | {"PATH": path},
            input=given.encode(),
            capture_output=True,
            timeout=TYPED_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        return done.stdout.decode()

    def begins(self, block: str, name: str = "") -> subprocess.Popen[bytes]:
        """Type it in a terminal of its own, where it goes on; what it says is in a file `NAME.log`."""
        name = name or f"terminal-{len(self._begun)}"
        with self._log(name).open("ab") as log:
            self._begun[name] = self._starts(block, log)
        return self._begun[name]

    def _starts(self, block: str, shown: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # Tests that run in the background of a shell ignore Ctrl-C, and so would what they start.
            ["/usr/bin/env", "--default-signal=INT", "/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=shown,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def named(self, name: str) -> subprocess.Popen[bytes]:
        """The terminal that was given that name last."""
        return self._begun[name]

    def sees(self, terminal: subprocess.Popen[bytes]) -> str:
        """What stands in that terminal."""
        (name,) = [name for name, begun in self._begun.items() if begun is terminal]
        return self._log(name).read_text("utf-8", "replace")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def ends(self, terminal: subprocess.Popen[bytes]) -> int:
        """Press Ctrl-C in that terminal."""
        if terminal.poll() is None:
            os.killpg(terminal.pid, signal.SIGINT)
        return terminal.wait(90)

    def leave(self) -> None:
        for terminal in reversed(self._begun.values()):
            self.ends(terminal)

    def reads(self, path: str) -> Any:
        answer = httpx.get(self.dashboard + path, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def finds(self, path: str) -> bool:
        try:
            self.reads(path)
        except httpx.HTTPError:
            return False
        return True


def _drain(screen: int) -> None:
    """Until nobody writes to it any more, which Linux tells by an error."""
    with contextlib.suppress(OSError):
        while os.read(screen, 4096):
            pass
