"""What all parts of an agent stand on: its folder, its clock, the model of this start, and what it must not lose."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from agent.adapters.data_dir import held, made
from agent.adapters.receipt_log import FOLDER as EGRESS_FOLDER
from agent.adapters.receipt_log import ReceiptLog
from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.adapters.system_clock import SystemClock
from agent.adapters.token import token_source
from agent.app.logs import named_in_log
from agent.app.updating import Opened, open_startup_model
from agent.config import Config
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.messages import Boot
from agent.domain import Clock
from vision.detector import ModelDetector
from wire.model import Manifest

log: Final = logging.getLogger(__name__)

OUTBOX_FILE: Final = "outbox.db"


@dataclass(frozen=True, slots=True)
class Ground:
    """See the module.

    Attributes:
        lock: Held for as long as the agent runs, so that no other one uses the folder.
        opened: The model that judges first.
        password: The device's token, read anew each time.
    """

    config: Config
    data_dir: Path
    lock: IO[str]
    clock: Clock
    faults: Faults
    ledger: Ledger
    opened: Opened
    boot: Boot
    outbox: SqliteOutbox
    receipts: ReceiptLog
    password: Callable[[], str | None]


def laid(config: Config, version: str) -> Ground:
    """Lock the folder, and open the model, the outbox and the egress log.

    Raises:
        VedetteError: One of them can't be used.
    """
    clock, faults, ledger = SystemClock(), Faults(), Ledger()
    data_dir = made(config.data_dir)
    lock = held(data_dir)
    opened = open_startup_model(config, data_dir, faults)
    for label in unknown_labels(config, opened.detector):
        log.warning("no alert will be raised about %r: the model knows no such label", label)
    boot = named_in_log(new_boot(config.device, version, opened.detector.manifest, clock))
    outbox = SqliteOutbox(data_dir / OUTBOX_FILE, settings=config.outbox, boot=boot, clock=clock, faults=faults)
    outbox.open()
    receipts = ReceiptLog(
        data_dir / EGRESS_FOLDER,
        about={"device": boot.device, "boot": boot.boot_id, "agent_version": boot.agent_version},
        clock=clock,
        ledger=ledger,
        faults=faults,
        max_bytes=config.egress.max_mib << 20,
    )
    receipts.open()
    password = token_source(config.link.token_file, config.link.token_env, os.environ)
    return Ground(config, data_dir, lock, clock, faults, ledger, opened, boot, outbox, receipts, password)


def unknown_labels(config: Config, detector: ModelDetector) -> list[str]:
    """What the rules look for, or a band is pinned for, and the model never says."""
    pinned = {band.label for camera in config.cameras for band in camera.bands}
    return sorted(({label for rule in config.rules for label in rule.labels} | pinned) - set(detector.labels))


def new_boot(device: str, version: str, manifest: Manifest, clock: Clock) -> Boot:
    """This start of the agent."""
    return Boot(device, new_id(), version, clock.wall(), manifest.digest)


def new_id() -> str:
    """An id that nothing else has: 32 hex digits."""
    return secrets.token_hex(16)
