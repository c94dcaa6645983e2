"""What Prometheus is told of the service.

Nothing here is labelled with a device, a camera or an id: a fleet of thousands would make as many series of each.
What concerns one device is in the API and in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud.deployment import Phase
from cloud.errors import CloudError, StoreError
from cloud.fleet.presence import SILENT_AFTER
from cloud.offload.ports import Witness
from cloud.ports import Clock
from cloud.store.figures import FleetFigures
from vision.detections import Detections, Detector, Image
from wire.messages import AlertState, Decision, Question, Verdict
from wire.updates import UpdateState

READ_EVERY_S: Final = 5.0
"""However many ask, the database is asked no more often: ten thousand devices take it 0.1 s."""
EXPIRIES_EVERY_S: Final = 60.0
"""The repository is some 130 files, and its shortest life is a day."""
_VERDICT_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""A device waits some seconds for a verdict; a late one may take minutes."""
_INFER_BUCKETS_S: Final = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)


class Figures(Protocol):
    """Where the sums of the fleet come from."""

    async def figures(self, online_since: datetime) -> FleetFigures:
        """The sums now; a database that refuses is a `StoreError`."""


class Repository(Protocol):
    """Where it is said how long the signed metadata holds."""

    def expiries(self) -> Mapping[str, datetime]:
        """By kind of role; no repository, or a broken one, is a `CloudError`."""


class TimedDetector:
    """A detector whose runs are timed."""

    def __init__(self, detector: Detector, seconds: Histogram) -> None:
        self._detector = detector
        self._seconds = seconds

    @property
    def labels(self) -> tuple[str, ...]:
        """One name per class index."""
        return self._detector.labels

    def detect(self, image: Image, min_score: float) -> Detections:
        """The objects in `image`; see `vision.detections.Detector`."""
        with self._seconds.time():
            return self._detector.detect(image, min_score)


class CountingWitness:
    """Counts questions and verdicts on their way to another witness."""

    def __init__(self, instruments: Instruments, then: Witness) -> None:
        self._instruments = instruments
        self._then = then

    def asked(self, question: Question, picture_key: str) -> None:
        """The question was accepted and stored."""
        self._instruments.questions.inc()
        self._then.asked(question, picture_key)

    def decided(self, question: Question, verdict: Verdict) -> None:
        """The verdict was stored."""
        self._instruments.verdicts.labels(verdict.decision, "true" if verdict.late else "false").inc()
        self._instruments.verdict_seconds.observe(verdict.took_ms / 1000)
        self._then.decided(question, verdict)


