"""`vedette` and `vedette-agent`, without the second or two in which Python reads them in.

One process reads both, and forks for each command that is typed: the same `main` with the words, folder, environment
and terminal of whoever typed it.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("vedette", "vedette-agent")
TERMINALS = {"COLUMNS", "LINES", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
CALLER = """\
#!{python} -IS
import array, json, os, socket, sys
at = socket.socket(socket.AF_UNIX)
at.connect({address!r})
asked = json.dumps([{program!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
at.sendmsg([len(asked).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
at.sendall(asked)
sys.exit(int(at.recv(4) or 70))
"""


class Preloaded:
    """Both programs as files in a folder, to be put on the path.

    Args:
        folder: A new one, with a short name: a socket's address has room for 107 bytes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        address = str(folder / "socket")
        for program in PROGRAMS:
            file = folder / program
            file.write_text(CALLER.format(python=sys.executable, address=address, program=program))
            file.chmod(stat.S_IRWXU)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # Of whoever types a command, not of whoever reads the programs in: what is looked at while they are read in
        # would hold for every command.
        own = {name: value for name, value in os.environ.items() if name not in TERMINALS and "VEDETTE" not in name}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.preloading", address],
            cwd=ROOT,
            env=own | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the programs can't be read in"

    @property
    def vedette(self) -> str:
        return str(self.folder / "vedette")

    @property
    def vedette_agent(self) -> str:
        return str(self.folder / "vedette-agent")

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)
        shutil.rmtree(self.folder.parent)


@functools.cache
def programs() -> Preloaded:
    """For all tests of this process; they are read in when the first of them types something."""
    made = Preloaded(Path(tempfile.mkdtemp(prefix="vedette-")) / "bin")
    atexit.register(made.close)
    return made
