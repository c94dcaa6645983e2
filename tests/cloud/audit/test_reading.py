"""What a person and a program are told: over HTTP and on the command line, on the real store."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli import app
from cloud.cli.telling import output
from cloud.store.audits import AuditStore
from cloud.store.database import open_database
from cloud.web.audits import AuditReport, estimates_router
from tests.cloud.audit.test_store import NEW, OLD, add
from tests.cloud.offload.fakes import hex_id
from vision.estimates import Counts


async def fill(store: AuditStore) -> None:
    """Twenty frames of each of two models on one camera, a few of another, one lost and one not looked at yet."""
    for number in range(1, 41):
        new = number > 20
        counts = Counts(3, 3, 4) if new else Counts(number % 2, 2, 4)
        model = {"model_digest": NEW, "model": "newer 2"} if new else {"model_digest": OLD, "model": "older 1"}
        await add(store, number, counts, **model)
    await add(store, 50, Counts(1, 1, 1), camera="gate", model_digest=NEW, model="newer 2")
    await add(store, 42, None, model_digest=NEW, model="newer 2")


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    clock = SystemClock()
    data = DataDir(tmp_path)
    data.make()
    async with open_database(data.database_url) as database:
        store = AuditStore(database, clock)
        await fill(store)
        web = FastAPI()
        web.include_router(estimates_router(audits=store, clock=clock))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://cloud") as client:
            yield client


async def read(http: httpx.AsyncClient, **query: str) -> AuditReport:
    answer = await http.get("/api/audits/estimates", params=query)
    assert answer.status_code == 200, answer.text
    return AuditReport.model_validate(answer.json())


async def test_each_model_over_all_cameras_then_each_camera_with_its_models(http: httpx.AsyncClient) -> None:
    report = await read(http)
    told = [(one.device, one.camera, one.model, one.label, one.audits) for one in report.estimates]
    assert told == [
        (None, None, "older 1", None, 20), (None, None, "older 1", "person", 20),
        (None, None, "newer 2", None, 21), (None, None, "newer 2", "person", 21),
        ("cam-1", "gate", "newer 2", None, 1), ("cam-1", "gate", "newer 2", "person", 1),
        ("cam-1", "yard", "older 1", None, 20), ("cam-1", "yard", "older 1", "person", 20),
        ("cam-1", "yard", "newer 2", None, 20), ("cam-1", "yard", "newer 2", "person", 20),
    ]  # fmt: skip
    old = report.estimates[6]
    assert old.recall is not None
    assert (old.recall.value, old.recall.frames) == (0.125, 20)
    assert old.recall.low < 0.125 < old.recall.high
    gate, yard = report.cameras
    assert (gate.lost, yard.kept, yard.lost, yard.waiting) == (0, 41, 1, 1)


async def test_it_can_be_narrowed(http: httpx.AsyncClient) -> None:
    yard = await read(http, device="cam-1", camera="yard", label="person")
    assert [one.model for one in yard.estimates] == ["older 1", "newer 2"]
    assert [one.camera for one in yard.cameras] == ["yard"]
    for model in ("newer", "bbbb", "sha256:bb"):
        assert {one.model for one in (await read(http, model=model)).estimates} == {"newer 2"}
    assert (await read(http, device="cam-2")).estimates == ()
    assert (await read(http, days="0.000000001")).estimates == ()


@pytest.mark.parametrize("query", [{"days": "-1"}, {"days": "x"}, {"device": "../x"}])
async def test_what_makes_no_sense_is_refused(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert (await http.get("/api/audits/estimates", params=query)).status_code == 422


async def test_one_audit_can_be_looked_up(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/api/audits/{hex_id(30)}")
    (counts,) = answer.json()["counts"]
    assert counts == {"label": "person", "matched": 3, "shown": 3, "there": 4}, "and nothing that was not said"


# --- the command line -----------------------------------------------------------------------------------------


def types(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words, "--data-dir", str(folder)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def made() -> None:
        data = DataDir(tmp_path)
        data.make()
        async with open_database(data.database_url) as database:
            await fill(AuditStore(database, SystemClock()))

    asyncio.run(made())
    return tmp_path


def test_a_table_with_intervals_and_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "width", 160)
    said = types(folder, "--device", "cam-1", "--label", "person").output
    lines = said.splitlines()
    assert lines[0].split() == ["device", "camera", "model", "label", "audits", "recall", "precision", "F1"]
    assert "older 1" in lines[2]
    assert re.search(r" 0\.12 \(0\.0\d–0\.2\d, 20\) ", lines[2])
    assert "cam-1 yard: 1 of 42 drawn frames never arrived, 1 wait to be looked at" in said


def test_the_same_for_programs(folder: Path) -> None:
    report = json.loads(types(folder, "--model", "newer", "--camera", "gate", "--json").output)
    assert [one["label"] for one in report["estimates"]] == [None, "person"]


def test_before_the_first_audit_it_says_how_to_have_one(tmp_path: Path) -> None:
    said = types(tmp_path / "data")
    assert said.exit_code == 0
    assert "No frame was audited in the last 30 days. Devices draw them as the table [audit]" in said.output


@pytest.mark.parametrize("named", ["--device", "--camera", "--label", "--model"])
def test_where_nothing_fits_it_says_what_to_leave_out(folder: Path, named: str) -> None:
    said = types(folder, named, "nowhere")
    assert said.exit_code == 0
    assert "Leave out --device" in said.output
    assert "[audit]" not in said.output
