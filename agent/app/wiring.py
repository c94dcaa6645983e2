"""Puts the agent's parts together, from the ground up. Nothing here decides anything."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from agent.adapters.command_desk import CommandDesk
from agent.adapters.command_journal import SqliteJournal
from agent.adapters.http_asker import AskCounts, HttpAsker
from agent.adapters.memory_left import memory_left_mib
from agent.adapters.mqtt_link import MqttLink
from agent.adapters.receipt_log import ReceiptLog
from agent.adapters.renewal import CertificateRenewal
from agent.adapters.sqlite_answers import SqliteAnswers
from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.adapters.sqlite_uploads import SqliteUploads
from agent.adapters.status_server import StatusServer
from agent.app.asides import AsideSettings
from agent.app.auditing import Both, FrameAuditor
from agent.app.board import StatusBoard
from agent.app.commanding import ModelSlot, commanding
from agent.app.control import AgentControl
from agent.app.figures import AgentFigures
from agent.app.ground import Ground, laid, new_id
from agent.app.live_config import LiveConfig
from agent.app.live_model import Model, PipelineLiveModel, judging_floor
from agent.app.model_commands import WorkerCommands
from agent.app.status import Sources, status_server
from agent.app.tuning import BandTuner
from agent.app.updating import update_worker
from agent.app.watching import Watching, gains, watching
from agent.capture.cameras import Cameras
from agent.capture.slots import FrameSlots
from agent.command.log_tail import LogTail
from agent.config import Config
from agent.deliver.faults import Faults
from agent.detect.detector import model_status, open_configured
from agent.domain import Answer, Clock
from agent.judging.inbox import Paid, Unsent
from agent.pipeline import Pipeline
from agent.status.views import Views
from agent.tune.settings import Wanted
from agent.update.record import ReportedFacts
from agent.update.worker import UpdateWorker
from vision.detector import ModelDetector
from wire.audits import Audit, AuditOutcome

UPLOADS_FILE: Final = "uploads.db"
ANSWERS_FILE: Final = "answers.db"


@dataclass(frozen=True, slots=True)
class Agent:
    """The parts that a run starts and stops."""

    clock: Clock
    slots: FrameSlots
    cameras: Cameras
    pipeline: Pipeline
    outbox: SqliteOutbox
    uploads: SqliteUploads | None
    link: MqttLink
    asker: HttpAsker | None
    faults: Faults
    lock: IO[str]
    desk: CommandDesk
    journal: SqliteJournal
    control: AgentControl
    tail: LogTail
    board: StatusBoard
    live_config: LiveConfig
    worker: UpdateWorker | None
    tuner: BandTuner
    renewal: CertificateRenewal | None
    status: StatusServer
    receipts: ReceiptLog


def assemble(config_path: Path, config: Config, version: str) -> Agent:
    """Open the model and the outbox, and connect the parts; nothing runs yet.

    Some know each other both ways: what is called by a part that is made earlier stands in a closure.

    Raises:
        VedetteError: The model, or the data folder, can't be used.
    """
    ground = laid(config, version)
    clock, faults, ledger, boot = ground.clock, ground.faults, ground.ledger, ground.boot
    detector = ground.opened.detector
    scene = watching(ground)
    rules, inbox, views = scene.rules, scene.inbox, Views()
    live_config = LiveConfig(config_path, config, inbox)

    def adopted(model: Model) -> None:
        boot.model_digest = model.manifest.digest
        if isinstance(model, ModelDetector):
            scene.board.model(model_status(model))
        rules.tune(tuner.adopted(model.manifest))
        if scene.objects is not None:
            scene.objects.weigh_by(gains(model.manifest))

    live = PipelineLiveModel(
        inbox=inbox,
        model=detector,
        source=ground.opened.source,
        settings=config.model,
        low_score=config.tracking.low_score,
        labels=lambda: rules.labels,
        captured=lambda: sum(counts.captured for counts in scene.counts().values()),
        adopted=adopted,
        clock=clock,
        open_model=open_configured,
        swap=config.updates.swap,
        memory_left=memory_left_mib,
        asides=AsideSettings(new_id, config.asking.deadline_s),
    )
    tuner = _tuner(ground, scene, live)

    def on_answer(answer: Answer) -> Future[None] | None:
        return None if live.heard(answer) or tuner.heard(answer) else inbox.put(answer)

    uploads = _uploads(ground)
    asker = _asker(ground, scene, uploads, live, tuner, on_answer)
    pipeline = Pipeline(
        frames=scene.frames,
        inbox=inbox,
        detector=detector,
        lanes=scene.lanes,
        rules=rules,
        outbox=ground.outbox,
        asker=asker,
        clock=clock,
        faults=faults,
        min_score=judging_floor(config.tracking.low_score, detector.manifest),
        looks=scene.looks,
        onlooker=live,
        auditor=None if asker is None else Both(_auditor(ground, scene, asker, live), tuner),
        viewer=views if config.status.address is not None else None,
        door=scene.door,
        objects=scene.objects,
        balances=scene.balances,
    )
    models = ModelSlot()

    def reported(facts: ReportedFacts) -> None:
        link.report(facts)
        models.heard(facts)

    worker = update_worker(
        config,
        ground.opened,
        live=live,
        report=reported,
        data_dir=ground.data_dir,
        clock=clock,
        faults=faults,
        ledger=ledger,
    )
    # Rates are counted from one reading to the next, so each reader has figures of its own.
    new_figures: Callable[[], AgentFigures] = partial(
        AgentFigures,
        clock=clock,
        pipeline=pipeline,
        lanes=scene.lanes,
        counts=scene.counts,
        outbox=ground.outbox,
        ask_counts=asker.counts if asker is not None else AskCounts,
        answers_by_mqtt=lambda: link.answers,
        faults=faults,
        ledger=ledger,
        receipts=ground.receipts,
        bands=tuner.bands,
    )
    commands = commanding(
        ground,
        scene,
        live_config,
        new_figures(),
        models,
        model=lambda: f"{live.manifest.name} {live.manifest.version}",
    )
    link: MqttLink = MqttLink(
        config.link,
        telemetry=config.telemetry,
        boot=boot,
        outbox=ground.outbox,
        figures=new_figures(),
        password=ground.password,
        on_answer=on_answer,
        clock=clock,
        faults=faults,
        ledger=ledger,
        desk=commands.desk,
        desired=None if worker is None else worker.desired,
    )
    if worker is not None:
        models.commands = WorkerCommands(worker)
    scene.board.call_when_changed(link.set_status)
    sources = Sources(
        boot=boot,
        clock=clock,
        board=scene.board,
        broker=config.link.url,
        online=lambda: link.online,
        lanes=scene.lanes,
        counts=scene.counts,
        figures=new_figures(),
        update=None if worker is None else worker.facts,
        views=views,
        door=scene.door,
    )
    return Agent(
        clock=clock,
        slots=scene.slots,
        cameras=scene.cameras,
        pipeline=pipeline,
        outbox=ground.outbox,
        uploads=uploads,
        link=link,
        asker=asker,
        faults=faults,
        lock=ground.lock,
        desk=commands.desk,
        journal=commands.journal,
        control=commands.control,
        tail=commands.tail,
        board=scene.board,
        live_config=live_config,
        worker=worker,
        tuner=tuner,
        renewal=None
        if config.identity is None
        else CertificateRenewal(config.identity, clock=clock, faults=faults, renewed=link.connect_anew),
        status=status_server(config.status, sources, faults),
        receipts=ground.receipts,
    )


def _tuner(ground: Ground, scene: Watching, live: PipelineLiveModel) -> BandTuner:
    """It has nothing to do where nothing is tuned or pinned, or nobody answers."""
    config, clock, rules = ground.config, ground.clock, scene.rules
    wanted = {camera.name: Wanted(camera.objective or config.objective, camera.bands) for camera in config.cameras}
    tuner = BandTuner(
        {} if config.ask is None else wanted,
        answers=SqliteAnswers(ground.data_dir / ANSWERS_FILE, faults=ground.faults),
        rules=rules,
        model=lambda: live.manifest,
        start=lambda manifest: config.asking.uncertain or manifest.uncertain,
        floor=lambda manifest: judging_floor(config.tracking.low_score, manifest),
        concerns=lambda camera, label, box: rules.concerns(camera, label, box, clock.wall()),
        put=scene.inbox.put,
        clock=clock,
        chance=random.random,
        gone_after_s=config.tracking.max_age_s,
        deadline_s=config.asking.deadline_s,
    )
    rules.tune(tuner.adopted(live.manifest))
    return tuner


def _uploads(ground: Ground) -> SqliteUploads | None:
    """What waits to be sent; None where there is no cloud."""
    ask = ground.config.ask
    if ask is None:
        return None
    stored, mib = ask.max_stored, ask.max_stored_mib
    return SqliteUploads(ground.data_dir / UPLOADS_FILE, max_stored=stored, max_stored_mib=mib, faults=ground.faults)


def _asker(
    ground: Ground,
    scene: Watching,
    uploads: SqliteUploads | None,
    live: PipelineLiveModel,
    tuner: BandTuner,
    on_answer: Callable[[Answer], Future[None] | None],
) -> HttpAsker | None:
    config = ground.config
    if config.ask is None or uploads is None:
        return None

    def on_outcome(audit: Audit, outcome: AuditOutcome) -> None:
        live.audited(audit, outcome)
        tuner.audited(audit, outcome)

    return HttpAsker(
        config.ask,
        boot=ground.boot,
        uploads=uploads,
        token=ground.password,
        on_answer=on_answer,
        clock=ground.clock,
        faults=ground.faults,
        ledger=ground.ledger,
        receipts=ground.receipts,
        door=scene.door,
        audit=config.audit,
        on_paid=lambda question_id, camera, size: scene.inbox.put(Paid(question_id, camera, size)),
        on_unsent=lambda question_id: scene.inbox.put(Unsent(question_id)),
        on_outcome=on_outcome,
    )


def _auditor(ground: Ground, scene: Watching, asker: HttpAsker, live: PipelineLiveModel) -> FrameAuditor:
    config = ground.config
    return FrameAuditor(
        {camera.name: camera.audit or config.audit for camera in config.cameras},
        sink=asker,
        labels=lambda: scene.rules.labels,
        model=lambda: live.manifest,
        factor=lambda: live.audit_factor,
        chance=random.random,
    )
