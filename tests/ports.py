"""Ports where nobody listens, and where nobody comes to listen by chance.

The kernel gives away ports from the upper half, for each connection that goes out and to each server that asks for
any: one that was free there a moment ago need not be any more. These lie below; each process has its own.

A server that goes away and comes back under the same port keeps it meanwhile (`kept_port`).
"""

from __future__ import annotations

import errno
import os
import socket
from itertools import count
from typing import Final

FIRST: Final = 12_000
EACH: Final = 90
PROCESSES: Final = 200
"""Workers of one run are started one after the other, so that their numbers are near each other."""
_next = count()


def free_port() -> int:
    """Another one each time, until a process has had all of its own."""
    own = FIRST + os.getpid() % PROCESSES * EACH
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


def kept_port() -> socket.socket:
    """A socket whose port is nobody else's until it is closed: listened on by whoever of us wants to, under
    `SO_REUSEADDR`, and while nobody does, a connection is refused.

    Without it the kernel may lend the port to a connection that goes out, even to one to this very port.
    """
    keeping = socket.socket()
    keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeping.bind(("127.0.0.1", 0))
    return keeping
