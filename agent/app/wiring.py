"""Puts the agent's parts together. Nothing here decides anything."""

from __future__ import annotations

import logging
import os
import random
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from pydantic import JsonValue

from agent.adapters.budget_file import BudgetFile
from agent.adapters.clip_file import DiskClips, shrunk
from agent.adapters.command_desk import CommandDesk
from agent.adapters.command_journal import SqliteJournal
from agent.adapters.crops import encode_jpeg
from agent.adapters.data_dir import held, made
from agent.adapters.http_asker import AskCounts, HttpAsker, OnOutcome
from agent.adapters.memory_left import memory_left_mib
from agent.adapters.mqtt_link import MqttLink
from agent.adapters.opencv_source import open_source
from agent.adapters.receipt_log import FOLDER as EGRESS_FOLDER
from agent.adapters.receipt_log import ReceiptLog
from agent.adapters.renewal import CertificateRenewal
from agent.adapters.sqlite_answers import SqliteAnswers
from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.adapters.sqlite_uploads import SqliteUploads
from agent.adapters.status_server import StatusServer
from agent.adapters.system_clock import SystemClock
from agent.adapters.token import token_source
from agent.app.asides import AsideSettings
from agent.app.auditing import FrameAuditor
from agent.app.board import StatusBoard
from agent.app.control import AgentControl, ClipUpload, CommandUploads, SnapshotUpload
from agent.app.figures import AgentFigures
from agent.app.live_model import Model, PipelineLiveModel, judging_floor
from agent.app.logs import named_in_log
from agent.app.model_commands import WorkerCommands
from agent.app.status import Sources, status_server
from agent.app.tuning import BandTuner, Both, Wanted
from agent.app.updating import open_startup_model, update_worker
from agent.ask.budget import AskBudget
from agent.ask.object_settings import Shown
from agent.ask.objects import ObjectQuestions
from agent.capture.camera import Camera
from agent.capture.cameras import Cameras
from agent.capture.slots import FrameSlots
from agent.command.actions import Actions
from agent.command.clip import Recorder
from agent.command.frames import WatchedFrames
from agent.command.log_tail import LogTail
from agent.command.ports import ModelCommands, Picture
from agent.config import CameraConfig, Config
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.messages import Boot
from agent.deliver.stream_cost import StreamCost
from agent.detect.budget import LookBudget, Pace
from agent.detect.detector import model_status, open_configured
from agent.detect.looks import SecondLooks
from agent.detect.motion import MotionGate
from agent.detect.movement import Movement
from agent.domain import Answer, Clock, Frame
from agent.pipeline import Auditor, Inbox, Lane, NewRules, Paid, Pipeline
from agent.redact.door import BY_PEOPLE, PictureDoor
from agent.status.views import Views
from agent.track.tracker import Tracker
from agent.update.record import ReportedFacts
from agent.update.worker import UpdateWorker
from vision.detector import ModelDetector
from wire.audits import Audit, AuditOutcome
from wire.model import Manifest

log: Final = logging.getLogger(__name__)

OUTBOX_FILE: Final = "outbox.db"
BUDGET_FILE: Final = "budget.json"
UPLOADS_FILE: Final = "uploads.db"
COMMANDS_FILE: Final = "commands.db"
ANSWERS_FILE: Final = "answers.db"
CLIPS_FOLDER: Final = "clips"


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
    inbox: Inbox
    faults: Faults
    lock: IO[str]
    desk: CommandDesk
    journal: SqliteJournal
    control: AgentControl
    tail: LogTail
    board: StatusBoard
    worker: UpdateWorker | None
    tuner: BandTuner
    renewal: CertificateRenewal | None
    status: StatusServer
    receipts: ReceiptLog


class ModelSlot:
    """Where the update worker is put, once there is one; without it the model's commands are refused."""

    def __init__(self) -> None:
        self.commands: WorkerCommands | None = None

    def get(self) -> ModelCommands | None:
        """The worker, as far as commands reach it."""
        return self.commands

    def heard(self, facts: ReportedFacts) -> None:
        """The worker reports; commands may wait for it."""
        if self.commands is not None:
            self.commands.heard(facts)


