"""Which device a container is: what Docker's own name server says of its address. Needs nothing but Python.

Compose numbers the replicas of a service, and tells none of them its number; the name server of the network knows the
container's name, such as `vedette-agent-7.vedette_field`.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final

SERVICES: Final = ("agent", "far-agent")
"""Of compose.yaml, those whose replicas are devices."""
_CONTAINER: Final = re.compile(rf"(?P<service>{'|'.join(SERVICES)})-(?P<number>[1-9][0-9]{{0,4}})")


class NoDevice(Exception):
    """Behind this address is no replica of the fleet."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One device of the fleet; its id, such as `agent-7`, ends with its number."""

    service: str
    number: int

    @property
    def device(self) -> str:
        """Its id."""
        return f"{self.service}-{self.number}"


def replica_of(device: str) -> Replica:
    """Read a device's id.

    Raises:
        NoDevice: It is none of the fleet's.
    """
    found = _CONTAINER.fullmatch(device)
    if found is None:
        raise NoDevice(f"{device[:80]!r} is no device of this fleet")
    return Replica(found["service"], int(found["number"]))


def replica_named(host: str, project: str) -> Replica:
    """Read the name that the name server gives, `PROJECT-SERVICE-NUMBER.NETWORK`.

    Raises:
        NoDevice: It is another container.
    """
    container = host.partition(".")[0]
    if not container.startswith(f"{project}-"):
        raise NoDevice(f"{host[:120]!r} is no container of {project}")
    return replica_of(container.removeprefix(f"{project}-"))


def replica_at(address: str, project: str) -> Replica:
    """Ask the name server who has an address; waits for it.

    Raises:
        NoDevice: No replica of this project.
    """
    try:
        host, _, _ = socket.gethostbyaddr(address)
    except OSError as unknown:
        raise NoDevice(f"{address} has no name: {unknown}") from None
    return replica_named(host, project)
