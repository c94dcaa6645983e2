"""Holds what the devices raised against what the service keeps, from outside: its database, or its HTTP interface."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import httpx

from workbench.errors import SimFailed

PAGE = 200


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies in the store.

    Attributes:
        alerts: Alerts whose messages were raised here.
        lost: Messages that were raised and are not there.
        twice: Messages that are there more than once, by id or by camera and sequence.
        lies: Messages that must not be there.
    """

    alerts: int
    lost: int
    twice: int
    lies: int


def read_store(database: Path, raised: AbstractSet[bytes], lies: AbstractSet[bytes]) -> Stored:
    """Compare.

    Args:
        database: The service's SQLite file, which it may be using.
        raised: Message ids of what the devices raised.
        lies: Message ids of what must have been refused.

    Raises:
        SimFailed: It can't be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30.0)) as file:
            rows = file.execute("SELECT message_id, alert_id, device, camera, sequence FROM alert_events").fetchall()
            standing = {row[0] for row in file.execute("SELECT id FROM alerts")}
    except sqlite3.Error as refused:
        raise SimFailed(f"{database} can't be read: {refused}", "Name the service's data directory.") from None
    ours = [row for row in rows if bytes.fromhex(row[0]) in raised]
    seen = {row[0] for row in ours}
    places = {row[2:] for row in ours}
    return Stored(
        alerts=len({row[1] for row in ours} & standing),
        lost=len(raised) - len(seen),
        twice=len(ours) - min(len(seen), len(places)),
        lies=sum(bytes.fromhex(row[0]) in lies for row in rows),
    )


async def read_alerts(http: httpx.AsyncClient, raised: AbstractSet[bytes]) -> Stored:
    """Compare by the alerts that the service shows; their single messages can't be seen from there.

    Args:
        http: At the service's address.
        raised: Ids of the alerts that the devices raised.

    Raises:
        SimFailed: It does not answer.
    """
    seen: Counter[bytes] = Counter()
    following: str | None = None
    try:
        while True:
            asked = {"limit": str(PAGE)} | ({} if following is None else {"before": following})
            answer = await http.get("/api/alerts", params=asked)
            page = json.loads(answer.raise_for_status().content)
            ours = [alert for one in page["alerts"] if (alert := bytes.fromhex(one["id"])) in raised]
            seen.update(ours)
            following = page["next"]
            # Newest first: once all are found, what is older is of others.
            if following is None or (len(seen) == len(raised) and not ours):
                break
    except (httpx.HTTPError, ValueError) as failed:
        raise SimFailed(f"the service does not tell its alerts: {failed}", "See its log.") from None
    return Stored(len(seen), len(raised) - len(seen), seen.total() - len(seen), 0)
