"""The replayed device: the agent's own parts, put together as `agent.app.wiring` does, around a clip."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Self

from agent.app.live_model import judging_floor
from agent.ask.budget import AskBudget, Balance, BudgetSettings, Limits
from agent.ask.gain import gains_of
from agent.ask.object_settings import Shown
from agent.ask.objects import ObjectQuestions
from agent.ask.settings import AskSettings
from agent.config import AskingConfig, CameraConfig, Config
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import MaskSettings, RuleSettings, ZoneSettings
from agent.deliver.faults import Faults
from agent.detect.budget import LookBudget, Pace
from agent.detect.detector import open_configured
from agent.detect.flow import Flow
from agent.detect.looks import SecondLooks
from agent.detect.motion import MotionGate, MotionSettings
from agent.detect.movement import movement
from agent.detect.settings import GOOD_LOOKS, DetectSettings, LookSettings
from agent.judging.lane import Lane
from agent.pipeline import Pipeline
from agent.redact.door import PictureDoor
from agent.redact.settings import RedactionSettings
from agent.track.settings import TrackSettings
from agent.track.tracker import Tracker
from vision.detections import Detector
from vision.detector import ModelDetector
from wire.messages import AskReason, Hide
from wire.model import Gain
from workbench.errors import ReplayRefused
from workbench.replay.asker import ReplayAsker, Uplink, said_of_frame
from workbench.replay.budget import MOST_QUESTIONS, Budget, Purse, amount_of
from workbench.replay.clip import CAMERA, Clip
from workbench.replay.cloud import ReplayCloud
from workbench.replay.framewise import FrameAsking, LooksUnlessSent
from workbench.replay.memory import Memory, RememberingDetector
from workbench.replay.policies import (
    SENDS_NOTHING,
    Drawn,
    Entropic,
    Every,
    FramePolicy,
    Policy,
    SednaIbt,
    SednaThreshold,
    Uncertain,
    drawn_places,
)
from workbench.replay.walk import Sent, Walk

OF_OBJECTS: Final = (AskReason.NEW, AskReason.REFRESH, AskReason.LOST, AskReason.WEAK, AskReason.MOTION)
"""Each is a key of `asking.objects`, by which it is switched on and off."""
NOWHERE: Final = "http://127.0.0.1"
"""The cloud's address, which nobody calls here."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a device is told, as far as a replay heeds it.

    Attributes:
        camera: The name of the camera that the clip plays.
        gain: Weights instead of those that the model brings.
    """

    model: DetectSettings
    rules: tuple[RuleSettings, ...]
    camera: str = CAMERA
    looks: LookSettings = field(default_factory=lambda: LookSettings(per_frame=GOOD_LOOKS))
    motion: MotionSettings | None = None
    tracking: TrackSettings = field(default_factory=TrackSettings)
    zones: tuple[ZoneSettings, ...] = ()
    masks: tuple[MaskSettings, ...] = ()
    redaction: RedactionSettings = field(default_factory=RedactionSettings)
    asking: AskingConfig = field(default_factory=AskingConfig)
    ask: AskSettings = field(default_factory=lambda: AskSettings(url=NOWHERE))
    gain: Gain | None = None

    @property
    def camera_limits(self) -> Limits:
        """What questions about this camera may cost, within what is replayed for the whole device."""
        budget = self.asking.budget
        return budget.cameras.get(self.camera, budget.each_camera)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the rules look for."""
        return tuple(sorted({label for rule in self.rules for label in rule.labels}))

    def looking_for(self, labels: Sequence[str]) -> Setup:
        """With every rule looking for these."""
        return replace(self, rules=tuple(rule.model_copy(update={"labels": tuple(labels)}) for rule in self.rules))

    def changed(self, *, model: str | None, looks: LookSettings | None) -> Setup:
        """With another model, or other second looks; None leaves what is there."""
        named = self.model if model is None else self.model.model_copy(update={"model": model})
        return replace(self, model=named, looks=self.looks if looks is None else looks)

    def each_reason_off(self) -> dict[str, Setup]:
        """For each reason for asking, the same without it."""
        without = {AskReason.UNCERTAIN: self.asking.model_copy(update={"max_per_minute": 0})}
        for reason in OF_OBJECTS:
            objects = self.asking.objects.model_copy(update={reason.value: False})
            without[reason] = self.asking.model_copy(update={"objects": objects})
        return {reason.value: replace(self, asking=asking) for reason, asking in without.items()}


