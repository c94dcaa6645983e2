"""A frame's walk, read from top to bottom: still? → detect → look closer → track → decide → deliver → ask.

One thread judges the frames of all cameras, one after the other: the detector is not safe for two threads, and on a
small device a second judge would only take cores from the first. Whatever else concerns alerts (answers from the
cloud, deadlines, new rules, the end) is done by the same thread between two frames, so the rule book needs no lock.
"""

from __future__ import annotations

import logging
import math
import queue
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol

from agent.ask.budget import Balance, BudgetSettings
from agent.ask.object_settings import ObjectSettings
from agent.ask.objects import ObjectQuestions, Scene
from agent.ask.suspects import weak_signs
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, RuleSettings, ZoneSettings
from agent.decide.zones import Polygon
from agent.deliver.faults import Faults
from agent.deliver.stream_cost import StreamCost
from agent.detect.appearance import appearances
from agent.detect.looks import SecondLooks, Seen, look, merged, only, targets
from agent.detect.motion import MotionGate
from agent.detect.movement import Movement
from agent.detect.regions import Target
from agent.domain import AlertChange, Answer, Ask, Box, Clock, Frame, Track
from agent.errors import NoModelOpens
from agent.track.tracker import Tracker
from vision.detections import Detections, Detector
from vision.errors import InferenceFailed
from wire.messages import AlertEvent, AlertState, BudgetLeft

log: Final = logging.getLogger(__name__)

IDLE_S: Final = 0.25
"""How long to wait for a frame before deadlines are looked at; a deadline below a second makes little sense."""
FAILURES_IN_A_ROW: Final = 50
"""Five seconds at ten frames a second: a passing fault is over by then, a broken model is not."""
TELL_EVERY_S: Final = 1.0
"""How often what is left of the budget is told: it is read every few seconds."""
TAKE_BACK_S: Final = 60.0
"""For so long after a switch, failures don't end the run: the model's probation takes it back, and needs a judge to
hand the frames to again."""


class FrameSupply(Protocol):
    """Where frames come from: the cameras' slots."""

    def take(self, timeout_s: float) -> Frame | None:
        """The frame that waited longest, or None when there was none in time, or on `wake`."""

    def wake(self) -> None:
        """Make a waiting `take` return."""


class AlertOutbox(Protocol):
    """Where alert changes are made safe."""

    def record(self, changes: Sequence[AlertChange]) -> object:
        """Commit the changes, or hold them while the disk refuses; never raises for the disk's sake."""


class Asker(Protocol):
    """Where questions and pictures leave; never blocks on the network."""

    def submit(self, ask: Ask, frame: Frame) -> bool:
        """Ask about an object of the frame; whether it was taken."""

    def submit_picture(self, change: AlertChange, frame: Frame) -> object:
        """Send the picture of an alert."""


class BalanceKeeper(Protocol):
    """Where what is left of the budget is kept."""

    def keep(self, balance: Balance) -> None:
        """Write it down; never raises for the disk's sake."""


@dataclass(frozen=True, slots=True)
class NewRules:
    """Rules that replace the present ones, from a reloaded configuration."""

    rules: tuple[RuleSettings, ...]
    zones: tuple[ZoneSettings, ...]
    asking: AskPolicySettings | None
    masks: Mapping[str, MaskFilter]
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)


@dataclass(frozen=True, slots=True)
class NewBands:
    """Scores worth a question, by camera and label, that replace those tuned or pinned before."""

    bands: Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class NewModel:
    """A model that replaces the present one; whoever hands it in closes that one afterwards.

    Attributes:
        input_size: Width and height of its input, in pixels.
        min_score: The lowest score that it is asked for.
        uncertain: Its band of scores worth a question.
        adopted: Called between the two frames, by the judging thread.
    """

    detector: Detector
    input_size: tuple[int, int]
    min_score: float
    uncertain: tuple[float, float]
    adopted: Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class SwapModel:
    """A model that replaces the present one where memory does not hold both.

    Attributes:
        swap: Called between two frames, by the judging thread: closes the present model and returns the one to go on
            with. Frames that come meanwhile are dropped, except for the newest of each camera.
    """

    swap: Callable[[], NewModel]


@dataclass(frozen=True, slots=True, eq=False)
class Aside:
    """A question that decides no alert; asked within the limits that the rules' own questions have.

    Attributes:
        asked: Told by the judging thread whether it was.
    """

    ask: Ask
    frame: Frame
    asked: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Paid:
    """A question left the device, with so many bytes; told each time it is sent."""

    question_id: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Mute:
    """No new alerts of this rule, on this camera (None: of any, on any), for so long."""

    rule: str | None
    camera: str | None
    for_s: float


