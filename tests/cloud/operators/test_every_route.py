"""Every route of the service as it is put together: which of them answer strangers, where operators log in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.errors import NobodyMayLogIn
from cloud.operators.accounts import Accounts
from cloud.store.database import open_database
from cloud.store.operators import OperatorStore
from cloud.wiring import opened
from tests.cloud.operators.site import PASSWORD
from tests.cloud.running import running, settings_for
from tests.system.engines import need_models

pytestmark = pytest.mark.parts

VALUES = {
    "device": "cam-1",
    "name": "timestamp.json",
    "path": "nothing/here",
    "question_id": "0" * 32,
    "alert_id": "0" * 32,
    "audit_id": "0" * 32,
    "rollout_id": "0" * 32,
    "command_id": "0" * 32,
}
ANYBODYS = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/style.css"),
    ("GET", "/login/mark.svg"),
    ("GET", "/login/again"),
    ("GET", "/login/again.js"),
}
SIGNED = {("GET", "/v1/repository/metadata/{name}"), ("GET", "/v1/repository/targets/{path:path}")}
BY_DEVICE_TOKEN = {
    ("POST", "/v1/questions"),
    ("PUT", "/v1/pictures/{alert_id}"),
    ("POST", "/v1/audits"),
    ("GET", "/v1/audits/{audit_id}"),
    ("PUT", "/v1/snapshots/{command_id}"),
    ("PUT", "/v1/clips/{command_id}"),
}


def routes(among: Sequence[object]) -> Iterator[tuple[str, str]]:
    """Method and path of each; FastAPI keeps what is included together, or one by one."""
    for route in among:
        if isinstance(route, APIRoute | Route):
            yield from ((method, route.path) for method in route.methods or () if method != "HEAD")
        elif isinstance(route, Mount):  # the dashboard's files
            yield from (("GET", path) for path in ("/", "/index.html", "/mark.svg", "/assets/index.js"))
        elif isinstance(included := getattr(route, "original_router", None), APIRouter):
            yield from routes(included.routes)
        else:
            pytest.fail(f"a route of another kind: {route!r}")


def address(path: str) -> str:
    return re.sub(r"{(\w+)[^}]*}", lambda name: VALUES[name[1]], path)


async def add_operator(data_dir: Path) -> None:
    data = DataDir(data_dir)
    data.make()
    async with open_database(data.database_url) as database:
        await Accounts(OperatorStore(database), SystemClock()).add("anna", PASSWORD)


@pytest.mark.parametrize("tls", [False, True], ids=["devices-by-tokens", "devices-by-certificates"])
async def test_a_stranger_is_turned_away_from_all_but_these(tmp_path: Path, tls: bool) -> None:
    need_models()
    data = tmp_path / "data"
    await add_operator(data)
    changes: dict[str, Any] = {"tls": tls, "device_port": 0, "login": {"always": True}, "answer_questions": True}
    async with opened(settings_for(data, **changes), DataDir(data)) as parts:
        application = parts.servers[0][0].config.app
        assert isinstance(application, FastAPI)
        every = set(routes(application.routes))
        assert every >= ANYBODYS | SIGNED | BY_DEVICE_TOKEN | {("GET", "/metrics"), ("GET", "/openapi.json")}
        assert len(every) > 35
        turned_away, tokens_wanted, answered = set(), set(), set()
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
            for method, path in every:
                answer = await stranger.request(method, address(path))
                error = answer.json()["error"] if answer.status_code == 401 else None
                place = {"LoginRequired": turned_away, "TokenRefused": tokens_wanted}.get(str(error), answered)
                place.add((method, path))
            unknown = [("GET", "/nothing"), ("PATCH", "/api/alerts"), ("GET", "/v1/pictures/" + "0" * 32)]
            unknown += [("GET", "//healthz"), ("GET", "/healthz/"), ("DELETE", "/healthz"), ("POST", "/login/")]
            for method, path in unknown:
                assert (await stranger.request(method, path)).status_code == 401, (method, path)
    assert answered == ANYBODYS | (set() if tls else SIGNED)
    assert tokens_wanted == (set() if tls else BY_DEVICE_TOKEN)
    assert {("GET", "/"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/api/events")} <= turned_away


async def test_on_loopback_nobody_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as service:
        assert await service.get("/api/session") == {"asked": False, "operator": None, "by_session": False}
        assert (await service.http.get("/api/summary")).status_code == 200
        assert (await service.http.get("/login")).status_code == 404


async def test_where_nobody_could_log_in_the_service_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(NobodyMayLogIn, match="operator add"):
        async with running(tmp_path / "data", login={"always": True}):
            pass
