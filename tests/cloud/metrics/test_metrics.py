"""What Prometheus is told, read by Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloud.adapters.metrics import READ_EVERY_S, CountingWitness, Exposition, Instruments, TimedDetector
from cloud.domain import Arrival
from cloud.errors import StoreFailed
from cloud.ingest.plan import plan
from cloud.registry.service import Registry
from cloud.store.batches import BatchStore
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from cloud.store.figures import FigureStore, FleetFigures
from tests.cloud.migrated import migrated
from tests.cloud.registry.samples import open_shop
from tests.cloud.running import running
from tests.cloud.samples import NOW, ManualClock, alert, connected, question, status, telemetry, verdict
from vision.detections import Detections, Image, no_detections
from wire.messages import AlertState
from wire.topics import Channel

Labels = tuple[tuple[str, str], ...]


def read(text: bytes) -> dict[tuple[str, Labels], float]:
    """Each sample once, by its name and labels; a family or sample that comes twice is refused."""
    found: dict[tuple[str, Labels], float] = {}
    families: set[str] = set()
    for family in text_string_to_metric_families(text.decode()):
        assert family.name not in families, family.name
        assert family.documentation, family.name
        families.add(family.name)
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


class Sums:
    """A database that can be taken away, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def figures(self, online_since: object) -> FleetFigures:
        self.asked += 1
        if self.away:
            raise StoreFailed("the database refused: disk I/O error")
        return FleetFigures(
            enrolled=3,
            online=2,
            never_seen=1,
            outbox_alerts=7,
            outbox_alerts_max=5,
            update_states={"rolled_back": 1},
            alerts={"confirmed": 4},
            questions_unanswered=0,
            rollouts={"running": 1},
            commands_open=0,
            picture_bytes={"alert": 10, "question": 20},
        )


class Unnoticed:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def asked(self, question: object, picture_key: str) -> None:
        self.heard.append("asked")

    def decided(self, question: object, verdict: object) -> None:
        self.heard.append("decided")


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def exposition(
    clock: ManualClock, tmp_path: Path, *, sums: Sums | None = None, counts: Mapping[str, int] | None = None
) -> Exposition:
    return Exposition(
        instruments=Instruments(),
        counts=lambda: counts or {},
        checks={"database": yes, "broker": no},
        store=sums or Sums(),
        repository=Registry(tmp_path / "nothing", clock),
        version="1.2.3",
        clock=clock,
    )


async def test_counts_become_counters_with_bounded_labels(clock: ManualClock, tmp_path: Path) -> None:
    counts = {
        "ingest.alerts": 5,
        "ingest.refused.NotOurs": 2,
        "ingest.StoreFailed": 1,
        "auth.refused.unknown": 3,
        "auth.admitted": 9,
    }
    found = read(await exposition(clock, tmp_path, counts=counts).text())
    assert found["vedette_ingest_alerts_total", ()] == 5
    assert found["vedette_ingest_refused_total", (("error", "NotOurs"),)] == 2
    assert found["vedette_ingest_errors_total", (("error", "StoreFailed"),)] == 1
    assert found["vedette_auth_refused_total", (("reason", "unknown"),)] == 3
    assert found["vedette_auth_admitted_total", ()] == 9
    assert found["vedette_broker_restarts_total", ()] == 0


async def test_states_are_there_before_they_happen(clock: ManualClock, tmp_path: Path) -> None:
    found = read(await exposition(clock, tmp_path).text())
    assert found["vedette_alerts", (("state", "confirmed"),)] == 4
    assert found["vedette_alerts", (("state", "retracted"),)] == 0
    assert found["vedette_device_updates", (("state", "rolled_back"),)] == 1
    assert found["vedette_device_updates", (("state", "rollback_failed"),)] == 0
    assert found["vedette_rollouts", (("phase", "halted"),)] == 0
    assert found["vedette_ready", (("part", "database"),)] == 1
    assert found["vedette_ready", (("part", "broker"),)] == 0
    assert found["vedette_build_info", (("version", "1.2.3"),)] == 1


async def test_the_database_is_asked_now_and_then_however_many_scrape(clock: ManualClock, tmp_path: Path) -> None:
    sums = Sums()
    told = exposition(clock, tmp_path, sums=sums)
    await told.text()
    await told.text()
    assert sums.asked == 1
    clock.turn(READ_EVERY_S)
    await told.text()
    assert sums.asked == 2


async def test_a_database_that_refuses_takes_only_its_own_figures_away(clock: ManualClock, tmp_path: Path) -> None:
    sums = Sums()
    told = exposition(clock, tmp_path, sums=sums)
    assert ("vedette_devices_online", ()) in read(await told.text())
    sums.away = True
    clock.turn(READ_EVERY_S)
    found = read(await told.text())
    assert ("vedette_devices_online", ()) not in found
    assert found["vedette_ready", (("part", "broker"),)] == 0


