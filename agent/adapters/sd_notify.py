"""Speaks sd_notify(3), as systemd takes it: datagrams to the socket that `NOTIFY_SOCKET` names."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from typing import Final

from agent.supervise.port import Supervisor
from agent.supervise.words import one_line

log: Final = logging.getLogger(__name__)


class Notifier:
    """Implements `agent.supervise.port.Supervisor`. Without an address it says nothing to anybody.

    Args:
        address: An absolute path, or `@` and the name of an abstract socket.
        watchdog_s: The manager's patience; None where it does not watch.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address and (f"\0{address[1:]}" if address.startswith("@") else address)
        self.watchdog_s = watchdog_s if address else None
        self._said = ""

    def ready(self) -> None:
        """See the port."""
        self._send("READY=1")

    def reloading(self) -> None:
        """See the port; the time tells a manager of `Type=notify-reload` that this answers its own signal."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """See the port."""
        self._send("STOPPING=1")

    def feed(self) -> None:
        """See the port."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """See the port; what was said last is not said again."""
        if text != self._said:
            self._said = text
            self._send(f"STATUS={one_line(text)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                # A manager that does not read must not hold up the agent: the next word is as good.
                to.setblocking(False)  # noqa: FBT003 - the socket's own signature
                to.sendto(message.encode(), self._address)
        except OSError as refused:
            log.debug("the service manager can't be told %r: %s", message, refused)


def supervisor(environment: Mapping[str, str], pid: int) -> Supervisor:
    """The manager that started the process `pid`, as its environment names it."""
    address = environment.get("NOTIFY_SOCKET", "")
    known = address.startswith(("/", "@")) and len(address) > 1
    return Notifier(address if known else None, _watchdog_s(environment, pid))


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """None where nobody watches, or another process is meant: variables are inherited."""
    period, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not (period.isascii() and period.isdigit() and int(period) > 0) or meant != str(pid):
        return None
    return int(period) / 1e6