def assemble(config: Config, version: str) -> Agent:
    """Open the model and the outbox, and connect the parts; nothing runs yet.

    Raises:
        VedetteError: The model, or the data folder, can't be used.
    """
    clock = SystemClock()
    faults, ledger = Faults(), Ledger()
    data_dir = made(config.data_dir)
    lock = held(data_dir)
    opened = open_startup_model(config, data_dir, faults)
    detector = opened.detector
    for label in unknown_labels(config, detector):
        log.warning("no alert will be raised about %r: the model knows no such label", label)
    boot = named_in_log(new_boot(config.device, version, detector.manifest, clock))
    outbox = SqliteOutbox(data_dir / OUTBOX_FILE, settings=config.outbox, boot=boot, clock=clock, faults=faults)
    outbox.open()

    receipts = _receipts(config, data_dir, boot, clock, ledger, faults)

    slots, board = FrameSlots(), StatusBoard(model_status(detector))
    cameras = Cameras([_camera(camera, slots, clock, board) for camera in config.cameras], clock)
    lanes = {camera.name: _lane(camera, config) for camera in config.cameras}
    rules, objects, balances = _deciding(config, detector.manifest, BudgetFile(data_dir / BUDGET_FILE, faults), clock)
    outbox.record(rules.restore(outbox.records(), clock.monotonic()))

    inbox, password = Inbox(slots.wake), token_source(config.link.token_file, config.link.token_env, os.environ)
    frames, views = WatchedFrames(slots, tuple(lanes), _late(config)), Views()
    door = PictureDoor(
        {camera.name: camera.redaction for camera in config.cameras},
        lambda camera: lanes[camera].masks.polygons,
        frames.judged,
    )

    def adopted(model: Model) -> None:
        boot.model_digest = model.manifest.digest
        if isinstance(model, ModelDetector):
            board.model(model_status(model))
        rules.tune(tuner.adopted(model.manifest))

    live = PipelineLiveModel(
        inbox=inbox,
        model=detector,
        source=opened.source,
        settings=config.model,
        low_score=config.tracking.low_score,
        labels=lambda: rules.labels,
        captured=lambda: sum(camera.counts.captured for camera in cameras.by_name.values()),
        adopted=adopted,
        clock=clock,
        open_model=open_configured,
        swap=config.updates.swap,
        memory_left=memory_left_mib,
        asides=AsideSettings(lambda: secrets.token_hex(16), config.asking.deadline_s),
    )

    tuner = _tuner(config, data_dir, clock, faults, rules=rules, inbox=inbox, live=live)

    def on_answer(answer: Answer) -> Future[None] | None:
        return None if live.heard(answer) or tuner.heard(answer) else inbox.put(answer)

    uploads = _uploads(config, data_dir, faults)
    asker = None
    if config.ask is not None and uploads is not None:
        asker = HttpAsker(
            config.ask,
            boot=boot,
            uploads=uploads,
            token=password,
            on_answer=on_answer,
            clock=clock,
            faults=faults,
            ledger=ledger,
            receipts=receipts,
            door=door,
            audit=config.audit,
            on_paid=lambda question_id, size: inbox.put(Paid(question_id, size)),
            on_outcome=_both(live.audited, tuner.audited),
        )
    pipeline = Pipeline(
        frames=frames,
        inbox=inbox,
        detector=detector,
        lanes=lanes,
        rules=rules,
        outbox=outbox,
        asker=asker,
        clock=clock,
        faults=faults,
        min_score=judging_floor(config.tracking.low_score, detector.manifest),
        looks=_looks(config, detector.manifest),
        onlooker=live,
        auditor=None if asker is None else _auditor(config, asker, rules, live, tuner),
        viewer=views if config.status.address is not None else None,
        door=door,
        objects=objects,
        balances=balances,
    )
    tail, models = LogTail(), ModelSlot()

    def reported(facts: ReportedFacts) -> None:
        link.report(facts)  # made below, before the worker starts
        models.heard(facts)

    worker = update_worker(
        config,
        opened,
        live=live,
        report=reported,
        data_dir=data_dir,
        clock=clock,
        faults=faults,
        ledger=ledger,
    )
    # Rates are counted from one reading to the next, so each reader has figures of its own.
    new_figures: Callable[[], AgentFigures] = partial(
        AgentFigures,
        clock=clock,
        pipeline=pipeline,
        lanes=lanes,
        counts=lambda: {name: camera.counts for name, camera in cameras.by_name.items()},
        outbox=outbox,
        ask_counts=asker.counts if asker is not None else AskCounts,
        answers_by_mqtt=lambda: link.answers,
        faults=faults,
        ledger=ledger,
        receipts=receipts,
        bands=tuner.bands,
    )
    logging.getLogger().addHandler(tail)
    control = AgentControl(
        config=config,
        boot=boot,
        figures=new_figures(),
        inbox=inbox,
        clock=clock,
        tail=tail,
        model=lambda: f"{live.manifest.name} {live.manifest.version}",
    )
    clips = _clips(data_dir)
    sending = (
        None if config.ask is None else CommandUploads(config.ask, token=password, ledger=ledger, receipts=receipts)
    )
    actions = Actions(
        control,
        frames,
        encode=partial(_picture, door),
        snapshots=None if sending is None else SnapshotUpload(sending),
        recorder=Recorder(frames, clips, door.cut, shrunk),
        clips=None if sending is None else ClipUpload(sending),
        models=models.get,
    )
    journal = SqliteJournal(data_dir / COMMANDS_FILE, faults=faults)
    desk = CommandDesk(journal=journal, actions=actions.table(), boot=boot, clock=clock, faults=faults)
    link: MqttLink = MqttLink(
        config.link,
        telemetry=config.telemetry,
        boot=boot,
        outbox=outbox,
        figures=new_figures(),
        password=password,
        on_answer=on_answer,
        clock=clock,
        faults=faults,
        ledger=ledger,
        desk=desk,
        desired=None if worker is None else worker.desired,
    )
    if worker is not None:
        models.commands = WorkerCommands(worker)
    board.call_when_changed(link.set_status)
    return Agent(
        clock,
        slots,
        cameras,
        pipeline,
        outbox,
        uploads,
        link,
        asker,
        inbox,
        faults,
        lock,
        desk,
        journal,
        control,
        tail,
        board,
        worker,
        tuner,
        None if config.identity is None else CertificateRenewal(config.identity, clock=clock, faults=faults),
        status_server(
            config.status,
            Sources(
                boot=boot,
                clock=clock,
                board=board,
                broker=config.link.url,
                online=lambda: link.online,
                lanes=lanes,
                counts=lambda: {name: camera.counts for name, camera in cameras.by_name.items()},
                figures=new_figures(),
                update=None if worker is None else worker.facts,
                views=views,
                door=door,
            ),
            faults,
        ),
        receipts,
    )


