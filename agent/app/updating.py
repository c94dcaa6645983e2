"""Puts the update worker together: the models on disk, the signed repository, the proof, the trial and the switch."""

from __future__ import annotations

import logging
import os
import random
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.adapters.late_repository import LateRepository
from agent.adapters.model_store import ModelStore
from agent.adapters.prover import ProcessProver
from agent.adapters.tls import client_context
from agent.adapters.update_record_file import UpdateRecordFile
from agent.ask.settings import AskSettings
from agent.config import Config
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.detect.detector import open_configured
from agent.domain import Clock
from agent.errors import JudgeStuck
from agent.update.boot import boot
from agent.update.journal import UpdateParts
from agent.update.ports import Candidate, LiveModel, Repository
from agent.update.record import ReportedFacts, UpdateRecord
from agent.update.worker import UpdateWorker
from vision.describe import describe
from vision.detector import ModelDetector
from vision.errors import VisionError
from vision.models import find_model
from wire.updates import ModelRef

log: Final = logging.getLogger(__name__)

MODELS_FOLDER: Final = "models"
TRUST_FOLDER: Final = "trust"
RECORD_FILE: Final = "update.json"
EX_STUCK: Final = 75
"""EX_TEMPFAIL, as a restart that was asked for: the supervisor starts the agent again, on the model before."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The model that the agent starts with, and where it came from."""

    detector: ModelDetector
    source: Candidate
    store: ModelStore
    records: UpdateRecordFile
    record: UpdateRecord


def open_startup_model(config: Config, data_dir: Path, faults: Faults) -> Opened:
    """Settle what a crash left of an update, then open the best model that can be opened.

    Raises:
        VisionError: Not even the configured model can be opened.
    """
    configured = find_model(config.model.model)
    manifest = describe(configured).manifest
    born = ModelRef(name=manifest.name, version=manifest.version, digest=manifest.digest)
    store = ModelStore(data_dir / MODELS_FOLDER, Candidate(born, configured), config.updates, faults.note)
    records = UpdateRecordFile(data_dir / RECORD_FILE)
    found = boot(store, records, config.updates, faults.note)
    for candidate in found.models[:-1]:
        try:
            detector = open_configured(config.model.model_copy(update={"model": str(candidate.folder)}))
        except VisionError as broken:
            faults.note(broken)
            continue
        return Opened(detector, candidate, store, records, found.record)
    last = found.models[-1]
    detector = open_configured(config.model.model_copy(update={"model": str(last.folder)}))
    return Opened(detector, last, store, records, found.record)


def update_worker(
    config: Config,
    opened: Opened,
    *,
    live: LiveModel,
    report: Callable[[ReportedFacts], None],
    data_dir: Path,
    clock: Clock,
    faults: Faults,
    ledger: Ledger,
) -> UpdateWorker | None:
    """The worker; None where the device was given no root of trust, or no cloud to fetch from.

    Raises:
        ConfigInvalid: The root of trust can't be read.
    """
    if config.trust.root_file is None or config.ask is None:
        log.info("models are never updated here: trust.root_file or the [ask] table is missing")
        return None
    trust, url, tls = config.trust, config.ask.url, _tls(config.ask)
    ended = threading.Event()

    def open_repository() -> Repository:
        from agent.adapters.tuf_repository import TufRepository  # noqa: PLC0415 - see LateRepository

        return TufRepository(
            trust,
            url=url,
            folder=data_dir / TRUST_FOLDER,
            clock=clock,
            faults=faults,
            ledger=ledger,
            tls=tls,
            wait=ended.wait,
        )

    repository = LateRepository(config.trust.root_file, open_repository)
    parts = UpdateParts(
        repository=repository,
        prover=ProcessProver(config.model, delegate=opened.detector.delegate),
        live=live,
        models=opened.store,
        records=opened.records,
        clock=clock,
        report=report,
        note=faults.note,
        stuck=_end_now,
        chance=random.random,
    )
    return UpdateWorker(parts, config.updates, opened.record, opened.source.ref)


def _tls(ask: AskSettings) -> Callable[[], ssl.SSLContext] | None:
    if ask.url.startswith("http://"):
        return None
    return lambda: client_context("ask", ask.ca_file, ask.cert_file, ask.key_file)


def _end_now(stuck: JudgeStuck) -> None:
    """A thread that hangs inside a model can't be ended from outside; the record says what the next start must do."""
    log.critical("%s: %s", stuck.name, stuck)
    logging.shutdown()
    os._exit(EX_STUCK)