class Instruments:
    """What is measured as it happens; all else is read when it is asked for."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.questions: Final = Counter(
            "vedette_questions", "Questions of devices that were accepted and stored.", registry=self.registry
        )
        self.verdicts: Final = Counter(
            "vedette_verdicts",
            "Verdicts that were stored; late ones missed their question's deadline.",
            ("decision", "late"),
            registry=self.registry,
        )
        self.verdict_seconds: Final = Histogram(
            "vedette_verdict_seconds",
            "From a question's receipt to its verdict.",
            buckets=_VERDICT_BUCKETS_S,
            registry=self.registry,
        )
        self.infer_seconds: Final = Histogram(
            "vedette_infer_seconds",
            "One run of the model over one picture, without the wait before it.",
            buckets=_INFER_BUCKETS_S,
            registry=self.registry,
        )
        self.infer_waiting: Final = Gauge(
            "vedette_infer_waiting", "Pictures that wait for the model.", registry=self.registry
        )
        for decision in Decision:
            for late in ("true", "false"):
                self.verdicts.labels(decision, late)
        ProcessCollector(registry=self.registry)


class Exposition:
    """The whole text that `GET /metrics` answers."""

    def __init__(
        self,
        *,
        instruments: Instruments,
        counts: Callable[[], Mapping[str, int]],
        checks: Mapping[str, Callable[[], Awaitable[bool]]],
        store: Figures,
        repository: Repository,
        version: str,
        clock: Clock,
    ) -> None:
        self._instruments = instruments
        self._counts = counts
        self._checks = checks
        self._store = store
        self._repository = repository
        self._version = version
        self._clock = clock
        self._turn = asyncio.Lock()
        self._fleet: tuple[float, FleetFigures] | None = None
        self._expiries: tuple[float, Mapping[str, datetime]] | None = None

    async def text(self) -> bytes:
        """The text exposition format, version 0.0.4.

        A database that refuses leaves out what it would have said, and `vedette_ready{part="database"}` is 0: the
        rest is wanted most when something is wrong.
        """
        ready = {part: await check() for part, check in self._checks.items()}
        async with self._turn:
            fleet = await self._read_fleet()
            expiries = await self._read_expiries()
        families = [*_own(self._version, ready), *_counters(self._counts()), *_expiring(expiries)]
        if fleet is not None:
            families += _of_the_fleet(fleet)
        return generate_latest(self._instruments.registry) + generate_latest(_Made(families))

    async def _read_fleet(self) -> FleetFigures | None:
        now = self._clock.monotonic()
        if self._fleet is None or now - self._fleet[0] >= READ_EVERY_S:
            try:
                found = await self._store.figures(self._clock.wall() - SILENT_AFTER)
            except StoreError:
                self._fleet = None
                return None
            self._fleet = (now, found)
        return self._fleet[1]

    async def _read_expiries(self) -> Mapping[str, datetime]:
        now = self._clock.monotonic()
        if self._expiries is None or now - self._expiries[0] >= EXPIRIES_EVERY_S:
            self._expiries = (now, await asyncio.to_thread(self._expiries_now))
        return self._expiries[1]

    def _expiries_now(self) -> Mapping[str, datetime]:
        try:
            return self._repository.expiries()
        except CloudError:  # none yet, or broken: then `vedette_ready{part="repository"}` says so
            return {}


class _Made(Collector):
    """Families that were made beforehand: reading them needs the event loop, which a collector does not have."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _own(version: str, ready: Mapping[str, bool]) -> Iterable[Metric]:
    build = GaugeMetricFamily("vedette_build_info", "Always 1; the version is its label.", labels=["version"])
    build.add_metric([version], 1)
    yield build
    parts = GaugeMetricFamily("vedette_ready", "1 where the part of the service works.", labels=["part"])
    for part, works in ready.items():
        parts.add_metric([part], works)
    yield parts


COUNTED: Final[Mapping[str, tuple[str, str]]] = {
    "ingest.alerts": ("vedette_ingest_alerts", "Messages about alerts that were stored."),
    "ingest.repeats": ("vedette_ingest_repeats", "Messages that were stored before; harmless, devices repeat."),
    "ingest.out_of_order": ("vedette_ingest_out_of_order", "Messages that came before one of a lower sequence."),
    "ingest.left": ("vedette_ingest_left", "Messages left unacked, to come again behind the one they wait for."),
    "ingest.missing": ("vedette_ingest_missing", "Sequence numbers that never came, and were no longer waited for."),
    "auth.admitted": ("vedette_auth_admitted", "Connections of devices that were admitted."),
    "auth.failed": ("vedette_auth_failed", "Connections refused since the token could not be checked."),
    "broker.restarts": ("vedette_broker_restarts", "Times that the embedded broker was started again."),
    "retention.failed": ("vedette_retention_failed", "Times that what is too old could not all be forgotten."),
    "retention.refused": (
        "vedette_retention_refused",
        "Files that were too old and could not be deleted, counted each time that it is tried.",
    ),
    "link.redelivered": (
        "vedette_link_redelivered",
        "Messages that the broker repeated, since they were not acknowledged in time.",
    ),
    "link.reconnects": ("vedette_link_reconnects", "Attempts to connect to the broker that failed."),
    "home.reconnects": ("vedette_home_reconnects", "Connections to Home Assistant's broker that failed or broke."),
    "push.delivered": ("vedette_push_delivered", "Alerts that a receiver of pushes took."),
    "push.dropped": (
        "vedette_push_dropped",
        "Alerts that a receiver refused, or that could not be delivered in time.",
    ),
    "login.accepted": ("vedette_logins", "Logins of operators."),
    "login.failed": ("vedette_login_failures", "Logins that were refused: name or password was wrong."),
    "login.held_back": ("vedette_login_held_back", "Logins that came faster than they may, and were not looked at."),
    "push.failed": ("vedette_push_failed", "Requests to receivers of pushes that were not taken."),
}
"""Counts by the name under which the parts count them: the metric, without `_total`, and what it means."""