def unknown_labels(config: Config, detector: ModelDetector) -> list[str]:
    """What the rules look for, and the model never says."""
    return sorted({label for rule in config.rules for label in rule.labels} - set(detector.labels))


def new_boot(device: str, version: str, manifest: Manifest, clock: Clock) -> Boot:
    """This start of the agent."""
    return Boot(device, secrets.token_hex(16), version, clock.wall(), manifest.digest)


def new_rules(config: Config) -> NewRules:
    """What of a configuration can replace the rules at work."""
    masks = {camera.name: MaskFilter(config.masks, camera.name) for camera in config.cameras}
    asking = config.asking
    return NewRules(config.rules, config.zones, policy(config), masks, asking.objects, asking.budget)


def policy(config: Config) -> AskPolicySettings | None:
    """When to ask; None where there is no cloud to ask."""
    return config.asking if config.ask is not None else None


def _camera(config: CameraConfig, slots: FrameSlots, clock: Clock, board: StatusBoard) -> Camera:
    return Camera(config, open_source(config), slots, clock, board.camera, random.random)


def _late(config: Config) -> frozenset[str]:
    return frozenset(camera.name for camera in config.cameras if camera.redaction.hide in BY_PEOPLE)


def _clips(data_dir: Path) -> DiskClips:
    clips = DiskClips(data_dir / CLIPS_FOLDER)
    clips.clear()
    return clips