async def test_verdicts_are_counted_and_timed_on_their_way(clock: ManualClock, tmp_path: Path) -> None:
    instruments, then = Instruments(), Unnoticed()
    witness = CountingWitness(instruments, then)
    asked = question(alert())
    witness.asked(asked, "key")
    witness.decided(asked, verdict(asked, took_ms=210.0))
    witness.decided(asked, verdict(asked, took_ms=4000.0, late=True, decision="retracted"))
    told = Exposition(
        instruments=instruments,
        counts=dict,
        checks={},
        store=Sums(),
        repository=Registry(tmp_path / "nothing", clock),
        version="1",
        clock=clock,
    )
    found = read(await told.text())
    assert then.heard == ["asked", "decided", "decided"]
    assert found["vedette_questions_total", ()] == 1
    assert found["vedette_verdicts_total", (("decision", "confirmed"), ("late", "false"))] == 1
    assert found["vedette_verdicts_total", (("decision", "retracted"), ("late", "true"))] == 1
    assert found["vedette_verdict_seconds_bucket", (("le", "0.25"),)] == 1
    assert found["vedette_verdict_seconds_sum", ()] == pytest.approx(4.21)


class Looking:
    labels = ("person",)

    def detect(self, image: Image, min_score: float) -> Detections:
        assert min_score == 0.3
        return no_detections(self.labels)


def test_a_run_of_the_model_is_timed() -> None:
    instruments = Instruments()
    detector = TimedDetector(Looking(), instruments.infer_seconds)
    assert len(detector.detect(np.zeros((4, 4, 3), np.uint8), 0.3)) == 0
    assert detector.labels == ("person",)
    assert instruments.registry.get_sample_value("vedette_infer_seconds_count") == 1


async def test_expiry_is_told_by_role_the_soonest_of_each(tmp_path: Path) -> None:
    shop = open_shop(tmp_path)
    told = Exposition(
        instruments=Instruments(),
        counts=dict,
        checks={},
        store=Sums(),
        repository=shop.registry,
        version="1",
        clock=shop.clock,
    )
    found = read(await told.text())
    now = shop.clock.wall().timestamp()
    days = {
        dict(labels)["role"]: round((at - now) / 86_400)
        for (name, labels), at in found.items()
        if name == "vedette_repository_expiry_timestamp_seconds"
    }
    assert days == {"root": 365, "snapshot": 7, "timestamp": 1, "targets": 365, "releases": 365, "groups": 30}


async def test_sums_of_the_fleet(tmp_path: Path) -> None:
    async with open_database(await migrated(tmp_path / "db")) as database:
        devices = DeviceStore(database)
        for name in ("cam-1", "cam-2", "gone"):
            await devices.add(name, name, NOW)
        await devices.revoke("gone", NOW)
        arrivals = [
            Arrival(message, NOW)
            for message in (
                status("cam-1"),
                telemetry("cam-1", outbox_depth=12),
                alert("cam-1"),
                alert("cam-1", sequence=2, state=AlertState.CONFIRMED),
            )
        ]
        await BatchStore(database).commit(arrivals, lambda known: plan(arrivals, known))
        found = await FigureStore(database).figures(NOW - timedelta(seconds=130))
        later = await FigureStore(database).figures(NOW + timedelta(seconds=1))
    assert (found.enrolled, found.online, found.never_seen) == (2, 1, 1)
    assert (found.outbox_alerts, found.outbox_alerts_max) == (12, 12)
    assert found.alerts == {"provisional": 1, "confirmed": 1}
    assert later.online == 0


async def test_the_service_tells_of_its_devices_without_naming_them(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("porch-camera")
        first = alert("porch-camera", camera="front-door")
        async with connected(service.addresses.mqtt, "porch-camera", token) as device:
            await device.say(Channel.STATUS, status("porch-camera"))
            await device.say(Channel.ALERTS, first)
            await device.until_acked(first)
            answer = await service.http.get("/metrics")
    found = read(answer.content)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert found["vedette_devices_enrolled", ()] == 1
    assert found["vedette_ingest_alerts_total", ()] == 1
    assert found["vedette_alerts", (("state", "provisional"),)] == 1
    assert min(value for (name, _), value in found.items() if name == "vedette_ready") == 1
    assert found["process_resident_memory_bytes", ()] > 1e7
    assert "porch-camera" not in answer.text
    assert "front-door" not in answer.text
    assert token not in answer.text


async def test_metrics_refuse_a_foreign_host(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.get("/metrics", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert "vedette_" not in answer.text
