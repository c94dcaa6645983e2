"""A device without camera and network: scripted ports around the real store, record and worker."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.adapters.model_store import ModelStore
from agent.adapters.update_record_file import UpdateRecordFile
from agent.errors import CandidateRejected, DownloadFailed, UpdateError
from agent.update.boot import boot
from agent.update.journal import UpdateParts
from agent.update.machine import RESTING
from agent.update.ports import Candidate, Handover, Proof
from agent.update.record import ReportedFacts, UpdateRecord
from agent.update.settings import UpdateSettings
from agent.update.worker import UpdateWorker
from wire.errors import VedetteError
from wire.updates import Desired, GroupRelease, ModelRef, TrialFigures, UpdateState

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
FIGURES = TrialFigures(
    frames=30,
    agreement=0.9,
    detections_candidate=3,
    detections_current=2.5,
    latency_candidate_ms=40,
    latency_current_ms=6,
)


def content(name: str) -> bytes:
    return name.encode() * 100


def ref(name: str, number: int = 1) -> ModelRef:
    digest = "sha256:" + hashlib.sha256(content(name)).hexdigest()
    return ModelRef(name="detector", version=name, digest=digest, number=number)


BORN, OLD, NEW, NEWER = ref("born", 0), ref("old", 1), ref("new", 2), ref("newer", 3)


def wanted(model: ModelRef | None = NEW, version: int = 1, **more: object) -> Desired:
    return Desired(
        message_id=f"{version:032x}", device="porch", made_at=START, version=version, group="all", model=model, **more
    )


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now - 1000.0)


@dataclass
class Script:
    """What each port does, call by call: an error is raised, a callable is called, None is success."""

    plan: dict[str, list[object]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def play(self, step: str) -> None:
        self.calls.append(step)
        if steps := self.plan.get(step):
            act = steps.pop(0)
            if isinstance(act, VedetteError):
                raise act
            if callable(act):
                act()


def opened(candidate: Candidate) -> None:
    try:
        found = (candidate.folder / "model.tflite").read_bytes()
    except OSError as refused:
        raise CandidateRejected(str(refused)) from refused
    assert found == content(candidate.ref.version)


class FakeRepository:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.allowed = (OLD, NEW, NEWER)
        self.min_release: dict[str, int] = {}
        self.spoil = False

    def group_release(self, group: str) -> GroupRelease:
        self.script.play("group_release")
        return GroupRelease(group=group, sequence=1, allowed=self.allowed, min_release=self.min_release)

    def fetch(
        self, ref: ModelRef, folder: Path, progress: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> None:
        for share in (0.0, 0.5, 1.0):
            progress(share)
        try:
            (folder / "model.tflite").write_bytes(b"rot" if self.spoil else content(ref.version))
            (folder / "manifest.json").write_text(f'{{"version": "{ref.version}"}}')
            (folder / "model.tflite.part").write_bytes(b"left over")
        except OSError as refused:
            raise DownloadFailed(str(refused)) from refused
        self.script.play("fetch")
        cancelled()


class FakeProver:
    def __init__(self, script: Script) -> None:
        self.script = script

    def prove(self, candidate: Candidate, gates: object, current_latency_ms: float | None) -> Proof:
        opened(candidate)
        self.script.play("prove")
        return Proof(1.0, 10.0, 100.0)


class FakeLive:
    def __init__(self, script: Script, running: Candidate) -> None:
        self.script = script
        self.running = running
        self.untried: str | None = None
        self.switched: Handover | None = None
        self.on_watch: Callable[[Callable[[], bool]], None] | None = None

    def latency_ms(self) -> float | None:
        return 5.0

    def why_untried(self, candidate: Candidate, needed_mib: float | None) -> str | None:
        assert needed_mib == 100.0
        return self.untried

    def trial(self, candidate: Candidate, gates: object, cancelled: Callable[[], bool]) -> TrialFigures:
        self.script.play("trial")
        return FIGURES

    def switch(self, candidate: Candidate, needed_mib: float | None) -> None:
        self.script.play(f"switch:{candidate.ref.version}")
        opened(candidate)
        self.running = candidate
        self.switched = Handover(in_place=self.untried is not None, gap_ms=12.0)

    def handover(self) -> Handover | None:
        return self.switched

    def watch(self, gates: object, cancelled: Callable[[], bool]) -> None:
        self.script.play("watch")
        if self.on_watch is not None:
            self.on_watch(cancelled)


class Device:
    """A device whose disk survives `restart`."""

    def __init__(self, folder: Path, settings: UpdateSettings | None = None) -> None:
        self.folder = folder
        self.settings = settings or UpdateSettings(min_free_mib=0, max_model_mib=1)
        born = folder / "born"
        born.mkdir(parents=True, exist_ok=True)
        if not (born / "model.tflite").exists():
            (born / "model.tflite").write_bytes(content("born"))
        self.script = Script()
        self.errors: list[VedetteError] = []
        self.reports: list[ReportedFacts] = []
        self.at_rest: list[Callable[[], object]] = []
        self.while_waiting: list[Callable[[], object]] = []
        self.chance = 0.0
        self.make_live: Callable[[Script, Candidate], FakeLive] = FakeLive
        self.clock = ManualClock()
        self.repository = FakeRepository(self.script)
        self.records = UpdateRecordFile(folder / "data" / "update.json")
        self.store = ModelStore(folder / "data" / "models", Candidate(BORN, born), self.settings, self.errors.append)
        self.restart()

    def hear(self, facts: ReportedFacts) -> None:
        self.reports.append(facts)

    def restart(self) -> None:
        started = boot(self.store, self.records, self.settings, self.errors.append)
        self.booted: UpdateRecord = started.record
        self.live = self.make_live(self.script, started.models[0])
        self.worker = UpdateWorker(
            UpdateParts(
                repository=self.repository,
                prover=FakeProver(self.script),
                live=self.live,
                models=self.store,
                records=self.records,
                clock=self.clock,
                report=lambda facts: self.hear(facts),  # noqa: PLW0108 - a test may put another in its place
                note=self.errors.append,
                stuck=self.errors.append,
                chance=lambda: self.chance,
            ),
            self.settings,
            started.record,
            started.models[0].ref,
            wait=self._wait,
            zone=UTC,
        )

    def _wait(self, event: threading.Event, timeout_s: float) -> None:
        if event.is_set():
            return
        resting = self.worker.facts().state in RESTING
        waiting = self.at_rest if resting else self.while_waiting
        if waiting:
            waiting.pop(0)()
        elif resting:
            self.worker.stop()
        if not event.is_set():
            self.clock.now += timeout_s

    def update(self, desired: Desired | None = None) -> ReportedFacts:
        """Run until it rests."""
        if desired is not None:
            self.worker.desired(desired)
        self.worker.run()
        return self.worker.facts()

    def states(self) -> list[UpdateState]:
        seen: list[UpdateState] = []
        for report in self.reports:
            if not seen or seen[-1] is not report.state:
                seen.append(report.state)
        return seen

    def works(self) -> ModelRef:
        """What a start would run; fails where that is no whole model."""
        model = next(iter(self.store.startup_models()))
        assert (model.folder / "model.tflite").read_bytes() == content(model.ref.version)
        return model.ref


def on(device: Device, model: ModelRef, version: int = 1) -> None:
    """Bring the device to that model, and forget how."""
    assert device.update(wanted(model, version)).state is UpdateState.COMMITTED
    device.restart()
    device.reports.clear()
    device.script.calls.clear()


def named(error: type[UpdateError]) -> UpdateError:
    return error("it went wrong", "mend it")
