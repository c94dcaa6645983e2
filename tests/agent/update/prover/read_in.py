"""The proof's program, read in once: it forks for each proof. To start Python anew takes longer than many a proof.

What is forked goes through the program's own `main`, from its first line to its end, in a process of its own with the
environment, the limits and the one voice that the agent gives it. `RELAY` is what the agent starts instead: it hands
over its request and its output, and ends as the proof ended, by its exit code or by its signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.app.prove import main
from vision.child import child_environment
from vision.confinement import die_with

REQUEST_BYTES: Final = 1 << 16
RELAY: Final = """\
import os, resource, socket, sys
at = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
at.connect(sys.argv[1])
socket.send_fds(at, [sys.argv[2].encode()], [1])
os.close(1)
code = int(at.recv(16))
if code < 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextlib.contextmanager
def read_in(folder: Path) -> Iterator[tuple[str, ...]]:
    """The command that stands for `agent.adapters.prover.COMMAND`.

    Args:
        folder: A new one, with a short name: a socket's address has room for 107 bytes.
    """
    address = str(folder / "socket")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, address, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=child_environment(),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "the program can't be read in"
        yield (sys.executable, "-IS", "-c", RELAY, address)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _until_asked(address: str) -> None:
    """Returns in each process that is to prove something, with the request as its one argument."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)  # noqa: T201 - to whoever started it
    while True:
        asker, _ = listener.accept()
        if os.fork() == 0:
            break
        asker.close()
        _forget_the_ended()
    listener.close()
    asked, (voice,), _, _ = socket.recv_fds(asker, REQUEST_BYTES, 1)
    child = os.fork()
    if child != 0:
        os.close(voice)
        asker.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    asker.close()
    os.dup2(voice, 1)
    os.close(voice)
    # It is to end with whoever waits for it.
    sys.argv = ["prove", json.dumps(json.loads(asked) | {"parent": os.getppid()})]


def _forget_the_ended() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    die_with(int(sys.argv[2]))
    _until_asked(sys.argv[1])
    sys.exit(main())