Event = Answer | Paid | Aside | NewBands | NewRules | NewModel | SwapModel | Mute


class Viewer(Protocol):
    """Shows people what is judged. The judging thread waits for it: it must return at once."""

    def looked(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """These objects are in the frame; of one too still to be judged, those of the last before it."""

    def changed(self, change: AlertChange) -> None:
        """An alert changed; it is in the outbox."""


class Door(Protocol):
    """Through which pictures leave; told what is in a frame before any of it does."""

    def seen(self, frame: Frame, detections: Detections | None, tracks: Sequence[Track]) -> None:
        """All that the model said of the frame, and what is followed; None where it was too still to be judged."""


class Onlooker(Protocol):
    """Told of each frame by the judging thread, which waits for it: it must return at once."""

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        """The model said this of the frame."""

    def failed(self, failure: InferenceFailed) -> None:
        """The model failed on a frame."""

    def skipped(self) -> None:
        """A frame was too still to be judged."""


class Audience(Protocol):
    """Told of each judged frame what is in it; what it does takes time from the judging."""

    def followed(self, frame: Frame, tracks: Sequence[Track], looks: int) -> None:
        """These objects are followed, and the frame was looked at so often beside the first time."""


class Auditor(Protocol):
    """Draws frames for audit; told of each by the judging thread, which waits for it: it must return at once."""

    def judged(
        self, frame: Frame, detections: Detections, tracks: Sequence[Track], masks: tuple[Polygon, ...]
    ) -> None:
        """This was said of the frame; what stands in a mask is not among it."""

    def still(self, frame: Frame, masks: tuple[Polygon, ...]) -> None:
        """The frame was too still to be judged: what was said of the one before stands."""


@dataclass(slots=True)
class Lane:
    """What one camera keeps from frame to frame."""

    tracker: Tracker
    masks: MaskFilter
    gate: MotionGate | None = None
    movement: Movement | None = None
    """Where second looks and questions go beside what the detector shows."""
    stream_cost: StreamCost | None = None
    tracks: Sequence[Track] = ()
    """Of the last frame that was judged."""
    judged: int = 0
    still: int = 0
    looks: int = 0
    """Second looks at all judged frames."""
    inference_s: float = 0.0
    """Sum over all judged frames."""
    moving: Sequence[Box] | None = None
    """Where something moved in the frame at hand; None where that was not looked for."""


@dataclass(slots=True)
class Stages:
    """Seconds spent in each stage since the start, for `bench` and `diagnose`."""

    gate: float = 0.0
    detect: float = 0.0
    look: float = 0.0
    track: float = 0.0
    decide: float = 0.0
    deliver: float = 0.0
    ask: float = 0.0


class Tally:
    """What became of the alerts since the start; written by the judging thread, read by any."""

    REMEMBERED: Final = 10_000
    """An alert that changes after so many newer ones stays counted where it was."""

    def __init__(self) -> None:
        self._now: OrderedDict[str, AlertState] = OrderedDict()
        self._counts: Counter[AlertState] = Counter()
        self.asks = 0

    def note(self, change: AlertChange) -> None:
        """Count an alert where it stands by now."""
        before = self._now.pop(change.id, None)
        if before is None and change.event is not AlertEvent.NEW:
            return
        if before is not None:
            self._counts[before] -= 1
        self._counts[change.state] += 1
        self._now[change.id] = change.state
        if len(self._now) > self.REMEMBERED:
            self._now.popitem(last=False)

    def alerts(self) -> dict[AlertState, int]:
        """How many alerts stand in each state."""
        return {state: self._counts[state] for state in AlertState}


class Inbox:
    """What other threads want of the judging thread, which takes it up between two frames."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._waiting: queue.SimpleQueue[tuple[Event, Future[None]]] = queue.SimpleQueue()
        self._wake = wake

    def put(self, event: Event) -> Future[None]:
        """Hand in an event; from any thread. What follows from it is committed once the future is done.

        A model can be withdrawn by cancelling the future; whether that came in time is what `cancel` returns.
        """
        done: Future[None] = Future()
        self._waiting.put((event, done))
        self._wake()
        return done

    def take(self) -> tuple[Event, Future[None]] | None:
        """The oldest event, and what to set when it is done."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None


class Pipeline:
    """Judges frames until told to stop.

    Args:
        frames: The cameras' slots.
        inbox: Answers, new rules and new models.
        detector: Used by the judging thread only.
        lanes: One for each camera, by name.
        rules: The rule book; owned by the judging thread from here on.
        outbox: Where alert changes are committed.
        asker: Where questions go; None where no cloud is configured.
        clock: The agent's clock.
        faults: Where what went wrong is counted.
        min_score: The lowest score the tracker wants to hear of.
        looks: Looks closer; None where each frame is looked at once.
        onlooker: Watches over the model; None where nobody does.
        audience: Wants to know what is in each frame; None where nobody does.
        auditor: Draws frames for audit; None where nobody does.
        viewer: Shows people what is judged; None where nobody can look.
        door: Pictures leave through it; None where none can.
        objects: Asks about objects, and holds what is asked to the budget; None where there is none.
        balances: Where what is left of the budget is kept; None where nothing outlives the run.
    """

    def __init__(
        self,
        *,
        frames: FrameSupply,
        inbox: Inbox,
        detector: Detector,
        lanes: Mapping[str, Lane],
        rules: RuleBook,
        outbox: AlertOutbox,
        asker: Asker | None,
        clock: Clock,
        faults: Faults,
        min_score: float,
        looks: SecondLooks | None = None,
        onlooker: Onlooker | None = None,
        audience: Audience | None = None,
        auditor: Auditor | None = None,
        viewer: Viewer | None = None,
        door: Door | None = None,
        objects: ObjectQuestions | None = None,
        balances: BalanceKeeper | None = None,
    ) -> None:
        self._frames = frames
        self._detector = detector
        self._lanes = lanes
        self._rules = rules
        self._outbox = outbox
        self._asker = asker
        self._clock = clock
        self._faults = faults
        self._min_score = min_score
        self._inbox = inbox
        self._stopping = False
        self._looks = looks
        self._onlooker = onlooker
        self._audience = audience
        self._auditor = auditor
        self._viewer = viewer
        self._door = door
        self._objects = objects
        self._balances = balances
        self._failures_in_a_row = 0
        self._spared_until = -math.inf
        self._told_at = -math.inf
        self.stages = Stages()
        self.tally = Tally()
        self.budgets: tuple[BudgetLeft, ...] = ()
        """What is left for questions, as of a second ago; read by any thread."""
        self.turns = 0
        """How often the judging thread came round, with a frame or without; read by any thread."""
        self.looked = 0
        """Frames that it was done with, in whichever way."""

    def run(self, should_end: Callable[[], bool] = lambda: False) -> None:
        """Judge until `stop`, or until no frame waits and `should_end` says that none will come.

        Raises:
            InferenceFailed: The model failed on many frames in a row.
            NoModelOpens: A swap left it without any model.
        """
        try:
            while not self._stopping:
                frame = self._frames.take(IDLE_S)
                self._settle()
                if frame is not None:
                    self.judge(frame)
                    self.looked += 1
                elif should_end():
                    break
                self.turns += 1
        except (InferenceFailed, NoModelOpens):
            self._end("the model failed")
            raise
        self._end("the agent stopped")

    def _end(self, reason: str) -> None:
        self._settle()
        self._deliver(self._rules.finish(self._clock.monotonic(), reason), None)
        if self._objects is not None:
            self._keep(self._objects.budget.balance())

    def stop(self) -> None:
        """Finish the frame at hand, end the open alerts and return from `run`; from any thread."""
        self._stopping = True
        self._frames.wake()

    def judge(self, frame: Frame) -> None:
        """One frame's walk."""
        lane = self._lanes[frame.camera]
        stages = self.stages
        self._sample_cost(lane, frame)
        began = time.perf_counter()
        if lane.gate is not None:
            still = lane.gate.still(frame.image, frame.at)
            began = _spent(stages, "gate", began)
            if still:
                lane.still += 1
                lane.tracker.still(frame.at)
                self._rules.still(frame.camera, frame.at)
                if self._onlooker is not None:
                    self._onlooker.skipped()
                self._tell(frame, None, lane.tracks)
                if self._auditor is not None:
                    self._auditor.still(frame, lane.masks.polygons)
                self._show(lane, frame)
                return

        try:
            detections = self._detector.detect(frame.image, self._min_score)
        except InferenceFailed as failed:
            self._model_failed(failed)
            return
        self._failures_in_a_row = 0
        detected = _spent(stages, "detect", began)
        lane.judged += 1
        lane.inference_s += detected - began
        if self._onlooker is not None:
            self._onlooker.judged(frame, detections, detected - began)

        seen = self._look_closer(lane, frame, lane.masks.keep(only(detections, self._rules.labels)))
        looked = _spent(stages, "look", detected)

        looks_like = appearances(frame.image, seen.detections)
        tracks = lane.tracks = lane.tracker.update(seen.detections, frame.at, seen.looked, looks_like)
        self._tell(frame, detections, tracks)
        self._show(lane, frame)
        tracked = _spent(stages, "track", looked)

        decided = self._rules.step(frame.camera, tracks, frame.at, self._clock.wall())
        decided_at = _spent(stages, "decide", tracked)

        self._deliver(decided.changes, frame)
        delivered = _spent(stages, "deliver", decided_at)

        self._ask(self._questions(lane, frame, seen.detections, decided.asks), frame)
        if self._auditor is not None:
            self._auditor.judged(frame, seen.detections, tracks, lane.masks.polygons)
        ended = _spent(stages, "ask", delivered)

        if self._looks is not None:
            self._looks.spent(ended - began - (looked - detected), len(seen.looked), looked - detected)
        if self._audience is not None:
            self._audience.followed(frame, tracks, len(seen.looked))

    def _look_closer(self, lane: Lane, frame: Frame, whole: Detections) -> Seen:
        """What the frame shows after its second looks; where one of them fails, what it showed at the first."""
        if self._looks is None:
            return Seen(whole)
        expected = lane.tracker.expected(frame.at)
        wanted = targets(whole, expected, frame.at)
        moving = [] if lane.movement is None else lane.movement.targets(frame.image, wanted, frame.at)
        lane.moving = [target.box for target in moving]
        regions = self._looks.choose(frame, wanted + moving)
        if not regions:
            return Seen(whole)
        try:
            close = look(self._detector, frame.image, regions, self._min_score)
        except InferenceFailed as failed:
            self._model_failed(failed)
            return Seen(whole)
        height, width = frame.image.shape[:2]
        seen = merged(whole, regions, close, (width, height), self._min_score)
        lane.looks += len(regions)
        if lane.movement is not None:
            lane.movement.looked(moving, seen.looked, frame.at)
        return Seen(lane.masks.keep(only(seen.detections, self._rules.labels)), seen.looked)

    def _tell(self, frame: Frame, detections: Detections | None, tracks: Sequence[Track]) -> None:
        if self._door is not None:
            self._door.seen(frame, detections, tracks)

    def _show(self, lane: Lane, frame: Frame) -> None:
        if self._viewer is not None:
            self._viewer.looked(frame, lane.tracks)

    def _deliver(self, changes: Sequence[AlertChange], frame: Frame | None) -> None:
        if not changes:
            return
        self._outbox.record(changes)
        for change in changes:
            log.info(
                "alert %s, %s: %s %.2f on %s by rule %s (%s)",
                change.event, change.state, change.label, change.score, change.camera, change.rule, change.reason,
                extra={"alert_id": change.id},
            )  # fmt: skip
        for change in changes:
            self.tally.note(change)
            if self._viewer is not None:
                self._viewer.changed(change)
            if (
                change.event is AlertEvent.NEW
                and change.wants_picture
                and frame is not None
                and self._asker is not None
            ):
                self._asker.submit_picture(change, frame)

    def _questions(self, lane: Lane, frame: Frame, detections: Detections, by_rules: Sequence[Ask]) -> Sequence[Ask]:
        """What to ask about the frame: what the rules want to know, and what else is worth its bytes."""
        if self._objects is None:
            return by_rules
        height, width = frame.image.shape[:2]
        weak = weak_signs(detections, lane.tracker.new_score)
        scene = Scene(frame.camera, lane.tracks, weak, self._moving(lane, frame), (width, height), frame.at)
        for ask in by_rules:
            self._objects.asked(ask, scene)
        about_objects = self._objects.ask(scene, partial(self._interest, lane, frame.camera))
        return (*by_rules, *about_objects)

    def _interest(self, lane: Lane, camera: str, label: str | None, box: Box) -> str | None:
        """The label for which to ask about a place; None where nobody wants to know."""
        return None if lane.masks.hides(box) else self._rules.interest(camera, label, box, self._clock.wall())

    def _moving(self, lane: Lane, frame: Frame) -> Sequence[Box] | None:
        """Where something moves; None where that was not looked for in this frame."""
        if lane.movement is None or self._looks is not None:
            moving, lane.moving = lane.moving, None
            return moving
        followed = [Target(track.box, 1.0) for track in lane.tracks]
        found = lane.movement.targets(frame.image, followed, frame.at)
        return [target.box for target in found] or None

    def _hear(self, answer: Answer) -> bool:
        """Tell the tracker what the cloud saw, apart from what is masked or of no interest; False if nobody asked."""
        heard = None if self._objects is None else self._objects.heard(answer)
        if heard is None:
            return False
        camera, report = heard
        lane = self._lanes[camera]
        shown = [one for one in report.found if one.label in self._rules.labels and not lane.masks.hides(one.box)]
        lane.tracker.hear(replace(report, found=tuple(shown)))
        return True

    def _ask(self, asks: Sequence[Ask], frame: Frame) -> None:
        for ask in asks:
            self.tally.asks += 1
            if self._asker is not None:
                ids = {"alert_id": ask.alert_id, "question_id": ask.id}
                log.info("asking about a %s %.2f on %s", ask.label, ask.score, ask.camera, extra=ids)
                self._asker.submit(ask, frame)

    def _settle(self) -> None:
        """Do what waits between two frames: answers, new rules, deadlines."""
        now = self._clock.monotonic()
        while (waiting := self._inbox.take()) is not None:
            event, done = waiting
            # Whoever waited may have given up, which must not stop the judging.
            awaited = done.set_running_or_notify_cancel()
            match event:
                case Answer() | Paid():
                    self._take_answer(event, now)
                case NewRules():
                    self._follow(event, now)
                case NewBands() | Mute():
                    self._instruct(event, now)
                case Aside():
                    event.asked(self._ask_aside(event, now))
                case NewModel() if awaited:
                    self._adopt(event, now)
                case SwapModel() if awaited:
                    self._swap(event, done)
            if awaited:
                done.set_result(None)
        self._deliver(self._rules.tick(now), None)
        self._account(now)

    def _follow(self, new: NewRules, now: float) -> None:
        self._deliver(self._rules.replace_rules(new.rules, new.zones, new.asking, now), None)
        if self._objects is not None and new.asking is not None:
            self._objects.follow(new.objects, new.asking.deadline_s)
            self._objects.budget.reconfigure(new.budget, now)
        for camera in self._lanes.keys() & new.masks.keys():
            self._lanes[camera].masks = new.masks[camera]

    def _take_answer(self, event: Answer | Paid, now: float) -> None:
        """What came of a question: what it said, or what it cost."""
        if isinstance(event, Answer):
            ids = {"alert_id": event.alert_id, "question_id": event.question_id}
            log.info("answered: %s (%s)", event.decision, event.reason, extra=ids)
            heard = self._hear(event)
            if event.alert_id is not None or not heard:
                self._deliver(self._rules.answer(event, now), None)
        elif self._objects is not None:
            self._objects.paid(event.question_id, event.bytes, now)

    def _account(self, now: float) -> None:
        """Have what is left of the budget written down and told, where it is time for that."""
        if self._objects is None:
            return
        budget = self._objects.budget
        self._keep(budget.to_keep(now))
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at, self.budgets = now, budget.told(now)

    def _keep(self, balance: Balance | None) -> None:
        if balance is not None and self._balances is not None:
            self._balances.keep(balance)

    def _instruct(self, event: NewBands | Mute, now: float) -> None:
        if isinstance(event, NewBands):
            self._rules.tune(event.bands)
        else:
            self._rules.mute(event.rule, event.camera, now + event.for_s)

    def _adopt(self, model: NewModel, now: float) -> None:
        self._detector = model.detector
        if self._looks is not None:
            self._looks.follow_model(model.input_size)
        self._min_score = model.min_score
        self._rules.follow_model(model.uncertain)
        self._failures_in_a_row = 0
        self._spared_until = now + TAKE_BACK_S
        model.adopted()

    def _swap(self, event: SwapModel, done: Future[None]) -> None:
        try:
            model = event.swap()
        except NoModelOpens as lost:
            done.set_exception(lost)
            raise
        self._adopt(model, self._clock.monotonic())

    def _ask_aside(self, aside: Aside, now: float) -> bool:
        ask, lane = aside.ask, self._lanes[aside.ask.camera]
        if self._asker is None or lane.masks.hides(ask.box):
            return False
        if not self._rules.take_aside(ask.camera, ask.label, ask.box, now, self._clock.wall()):
            return False
        self.tally.asks += 1
        return self._asker.submit(ask, aside.frame)

    def _sample_cost(self, lane: Lane, frame: Frame) -> None:
        if lane.stream_cost is not None:
            lane.stream_cost.sample(frame.image, frame.at)

    def _model_failed(self, failed: InferenceFailed) -> None:
        self._faults.note(failed)
        self._failures_in_a_row += 1
        if self._onlooker is not None:
            self._onlooker.failed(failed)
        if self._failures_in_a_row >= FAILURES_IN_A_ROW and self._clock.monotonic() > self._spared_until:
            raise failed


def _spent(stages: Stages, stage: str, began: float) -> float:
    now = time.perf_counter()
    setattr(stages, stage, getattr(stages, stage) + now - began)
    return now