def _receipts(config: Config, data_dir: Path, boot: Boot, clock: Clock, ledger: Ledger, faults: Faults) -> ReceiptLog:
    about: dict[str, JsonValue] = {
        "device": boot.device,
        "boot": boot.boot_id,
        "agent_version": boot.agent_version,
    }
    receipts = ReceiptLog(
        data_dir / EGRESS_FOLDER,
        about=about,
        clock=clock,
        ledger=ledger,
        faults=faults,
        max_bytes=config.egress.max_mib << 20,
    )
    receipts.open()
    return receipts


def _picture(door: PictureDoor, frame: Frame, quality: int, max_px: int) -> Picture:
    shown = door.cut(frame)
    return Picture(frame.camera, encode_jpeg(shown, quality=quality, max_px=max_px), shown.said)


def _looks(config: Config, manifest: Manifest) -> SecondLooks | None:
    if config.looks.per_frame == 0.0:
        return None
    paces = {camera.name: Pace(camera.pace == "max", camera.fps_limit) for camera in config.cameras}
    return SecondLooks(LookBudget(config.looks, paces), (manifest.input.width, manifest.input.height))


def _deciding(
    config: Config, manifest: Manifest, balances: BudgetFile, clock: Clock
) -> tuple[RuleBook, ObjectQuestions | None, BudgetFile]:
    """What decides about alerts, and where there is a cloud, what asks about objects and where its budget is kept."""
    objects = None
    if config.ask is not None:
        objects = ObjectQuestions(
            config.asking.objects,
            Shown(config.ask.margin, config.ask.question_min_px),
            AskBudget(config.asking.budget, balances.load(), clock.monotonic()),
            deadline_s=config.asking.deadline_s,
            new_id=_new_id,
        )
    return (
        RuleBook(config.rules, config.zones, policy(config), manifest.uncertain, _new_id, objects),
        objects,
        balances,
    )


def _new_id() -> str:
    return secrets.token_hex(16)


def _tuner(
    config: Config,
    data_dir: Path,
    clock: Clock,
    faults: Faults,
    *,
    rules: RuleBook,
    inbox: Inbox,
    live: PipelineLiveModel,
) -> BandTuner:
    """It has nothing to do where nothing is tuned or pinned, or nobody answers."""
    wanted = {camera.name: Wanted(camera.objective or config.objective, camera.bands) for camera in config.cameras}
    tuner = BandTuner(
        {} if config.ask is None else wanted,
        answers=SqliteAnswers(data_dir / ANSWERS_FILE, faults=faults),
        rules=rules,
        model=lambda: live.manifest,
        start=lambda manifest: config.asking.uncertain or manifest.uncertain,
        floor=lambda manifest: judging_floor(config.tracking.low_score, manifest),
        concerns=lambda camera, label, box: rules.concerns(camera, label, box, clock.wall()),
        put=inbox.put,
        clock=clock,
        chance=random.random,
        gone_after_s=config.tracking.max_age_s,
        deadline_s=config.asking.deadline_s,
    )
    rules.tune(tuner.adopted(live.manifest))
    return tuner


def _uploads(config: Config, data_dir: Path, faults: Faults) -> SqliteUploads | None:
    if config.ask is None:
        return None
    stored, mib = config.ask.max_stored, config.ask.max_stored_mib
    return SqliteUploads(data_dir / UPLOADS_FILE, max_stored=stored, max_stored_mib=mib, faults=faults)


def _both(one: OnOutcome, other: OnOutcome) -> OnOutcome:
    def told(audit: Audit, outcome: AuditOutcome) -> None:
        one(audit, outcome)
        other(audit, outcome)

    return told


def _auditor(config: Config, asker: HttpAsker, rules: RuleBook, live: PipelineLiveModel, tuner: BandTuner) -> Auditor:
    frames = FrameAuditor(
        {camera.name: camera.audit or config.audit for camera in config.cameras},
        sink=asker,
        labels=lambda: rules.labels,
        model=lambda: live.manifest,
        factor=lambda: live.audit_factor,
        chance=random.random,
    )
    return Both(frames, tuner)


def _lane(camera: CameraConfig, config: Config) -> Lane:
    return Lane(
        tracker=Tracker(config.tracking),
        masks=MaskFilter(config.masks, camera.name),
        gate=MotionGate(camera.motion) if camera.motion is not None else None,
        movement=Movement() if config.looks.per_frame or config.ask is not None else None,
        stream_cost=StreamCost(),
    )
