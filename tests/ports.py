"""Ports where nobody listens, and where nobody comes to listen by chance.

The kernel gives away ports from the upper half, for each connection that goes out and to each server that asks for
any: one that was free there a moment ago need not be any more. These lie below; each process has its own.

A server that goes away and comes back under the same port keeps it meanwhile (`kept_port`).
"""

from __future__ import annotations

import errno
import functools
import os
import socket
from itertools import count
from typing import Final

FIRST: Final = 12_000
EACH: Final = 90
PROCESSES: Final = 200
_next = count()


def free_port() -> int:
    """Another one each time, until a process has had all of its own."""
    own = _own_ports(os.getpid())[0]
    for _ in range(EACH):
        port = own + next(_next) % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as taken:
                if taken.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    raise AssertionError(f"no port is free from {own} on")


@functools.cache
def _own_ports(pid: int) -> tuple[int, socket.socket]:
    """The first of this process's own, and what nobody else can have meanwhile: a name that ends with the process.

    By their numbers alone two would have the same, one in `PROCESSES`; and what one of them was given is free until
    a program has come as far as to listen there.
    """
    for block in range(pid, pid + PROCESSES):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0vedette-ports-{block % PROCESSES}")
        except OSError as taken:
            claim.close()
            if taken.errno != errno.EADDRINUSE:
                raise
        else:
            return FIRST + block % PROCESSES * EACH, claim
    raise AssertionError(f"{PROCESSES} processes have ports of their own already")


def kept_port() -> socket.socket:
    """A socket whose port is nobody else's until it is closed: listened on by whoever of us wants to, under
    `SO_REUSEADDR`, and while nobody does, a connection is refused.

    Without it the kernel may lend the port to a connection that goes out, even to one to this very port.
    """
    keeping = socket.socket()
    keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeping.bind(("127.0.0.1", 0))
    return keeping
