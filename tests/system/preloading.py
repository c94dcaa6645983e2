"""The process that `tests.system.preloaded` asks: it has read both programs, and forks for each command."""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final, Never

import typer

import agent.app
from agent.__main__ import main as of_device
from cloud.cli.later import Later
from workbench.__main__ import app
from workbench.__main__ import main as of_service

MAINS: Final[dict[str, Callable[[], object]]] = {"vedette": of_service, "vedette-agent": of_device}


def _read_in() -> None:
    """Whatever the programs import only once a command is typed."""
    for module in pkgutil.iter_modules(agent.app.__path__, "agent.app."):
        importlib.import_module(module.name)
    for command in typer.main.get_group(app).commands.values():
        assert isinstance(command, Later)
        assert command.real


def _serve(address: str) -> Never:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    gc.freeze()
    # Whoever waits for a command's end is forgotten with its own.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)  # noqa: T201 - to whoever started it
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            caller.sendall(b"%d" % _typed(caller))
            os._exit(0)
        caller.close()


def _typed(caller: socket.socket) -> int:
    """Its exit code."""
    size, files, _, _ = caller.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    ((_, _, carried),) = files
    terminal = array.array("i", carried)
    length = int.from_bytes(size, "big")
    asked = b""
    while len(asked) < length:
        asked += caller.recv(length - len(asked))
    program, words, folder, environ = json.loads(asked)
    child = os.fork()
    if child:
        for file in terminal:
            os.close(file)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256
    caller.close()
    for number, file in enumerate(terminal):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [program, *words]
    # From here on it is that program: its own end, its own exit code, nobody else's `finally`.
    raise _Begin(MAINS[program])


class _Begin(BaseException):
    """Leave the server's frames behind before the program begins."""

    def __init__(self, typed: Callable[[], object]) -> None:
        super().__init__()
        self.typed = typed


def _end_of(main: Callable[[], object]) -> int:
    """Its exit code, after what a program does at its end, but for tidying its memory.

    That would copy every page that it shares with the server.
    """
    code: object = None
    try:
        # As the programs that are installed do: `sys.exit(main())`.
        sys.exit(main())  # type: ignore[arg-type]
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - told as Python tells what nobody caught
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)  # noqa: T201 - as Python does
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def _main() -> None:
    _read_in()
    try:
        _serve(sys.argv[1])
    except _Begin as begin:
        typed = begin.typed
    os._exit(_end_of(typed))


if __name__ == "__main__":
    _main()
