"""The alert rules: checked by promtool, and fired by a real Prometheus that scrapes the service's real exposition."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cloud.adapters.clock import SystemClock
from cloud.adapters.metrics import COUNTED, Exposition, Instruments
from cloud.store.figures import FleetFigures
from cloud.web.metrics import metrics_router
from cloud.web.server import HttpServer, listening, make_application
from tests.ports import free_port
from tests.system.engines import missing

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
BOUND_S = 90.0
FINE = FleetFigures(
    enrolled=10,
    online=10,
    never_seen=0,
    outbox_alerts=0,
    outbox_alerts_max=0,
    update_states={"committed": 10},
    alerts={"confirmed": 3},
    questions_unanswered=0,
    rollouts={"running": 1},
    commands_open=0,
    picture_bytes={"alert": 0, "question": 0},
)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (Debian's package `prometheus`)")
    return found


@pytest.mark.parametrize(
    "words",
    [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")],
)
def test_promtool_has_nothing_to_say(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [program("promtool"), *words], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_test_that_fires_it() -> None:
    rules = set(re.findall(r"(?m)^ +- alert: (\w+)$", (MONITORING / "rules.yml").read_text()))
    tests = (MONITORING / "rules_test.yml").read_text()
    fired = set(re.findall(r"(?m)^ +- alertname: (\w+)$", tests)) | set(re.findall(r'alertname="(\w+)"\}', tests))
    assert len(rules) > 10
    assert rules == fired


class Fleet:
    """What the exposition reads, to be changed while Prometheus looks on."""

    def __init__(self) -> None:
        self.now = FINE
        self.counts = {"ingest.alerts": 3}
        self.working = True
        self.expires_in = timedelta(hours=20)

    async def figures(self, online_since: datetime) -> FleetFigures:
        return self.now

    def expiries(self) -> dict[str, datetime]:
        return {"timestamp": SystemClock().wall() + self.expires_in}

    async def check(self) -> bool:
        return self.working


class Hurried(SystemClock):
    """Passes so fast that nothing read stays fresh: Prometheus scrapes ten times as often here."""

    def monotonic(self) -> float:
        return 1000 * super().monotonic()


@asynccontextmanager
async def scraped(fleet: Fleet) -> AsyncIterator[int]:
    exposition = Exposition(
        instruments=Instruments(),
        counts=lambda: fleet.counts,
        checks={"broker": fleet.check},
        store=fleet,
        repository=fleet,
        version="1",
        clock=Hurried(),
    )
    with listening("127.0.0.1", 0) as taken:
        server = HttpServer(make_application([metrics_router(exposition.text)], static=Path("nowhere")))
        task = asyncio.create_task(server.serve(sockets=[taken]))
        try:
            yield int(taken.getsockname()[1])
        finally:
            server.stop()
            await task


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """A real one, with the rules as they are but for how long something must last."""
    rules = re.sub(r"(?m)^( +)for: .*$", r"\1for: 1s", (MONITORING / "rules.yml").read_text())
    config = (MONITORING / "prometheus.yml").read_text().replace("15s", "1s").replace("127.0.0.1:8080", "{}")
    (folder / "rules.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(config.format(f"127.0.0.1:{target}"))
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(BOUND_S)


async def firing(http: httpx.AsyncClient) -> set[str]:
    try:
        answer = await http.get("/api/v1/alerts")
        found = answer.json()["data"]["alerts"]
    except (httpx.TransportError, json.JSONDecodeError, KeyError):
        return set()
    return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}


async def until(http: httpx.AsyncClient, expected: set[str]) -> None:
    """Exactly these fire; agents' targets are none here."""
    seen: set[str] = set()
    try:
        async with asyncio.timeout(BOUND_S):
            while (seen := await firing(http)) != expected:  # noqa: ASYNC110 - another process, which tells nobody
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"firing were {sorted(seen)}, not {sorted(expected)}")


async def scrapes(http: httpx.AsyncClient, query: str) -> None:
    """Until the query has an answer."""
    async with asyncio.timeout(BOUND_S):
        while True:
            try:
                answer = await http.get("/api/v1/query", params={"query": query})
                if answer.status_code == 200 and answer.json()["data"]["result"]:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)


async def test_a_real_prometheus_fires_and_settles(tmp_path: Path) -> None:
    assert "ingest.alerts" in COUNTED
    program("prometheus")
    fleet = Fleet()
    async with scraped(fleet) as port:
        with prometheus(tmp_path, port) as url:
            async with httpx.AsyncClient(base_url=url) as http:
                await scrapes(http, "count_over_time(vedette_devices_online[1m]) >= 3")
                assert await firing(http) == set()

                fleet.working = False
                fleet.expires_in = timedelta(hours=2)
                fleet.counts["ingest.missing"] = 4
                fleet.now = replace(
                    FINE,
                    online=6,
                    outbox_alerts=5000,
                    outbox_alerts_max=4000,
                    update_states={"committed": 8, "rolled_back": 2},
                    rollouts={"halted": 1},
                )
                await until(
                    http,
                    {
                        "VedetteNotReady",
                        "VedetteDevicesOffline",
                        "VedetteIngestStalled",
                        "VedetteOutboxGrowing",
                        "VedetteAlertsMissing",
                        "VedetteMetadataExpiring",
                        "VedetteModelRolledBack",
                        "VedetteRolloutHalted",
                    },
                )

                fleet.working, fleet.now, fleet.expires_in = True, FINE, timedelta(hours=20)
                # What was lost, and who went back, within the last hour stays worth a look.
                await until(http, {"VedetteAlertsMissing"})
