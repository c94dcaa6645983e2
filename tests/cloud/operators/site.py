"""The API behind its gate, over ASGI, on the real database, with a clock to turn by hand and cheap passwords."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cloud.bus import Bus
from cloud.ingest.counters import Counters
from cloud.operators import passwords
from cloud.operators import sessions as sessions_module
from cloud.operators.accounts import Accounts
from cloud.operators.sessions import Sessions
from cloud.operators.settings import LoginSettings
from cloud.operators.watch import OperatorWatch
from cloud.store.alerts import AlertStore
from cloud.store.blobs import LocalBlobs
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.operators import OperatorStore
from cloud.store.rollouts import RolloutStore
from cloud.web.api import read_router
from cloud.web.events import Feed
from cloud.web.health import health_router
from cloud.web.login import Login, session_router
from cloud.web.login_gate import Gate
from cloud.web.server import make_application
from tests.cloud.migrated import migrated
from tests.cloud.samples import ManualClock

ORIGIN = "https://vedette.lan:8080"
COOKIE = "__Host-vedette"
PASSWORD = "correct horse battery staple"
WRONG = "incorrect horse battery staple"


def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that takes no time; what it costs is looked at in `test_passwords`."""
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    monkeypatch.setattr(sessions_module, "NOBODYS", passwords.Hashed(4, 8, 1, bytes(16), bytes(32)))


@dataclass
class Site:
    http: httpx.AsyncClient
    database: Database
    accounts: Accounts
    sessions: Sessions
    feed: Feed
    watch: OperatorWatch
    counters: Counters
    clock: ManualClock
    application: object

    async def log_in(self, name: str = "anna", password: str = PASSWORD, **headers: str) -> httpx.Response:
        form = {"name": name, "password": password}
        return await self.http.post("/login", data=form, headers={"Origin": ORIGIN, **headers})

    async def who(self) -> str | None:
        """Who is logged in, as the API says; None where it turns the request away."""
        answer = await self.http.get("/api/session")
        return answer.json()["operator"] if answer.status_code == 200 else None

    def from_address(self, address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.application, client=(address, 4711))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN)


@asynccontextmanager
async def site_at(path: Path, **settings: object) -> AsyncIterator[Site]:
    clock, bus, counters = ManualClock(), Bus(), Counters()
    async with open_database(await migrated(path / "db")) as database:
        devices, alerts, blobs = DeviceStore(database), AlertStore(database), LocalBlobs(path / "blobs")
        feed = Feed(bus=bus, alerts=alerts, devices=devices, rollouts=RolloutStore(database), clock=clock)
        store = OperatorStore(database)
        sessions = Sessions(store, clock, LoginSettings.model_validate(settings))
        login = Login(sessions, cookie=COOKIE, secure=True, counter=counters, clock=clock)

        async def works() -> bool:
            return True

        routers = [
            read_router(alerts=alerts, devices=devices, pictures=blobs, feed=feed, clock=clock),
            health_router({"database": works}, dict),
            session_router(login),
        ]
        application = make_application(
            routers, static=path, allowed_hosts=frozenset({"vedette.lan"}), gate=Gate(sessions, COOKIE)
        )
        watch = OperatorWatch(people=store, sessions=sessions, streams=feed, clock=clock)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            accounts = Accounts(store, clock)
            await accounts.add("anna", PASSWORD)
            yield Site(http, database, accounts, sessions, feed, watch, counters, clock, application)