COUNTED_BY: Final[Mapping[str, tuple[str, str, str]]] = {
    "ingest.refused.": ("vedette_ingest_refused", "error", "Messages of devices that were refused, by why."),
    "auth.refused.": ("vedette_auth_refused", "reason", "Connections that were refused, by why."),
    "retention.": ("vedette_forgotten", "kind", "What was too old and is not kept any more, by kind."),
    "ingest.": ("vedette_ingest_errors", "error", "Batches that could not be stored at once, by why."),
}
"""Counts by the beginning of their name, the longer ones first: the metric, the label that takes the rest, and what
it means. The rest is the name of an error class or of a reason in the code, never what a device sent."""


def _counters(counts: Mapping[str, int]) -> Iterable[Metric]:
    for counted, (name, meaning) in COUNTED.items():
        yield CounterMetricFamily(name, meaning, value=counts.get(counted, 0))
    labelled = {
        name: CounterMetricFamily(name, meaning, labels=[label]) for name, label, meaning in COUNTED_BY.values()
    }
    for counted in sorted(counts.keys() - COUNTED.keys()):
        for beginning, (name, _, _) in COUNTED_BY.items():
            if counted.startswith(beginning):
                labelled[name].add_metric([counted.removeprefix(beginning)], counts[counted])
                break
    yield from labelled.values()


def _of_the_fleet(figures: FleetFigures) -> Iterable[Metric]:
    yield GaugeMetricFamily("vedette_devices_enrolled", "Devices that were not revoked.", value=figures.enrolled)
    yield GaugeMetricFamily("vedette_devices_online", "Enrolled devices that are there now.", value=figures.online)
    yield GaugeMetricFamily(
        "vedette_devices_never_seen", "Enrolled devices that have not connected yet.", value=figures.never_seen
    )
    yield GaugeMetricFamily(
        "vedette_outbox_alerts",
        "Alert messages that wait on the devices for the service's ack, as they said last.",
        value=figures.outbox_alerts,
    )
    yield GaugeMetricFamily(
        "vedette_outbox_alerts_max", "The most of them on one device.", value=figures.outbox_alerts_max
    )
    yield _by(
        "vedette_device_updates",
        "Enrolled devices by the state of their model's update.",
        "state",
        figures.update_states,
        UpdateState,
    )
    yield _by("vedette_alerts", "Alerts in the store, as they stand.", "state", figures.alerts, AlertState)
    yield GaugeMetricFamily(
        "vedette_questions_unanswered", "Questions without a verdict so far.", value=figures.questions_unanswered
    )
    yield _by("vedette_rollouts", "Rollouts in the store, as they stand.", "phase", figures.rollouts, Phase)
    yield GaugeMetricFamily(
        "vedette_commands_open", "Commands that are not answered yet.", value=figures.commands_open
    )
    yield _by("vedette_picture_bytes", "Pictures in the store.", "of", figures.picture_bytes, figures.picture_bytes)


def _by(name: str, meaning: str, label: str, found: Mapping[str, int], known: Iterable[str]) -> Metric:
    """One series for each that is known, 0 where none was found: a series that comes and goes can't be watched."""
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value in known:
        family.add_metric([str(value)], found.get(value, 0))
    return family


def _expiring(expiries: Mapping[str, datetime]) -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "vedette_repository_expiry_timestamp_seconds",
        "When the signed metadata expires, the soonest of each role.",
        labels=["role"],
    )
    for role, expires in sorted(expiries.items()):
        family.add_metric([role], expires.timestamp())
    yield family


def every_family() -> list[Metric]:
    """All that can be told, with values that mean nothing: for the documents."""
    nothing = FleetFigures(0, 0, 0, 0, 0, {}, {}, 0, {}, 0, {"alert": 0, "question": 0})
    counts = {beginning + "x": 1 for beginning in COUNTED_BY}
    return [
        *_own("0", {"database": True}),
        *_of_the_fleet(nothing),
        *_counters(counts),
        *Instruments().registry.collect(),
        *_expiring({"root": datetime.fromtimestamp(0, UTC)}),
    ]
