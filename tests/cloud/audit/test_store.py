"""Audits on the real database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.audit.accuracy import AuditedModels
from cloud.audit.estimate import accuracies, drop_between
from cloud.errors import NotFound
from cloud.store.audits import AuditStore
from cloud.store.database import open_database
from tests.cloud.audit.fakes import AT, audit
from tests.cloud.migrated import migrated
from tests.cloud.offload.fakes import hex_id
from tests.cloud.samples import ManualClock
from vision.estimates import Counts, Sums, total
from wire.audits import AuditOutcome, LabelCounts

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
EVER = AT - timedelta(days=10_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[AuditStore]:
    async with open_database(await migrated(tmp_path / "db")) as database:
        yield AuditStore(database, clock)


def outcome(number: int, *counts: LabelCounts) -> AuditOutcome:
    return AuditOutcome(
        message_id=hex_id(9000 + number),
        device="cam-1",
        made_at=AT,
        audit_id=hex_id(number),
        model="big",
        counts=counts,
    )


async def add(store: AuditStore, number: int, counts: Counts | None, **changes: object) -> None:
    await store.add(audit(number, **changes), f"key-{number}", 1000)
    if counts is not None:
        one = LabelCounts(label="person", matched=counts.matched, shown=counts.shown, there=counts.there)
        await store.conclude(outcome(number, *([one] if counts.shown + counts.there else [])), counts)


async def test_an_audit_is_kept_once_and_concluded_once(store: AuditStore) -> None:
    assert await store.find(hex_id(1)) is None
    await asyncio.gather(*(store.add(audit(1), "key", 10) for _ in range(5)))
    assert await store.find(hex_id(1)) == ("cam-1", None)
    assert await store.open(10) == [(audit(1), "key")]
    with pytest.raises(NotFound):
        await store.outcome(hex_id(1))
    first = outcome(1, LabelCounts(label="person", matched=1, shown=1, there=1))
    await store.conclude(first, Counts(1, 1, 1))
    await store.conclude(outcome(1).model_copy(update={"model": "other"}), Counts(0, 0, 0))
    assert await store.find(hex_id(1)) == ("cam-1", first)
    assert await store.outcome(hex_id(1)) == first
    assert (await store.open(10), await store.waiting()) == ([], 0)
    [whole, person] = await store.sums(EVER)
    assert (whole.sums.matched, person.sums.matched) == (pytest.approx(100), pytest.approx(100))


async def test_the_database_adds_up_as_the_estimator_does(store: AuditStore) -> None:
    chance = random.Random(4)
    frames: list[tuple[Counts, float]] = []
    for number in range(1, 60):
        there = chance.choice([0, 0, 1, 3, 8])
        matched = chance.randint(0, there)
        counts = Counts(matched, matched + chance.randint(0, 2), there)
        probability = chance.choice([0.01, 0.2, 1.0])
        frames.append((counts, probability))
        await add(store, number, counts, probability=probability)
    await add(store, 60, None)
    [whole, person] = await store.sums(EVER)
    expected = total(Sums.of(*one) for one in frames)
    for name in Sums.__dataclass_fields__:
        assert getattr(whole.sums, name) == pytest.approx(getattr(expected, name)), name
    # Under the label, frames without such an object have no row, which changes no figure but the number of frames.
    for name in Sums.__dataclass_fields__.keys() - {"frames"}:
        assert getattr(person.sums, name) == pytest.approx(getattr(whole.sums, name)), name
    assert person.sums.frames == whole.sums.with_any < whole.sums.frames
    found = {one.audited.label: one for one in accuracies([whole, person]) if one.audited.device is not None}
    assert found[None].f1 == found["person"].f1
    assert found[None].audited.audits == found["person"].audited.audits == 59


async def test_cameras_models_and_times_are_kept_apart(store: AuditStore, clock: ManualClock) -> None:
    await add(store, 1, Counts(1, 1, 1), model_digest=OLD, model="old 1")
    await add(store, 2, Counts(1, 1, 1), model_digest=OLD, model="old 1", camera="gate")
    since = clock.wall() + timedelta(seconds=1)
    clock.turn(60)
    await add(store, 3, Counts(0, 1, 1), model_digest=NEW)
    rows = {(one.camera, one.model_digest) for one in await store.sums(EVER)}
    assert rows == {("yard", OLD), ("gate", OLD), ("yard", NEW)}
    assert {one.model_digest for one in await store.sums(since)} == {NEW}
    assert {one.model_digest for one in await store.sums(EVER, (OLD,))} == {OLD}
    assert {one.model for one in await store.sums(EVER, (OLD,))} == {"old 1"}
    whole = [one for one in accuracies(await store.sums(EVER)) if one.audited.device is None]
    assert [(one.audited.model_digest, one.audited.label, one.audited.audits) for one in whole] == [
        (OLD, None, 2), (OLD, "person", 2), (NEW, None, 1), (NEW, "person", 1),
    ]  # fmt: skip


async def test_what_never_arrived_is_told_from_the_gaps(store: AuditStore) -> None:
    for number in (2, 3, 6):
        await add(store, number, Counts(0, 0, 0))
    await add(store, 20, None, boot_id=hex_id(8))
    await add(store, 30, None, camera="gate")
    gate, yard = await store.cameras(EVER)
    assert (yard.kept, yard.waiting, yard.lost, yard.walked) == (4, 1, 2, 600 + 2000)
    assert (gate.camera, gate.kept, gate.lost, gate.picture_bytes) == ("gate", 1, 0, 1000)
    assert await store.cameras(AT + timedelta(days=10_000)) == []


async def test_a_rollout_is_told_of_a_drop_where_enough_was_audited(store: AuditStore, clock: ManualClock) -> None:
    models = AuditedModels(store, clock)
    for number in range(1, 31):
        await add(store, number, Counts(3 + number % 2, 4, 4), model_digest=OLD)
    assert await models.drop(OLD, NEW) is None
    for number in range(31, 61):
        await add(store, number, Counts(number % 2, 4, 4), model_digest=NEW)
    assert await models.drop(OLD, NEW) is None, "asked ten seconds ago"
    clock.turn(11)
    found = await models.drop(OLD, NEW)
    assert found is not None
    assert (found.before, found.now) == (pytest.approx(0.875), pytest.approx(0.125))
    assert found.exceeds(0.05)
    same = drop_between(OLD, OLD, await store.sums(EVER), level=0.99, enough_frames=30)
    assert same is not None
    assert not same.exceeds(0.0)
    assert drop_between(OLD, NEW, await store.sums(EVER), level=0.99, enough_frames=31) is None
