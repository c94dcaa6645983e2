"""How operators are let in to the dashboard and the API: over TLS and by a login, or as on loopback by neither."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from cloud.config import Settings, is_loopback
from cloud.doors import ANYWHERE, Doors, WebFiles, service_hosts
from cloud.errors import NobodyMayLogIn
from cloud.ingest.ports import Counter
from cloud.operators.sessions import Sessions
from cloud.operators.watch import OperatorWatch, Streams
from cloud.ports import Clock
from cloud.store.database import Database
from cloud.store.operators import OperatorStore
from cloud.web.login import Login
from cloud.web.login_gate import ANYBODYS, DEVICES, Gate

# With the prefix, browsers take the cookie from nobody but this very host, and over TLS only.
_COOKIE: Final = "vedette"
_SECURE_COOKIE: Final = "__Host-vedette"


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where operators log in.

    Attributes:
        gate: Before all routes; None where nobody is asked.
        login: The routes to log in and out.
        watch: What has to run all the while.
    """

    gate: Gate | None = None
    login: Login | None = None
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None


async def open_entrance(
    settings: Settings, database: Database, streams: Streams, counter: Counter, clock: Clock
) -> Entrance:
    """The entrance of these settings.

    Raises:
        NobodyMayLogIn: A login is asked for, and there is no operator.
    """
    if not settings.asks_login:
        return Entrance()
    store = OperatorStore(database)
    if not await store.changes():
        raise NobodyMayLogIn(
            "the dashboard asks for a login, and there is no operator who could",
            "Take one in, with the settings that the service has: `vedette operator add NAME`.",
        )
    sessions = Sessions(store, clock, settings.login)
    cookie = _SECURE_COOKIE if settings.https else _COOKIE
    # Where devices have tokens they call over the same port; else they have a door of their own.
    gate = Gate(sessions, cookie, ANYBODYS if settings.tls else ANYBODYS + DEVICES)
    login = Login(sessions, cookie=cookie, secure=settings.https, counter=counter, clock=clock)
    return Entrance(gate, login, OperatorWatch(people=store, sessions=sessions, streams=streams, clock=clock).run)


def web_files(settings: Settings, doors: Doors) -> WebFiles | None:
    """Under which the dashboard is served; None where it is in plain text.

    Raises:
        AuthorityUnusable: They can't be used.
    """
    if not settings.https or doors.files is None:
        return None
    if settings.http_cert_file is not None and settings.http_key_file is not None:
        return WebFiles(settings.http_cert_file, settings.http_key_file)
    return WebFiles(doors.files.cert_file, doors.files.key_file)


def web_hosts(settings: Settings) -> frozenset[str]:
    """The names beside loopback's under which browsers may call, as they spell them."""
    own = service_hosts(settings) if settings.https else []
    return frozenset((*settings.allowed_hosts, *(f"[{host}]" if ":" in host else host.lower() for host in own)))


def web_host(settings: Settings) -> str | None:
    """The one to tell browsers; None where any address of this machine's does."""
    if not settings.https or is_loopback(settings.http_host):
        return None
    if settings.identity.names:
        return settings.identity.names[0]
    return socket.gethostname() if settings.http_host in ANYWHERE else settings.http_host