def setup_of(config: Config, camera: str | None) -> Setup:
    """What an agent's own settings say of one of its cameras; the first, where None is named.

    Raises:
        ReplayRefused: There is no such camera.
    """
    chosen = camera_of(config, camera)
    return Setup(
        model=config.model,
        rules=tuple(rule for rule in config.rules if not rule.cameras or chosen.name in rule.cameras),
        camera=chosen.name,
        looks=config.looks,
        motion=chosen.motion,
        tracking=config.tracking,
        zones=tuple(zone for zone in config.zones if zone.camera == chosen.name),
        masks=tuple(mask for mask in config.masks if mask.camera == chosen.name),
        redaction=chosen.redaction,
        asking=config.asking,
        ask=config.ask or AskSettings(url=NOWHERE),
    )


def camera_of(config: Config, name: str | None) -> CameraConfig:
    """The camera of that name; the first, where None is named.

    Raises:
        ReplayRefused: There is no such camera.
    """
    for camera in config.cameras:
        if name is None or camera.name == name:
            return camera
    known = ", ".join(camera.name for camera in config.cameras)
    raise ReplayRefused(f"the agent's file has no camera {name!r}", f"Its cameras are {known}.")


class Workbench:
    """What all runs over one clip share: the clip, both models, and what the device was told.

    Args:
        setup: See there.
        clip: What is replayed.
        cloud: The other side.
        memory: Where the device's detections are kept.
        latency_s: From a question to its answer.
        seed: Of all that is drawn.

    Raises:
        VisionError: The device's model can't be used.
        ReplayRefused: It knows nothing that the rules look for.
    """

    def __init__(
        self, setup: Setup, clip: Clip, cloud: ReplayCloud, memory: Memory, *, latency_s: float, seed: int
    ) -> None:
        self.setup = setup
        self.clip = clip
        self._cloud = cloud
        self._uplink = Uplink(setup.ask, latency_s)
        self._seed = seed
        self._model: ModelDetector = open_configured(setup.model)
        manifest = self._model.manifest
        if not set(setup.labels) & set(manifest.labels):
            raise ReplayRefused(
                f"the model {manifest.name} knows none of {', '.join(setup.labels)}",
                "Name labels that it knows, each with a --label of its own.",
            )
        self.detector: Final = RememberingDetector(
            self._model, f"{manifest.digest} {self._model.runtime_name} {self._model.delegate}", memory
        )

    @property
    def model(self) -> str:
        """Name and version of the device's model."""
        return f"{self._model.manifest.name} {self._model.manifest.version}"

    @property
    def looks_per_frame(self) -> float:
        """Second looks a frame, on average, at the most."""
        return self.setup.looks.with_model(self._model.manifest.looks)

    def told(self, setup: Setup) -> Self:
        """The same, with a device that was told something else, but to use the same model."""
        other = copy(self)
        other.setup = setup
        return other

    def later(self, frames: int) -> Self:
        """The same, on a clip that begins so many frames later.

        Raises:
            ReplayRefused: The clip is not that long.
        """
        other = copy(self)
        other.clip = self.clip.later(frames)
        return other

    def close(self) -> None:
        """Let go of the device's model."""
        self._model.close()

    def pipeline(self, walk: Walk, policy: Policy, budget: Budget | None) -> Pipeline:
        """The agent's pipeline under that policy, ready to run."""
        setup = self.setup
        if policy is Policy.OURS:
            return self._put_together(walk, self.detector, self._looks(), budget)
        if policy in SENDS_NOTHING:
            looks = None if policy is Policy.TRACKER_ONLY else self._looks()
            return self._put_together(walk, self.detector, looks)
        detector = FrameAsking(
            device=self.detector,
            cloud=self._cloud,
            policy=self._frame_policy(policy, budget),
            purse=Purse(None if policy is Policy.ALWAYS else budget),
            reason=policy.value,
            labels=frozenset(setup.labels),
            message_bytes=self._said_of_frame,
            mixed=policy is not Policy.ALWAYS,
        )
        walk.watch(detector)
        unless_sent = self._looks(lambda: walk.seen[-1].whole)
        return self._put_together(walk, detector, unless_sent)

    @property
    def _said_of_frame(self) -> int:
        return said_of_frame(self.setup.camera, self.setup.labels[0], self._model.manifest.digest)

    def _frame_policy(self, policy: Policy, budget: Budget | None) -> FramePolicy:
        clip = self.clip
        share = 0.0 if budget is None else budget.per_s(clip.streamed_per_s) / clip.streamed_per_s
        match policy:
            case Policy.RANDOM:
                order = list(range(len(clip.whole_bytes)))
                random.Random(self._seed).shuffle(order)  # noqa: S311 - no secret: a clip's frames in any order
                each = [Sent(size, policy.value, self._said_of_frame).bytes for size in clip.whole_bytes]
                return Drawn(drawn_places(order, each, share * clip.streamed_bytes))
            case Policy.THRESHOLD:
                return Uncertain(self.setup.asking.uncertain or self._model.manifest.uncertain)
            case Policy.SEDNA_IBT:
                return SednaIbt()
            case Policy.SEDNA_THRESHOLD:
                return SednaThreshold()
            case Policy.UNCERTAINTY:
                return Entropic(share)
            case _:
                return Every()

    def _looks(self, sent: Callable[[], bool] | None = None) -> SecondLooks | None:
        if self.looks_per_frame == 0.0:
            return None
        budget = LookBudget(self.setup.looks, {self.setup.camera: Pace(waits=True)}, self._model.manifest.looks)
        size = (self._model.manifest.input.width, self._model.manifest.input.height)
        return SecondLooks(budget, size) if sent is None else LooksUnlessSent(budget, size, sent)

    def _budget(self, budget: Budget) -> BudgetSettings:
        """The agent's own: as many bytes, the camera's own limits, and none on the device's questions."""
        return BudgetSettings(
            bytes=amount_of(budget, self.clip.streamed_per_s).exact,
            questions_per_minute=MOST_QUESTIONS,
            each_camera=self.setup.camera_limits,
        )

    def _put_together(
        self, walk: Walk, detector: Detector, looks: SecondLooks | None, budget: Budget | None = None
    ) -> Pipeline:
        """With a budget, the device asks."""
        setup = self.setup
        new_id = partial(_next_id, itertools.count(1))
        objects = None
        if budget is not None:
            alone = {setup.camera} if setup.redaction.hide is Hide.ALL_BUT_ASKED else set()
            objects = ObjectQuestions(
                setup.asking.objects,
                Shown(setup.ask.margins, setup.ask.question_min_px, frozenset(alone), setup.ask.context_px),
                # Beginning with nothing, it spends no more in a short clip than in a long one.
                AskBudget(self._budget(budget), Balance(others=0.0), self.clip.times_s[0]),
                deadline_s=setup.asking.deadline_s,
                new_id=new_id,
                gains=gains_of(setup.gain or self._model.manifest.gain),
                on_asked=walk.recorder.asked,
            )
        lane = Lane(
            tracker=Tracker(setup.tracking),
            masks=MaskFilter(setup.masks, setup.camera),
            gate=None if setup.motion is None else MotionGate(setup.motion),
            movement=movement(looks_closer=looks is not None, asks=objects is not None),
            flow=None if objects is None else Flow(),
        )
        manifest = self._model.manifest
        door = PictureDoor({setup.camera: setup.redaction}, lambda _: lane.masks.polygons)
        asking = None if objects is None else setup.asking
        return Pipeline(
            frames=walk,
            inbox=walk.inbox,
            detector=detector,
            lanes={setup.camera: lane},
            rules=RuleBook(setup.rules, setup.zones, asking, manifest.uncertain, new_id, objects),
            outbox=walk,
            asker=None if objects is None else ReplayAsker(self._uplink, self._cloud, walk, door, manifest.digest),
            clock=walk,
            faults=Faults(),
            min_score=judging_floor(setup.tracking.low_score, manifest),
            looks=looks,
            audience=walk,
            door=door,
            objects=objects,
        )


def _next_id(ids: Iterator[int]) -> str:
    return f"{next(ids):032x}"
