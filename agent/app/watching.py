"""Puts together what comes before the judging and what decides afterwards: cameras, lanes, rules, questions."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.adapters.budget_file import BudgetFile
from agent.adapters.opencv_source import open_source
from agent.app.board import StatusBoard
from agent.app.ground import Ground, new_id
from agent.ask.budget import AskBudget
from agent.ask.gain import FORM, Gains, gains_of
from agent.ask.object_settings import Shown
from agent.ask.objects import ObjectQuestions
from agent.capture.camera import Camera, CameraCounts
from agent.capture.cameras import Cameras
from agent.capture.slots import FrameSlots
from agent.command.frames import WatchedFrames
from agent.config import CameraConfig, Config
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings
from agent.deliver.stream_cost import StreamCost
from agent.detect.budget import LookBudget, Pace
from agent.detect.detector import model_status
from agent.detect.flow import Flow
from agent.detect.looks import SecondLooks
from agent.detect.motion import MotionGate
from agent.detect.movement import movement
from agent.judging.inbox import Inbox, NewRules
from agent.judging.lane import Lane
from agent.redact.door import BY_PEOPLE, PictureDoor
from agent.track.tracker import Tracker
from wire.messages import Hide
from wire.model import Manifest

log: Final = logging.getLogger(__name__)

BUDGET_FILE: Final = "budget.json"


@dataclass(frozen=True, slots=True)
class Watching:
    """Everything about the cameras, apart from the model.

    Attributes:
        frames: The slots, as far as commands may watch them.
        door: Through which pictures leave.
        objects: Asks about objects; None where there is no cloud to ask.
        balances: Where what is left of the budget is kept.
    """

    slots: FrameSlots
    inbox: Inbox
    board: StatusBoard
    cameras: Cameras
    lanes: Mapping[str, Lane]
    frames: WatchedFrames
    door: PictureDoor
    rules: RuleBook
    objects: ObjectQuestions | None
    looks: SecondLooks | None
    balances: BudgetFile

    def counts(self) -> Mapping[str, CameraCounts]:
        """What each camera gave so far."""
        return {name: camera.counts for name, camera in self.cameras.by_name.items()}


def watching(ground: Ground) -> Watching:
    """Nothing is read yet. The rule book knows what the last run told, and its open alerts have ended."""
    config, clock, manifest = ground.config, ground.clock, ground.opened.detector.manifest
    slots, board = FrameSlots(), StatusBoard(model_status(ground.opened.detector))
    lanes = {camera.name: _lane(camera, config, manifest) for camera in config.cameras}
    frames = WatchedFrames(slots, tuple(lanes), _late(config))
    balances = BudgetFile(ground.data_dir / BUDGET_FILE, ground.faults)
    objects = _objects(config, manifest, balances, clock.monotonic())
    rules = RuleBook(config.rules, config.zones, policy(config), manifest.uncertain, new_id, objects)
    ground.outbox.record(rules.restore(ground.outbox.records(), clock.monotonic()))
    return Watching(
        slots=slots,
        inbox=Inbox(slots.wake),
        board=board,
        cameras=Cameras(
            [Camera(one, open_source(one), slots, clock, board.camera, random.random) for one in config.cameras],
            clock,
        ),
        lanes=lanes,
        frames=frames,
        door=PictureDoor(
            {camera.name: camera.redaction for camera in config.cameras},
            lambda camera: lanes[camera].masks.polygons,
            frames.judged,
        ),
        rules=rules,
        objects=objects,
        looks=_looks(config, manifest),
        balances=balances,
    )


def new_rules(config: Config) -> NewRules:
    """What of a configuration can replace the rules at work."""
    masks = {camera.name: MaskFilter(config.masks, camera.name) for camera in config.cameras}
    asking = config.asking
    return NewRules(config.rules, config.zones, policy(config), masks, asking.objects, asking.budget)


def policy(config: Config) -> AskPolicySettings | None:
    """When to ask; None where there is no cloud to ask."""
    return config.asking if config.ask is not None else None


def _late(config: Config) -> frozenset[str]:
    """The cameras of which a picture may leave only once it is known where people are in it."""
    return frozenset(camera.name for camera in config.cameras if camera.redaction.hide in BY_PEOPLE)


def _lane(camera: CameraConfig, config: Config, manifest: Manifest) -> Lane:
    asks, looks_closer = config.ask is not None, config.looks.with_model(manifest.looks) > 0.0
    return Lane(
        tracker=Tracker(config.tracking),
        masks=MaskFilter(config.masks, camera.name),
        gate=MotionGate(camera.motion) if camera.motion is not None else None,
        movement=movement(looks_closer=looks_closer, asks=asks),
        flow=Flow() if asks else None,
        stream_cost=StreamCost(),
    )


def gains(manifest: Manifest) -> Gains:
    """By what questions are ranked with this model."""
    if manifest.gain is not None and manifest.gain.features != FORM:
        log.warning("questions are ranked by hand: the model's weights are of features that this agent does not know")
    return gains_of(manifest.gain)


def _objects(config: Config, manifest: Manifest, balances: BudgetFile, now: float) -> ObjectQuestions | None:
    if config.ask is None:
        return None
    alone = frozenset(camera.name for camera in config.cameras if camera.redaction.hide is Hide.ALL_BUT_ASKED)
    return ObjectQuestions(
        config.asking.objects,
        Shown(config.ask.margins, config.ask.question_min_px, alone, config.ask.context_px),
        AskBudget(config.asking.budget, balances.load(), now),
        deadline_s=config.asking.deadline_s,
        new_id=new_id,
        gains=gains(manifest),
    )


def _looks(config: Config, manifest: Manifest) -> SecondLooks | None:
    if config.looks.per_frame == 0.0:
        return None
    paces = {camera.name: Pace(camera.pace == "max", camera.fps_limit) for camera in config.cameras}
    return SecondLooks(LookBudget(config.looks, paces, manifest.looks), (manifest.input.width, manifest.input.height))
