"""What is lost, twice or believed is found in the store; a reckoning that could not fail would be worth nothing."""

from __future__ import annotations

import json
import sqlite3

import httpx
import pytest

from workbench.errors import SimFailed
from workbench.sim.checking import PAGE, Stored, read_alerts, read_store


def hexed(number):
    return f"{number:032x}"


def ids(*numbers):
    return {bytes.fromhex(hexed(number)) for number in numbers}


def store(path, events):
    """`events`: message, alert, camera, sequence."""
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE alert_events (message_id, alert_id, device, camera, sequence)")
        file.execute("CREATE TABLE alerts (id)")
        rows = [(hexed(m), hexed(a), "sim-1", camera, sequence) for m, a, camera, sequence in events]
        file.executemany("INSERT INTO alert_events VALUES (?, ?, ?, ?, ?)", rows)
        file.executemany("INSERT INTO alerts VALUES (?)", [(hexed(a),) for a in {a for _, a, _, _ in events}])
    return path


GOOD = [(1, 100, "c", 1), (2, 100, "c", 2), (3, 101, "c", 3)]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        (GOOD, Stored(2, 0, 0, 0)),
        (GOOD[:2], Stored(1, 1, 0, 0)),
        ([*GOOD, GOOD[1]], Stored(2, 0, 1, 0)),
        ([*GOOD[:2], (3, 101, "c", 2)], Stored(2, 0, 1, 0)),
        ([*GOOD, (9, 109, "invented-1", 1)], Stored(2, 0, 0, 1)),
        ([*GOOD, (50, 150, "c", 1)], Stored(2, 0, 0, 0)),
    ],
    ids=["all once", "lost", "the same twice", "two under one sequence", "a lie", "another run's"],
)
def test_the_store_is_held_against_what_was_raised(tmp_path, events, found):
    assert read_store(store(tmp_path / "db", events), ids(1, 2, 3), ids(9)) == found


def test_a_store_that_is_none_has_a_name(tmp_path):
    with pytest.raises(SimFailed, match="can't be read"):
        read_store(tmp_path / "none", ids(1), set())


def api(pages):
    def answer(request):
        assert request.url.params["limit"] == str(PAGE)
        number = int(request.url.params.get("before", 0))
        following = str(number + 1) if number + 1 < len(pages) else None
        body = {"alerts": [{"id": hexed(one)} for one in pages[number]], "next": following}
        return httpx.Response(200, content=json.dumps(body))

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://service")


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([[5, 4], [3, 2], [1]], Stored(4, 0, 0, 0)),
        ([[5, 4], [2], [1]], Stored(3, 1, 0, 0)),
        ([[5, 4, 4], [3, 2], [1]], Stored(4, 0, 1, 0)),
        ([[]], Stored(0, 4, 0, 0)),
    ],
)
async def test_over_http_all_pages_are_read(pages, found):
    async with api(pages) as http:
        assert await read_alerts(http, ids(2, 3, 4, 5)) == found


async def test_a_service_that_refuses_has_a_name():
    transport = httpx.MockTransport(lambda request: httpx.Response(503))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        with pytest.raises(SimFailed, match="does not tell"):
            await read_alerts(http, ids(1))
