"""Puts together what does commands: the desk and its journal, the actions, and what they reach."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from agent.adapters.clip_file import DiskClips, shrunk
from agent.adapters.command_desk import CommandDesk
from agent.adapters.command_journal import SqliteJournal
from agent.adapters.crops import encode_jpeg
from agent.app.control import AgentControl, ClipUpload, CommandUploads, SnapshotUpload
from agent.app.figures import AgentFigures
from agent.app.ground import Ground
from agent.app.live_config import LiveConfig
from agent.app.model_commands import WorkerCommands
from agent.app.watching import Watching
from agent.command.actions import Actions
from agent.command.clip import Recorder
from agent.command.log_tail import LogTail
from agent.command.ports import ModelCommands, Picture
from agent.domain import Frame
from agent.redact.door import PictureDoor
from agent.update.record import ReportedFacts

COMMANDS_FILE: Final = "commands.db"
CLIPS_FOLDER: Final = "clips"


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


@dataclass(frozen=True, slots=True)
class Commanding:
    """What a run opens, tells and closes of it.

    Attributes:
        tail: Listens to the log already, for `diagnose`.
    """

    desk: CommandDesk
    journal: SqliteJournal
    control: AgentControl
    tail: LogTail


def commanding(
    ground: Ground,
    watching: Watching,
    live_config: LiveConfig,
    figures: AgentFigures,
    models: ModelSlot,
    *,
    model: Callable[[], str],
) -> Commanding:
    """The desk is opened by the run.

    Args:
        ground: See there.
        watching: See there.
        live_config: What `set-config` changes.
        figures: Its own, since rates are counted from one reading to the next.
        models: Where the update worker will be.
        model: Name and version of what judges.
    """
    config, faults = ground.config, ground.faults
    tail = LogTail()
    logging.getLogger().addHandler(tail)
    control = AgentControl(
        live_config=live_config,
        boot=ground.boot,
        figures=figures,
        inbox=watching.inbox,
        clock=ground.clock,
        tail=tail,
        model=model,
    )
    sending = None
    if config.ask is not None:
        sending = CommandUploads(config.ask, token=ground.password, ledger=ground.ledger, receipts=ground.receipts)
    actions = Actions(
        control,
        watching.frames,
        encode=partial(_picture, watching.door),
        snapshots=None if sending is None else SnapshotUpload(sending),
        recorder=Recorder(watching.frames, _clips(ground.data_dir), watching.door.cut, shrunk),
        clips=None if sending is None else ClipUpload(sending),
        models=models.get,
    )
    journal = SqliteJournal(ground.data_dir / COMMANDS_FILE, faults=faults)
    desk = CommandDesk(journal=journal, actions=actions.table(), boot=ground.boot, clock=ground.clock, faults=faults)
    return Commanding(desk, journal, control, tail)


def _clips(data_dir: Path) -> DiskClips:
    clips = DiskClips(data_dir / CLIPS_FOLDER)
    clips.clear()
    return clips


def _picture(door: PictureDoor, frame: Frame, quality: int, max_px: int) -> Picture:
    shown = door.cut(frame)
    return Picture(frame.camera, encode_jpeg(shown, quality=quality, max_px=max_px), shown.said)
