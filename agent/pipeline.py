"""A frame's walk, read from top to bottom: still? → detect → ride → look closer → track → decide → deliver → ask.

One thread judges the frames of all cameras, one after the other: the detector is not safe for two threads, and on a
small device a second judge would only take cores from the first. Whatever else concerns alerts (answers from the
cloud, deadlines, new rules, the end) is done by the same thread between two frames, so the rule book needs no lock.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final

from agent.ask.objects import ObjectQuestions
from agent.decide.rulebook import RuleBook
from agent.deliver.faults import Faults
from agent.detect.appearance import appearances
from agent.detect.looks import SecondLooks, Seen, look, merged, only, targets
from agent.detect.movement import movement_with_model
from agent.domain import AlertChange, Answer, Clock, Frame, Track
from agent.errors import NoModelOpens
from agent.judging.asking import Asking
from agent.judging.inbox import Aside, Inbox, Mute, NewBands, NewModel, NewRules, Paid, SwapModel, Unsent
from agent.judging.lane import Lane, Stages, Tally
from agent.judging.ports import (
    AlertOutbox,
    Asker,
    Audience,
    Auditor,
    BalanceKeeper,
    Door,
    FrameSupply,
    Onlooker,
    Viewer,
)
from agent.judging.riding import follow
from vision.detections import Detections, Detector
from vision.errors import InferenceFailed
from wire.messages import AlertEvent, BudgetLeft

log: Final = logging.getLogger(__name__)

IDLE_S: Final = 0.25
"""How long to wait for a frame before deadlines are looked at; a deadline below a second makes little sense."""
FAILURES_IN_A_ROW: Final = 50
"""Five seconds at ten frames a second: a passing fault is over by then, a broken model is not."""
TAKE_BACK_S: Final = 60.0
"""For so long after a switch, failures don't end the run: the model's probation takes it back, and needs a judge to
hand the frames to again."""


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
        self._asks_about_objects = objects is not None
        self._onlooker = onlooker
        self._audience = audience
        self._auditor = auditor
        self._viewer = viewer
        self._door = door
        self._failures_in_a_row = 0
        self._spared_until = -math.inf
        self.stages = Stages()
        self.tally = Tally()
        self._asking = Asking(
            asker=asker,
            objects=objects,
            balances=balances,
            lanes=lanes,
            rules=rules,
            clock=clock,
            tally=self.tally,
            looks_closer=self._looks_closer,
        )
        self.turns = 0
        """How often the judging thread came round, with a frame or without; read by any thread."""
        self.looked = 0
        """Frames that it was done with, in whichever way."""

    @property
    def budgets(self) -> tuple[BudgetLeft, ...]:
        """What is left for questions, as of a second ago; from any thread."""
        return self._asking.budgets

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
        self._asking.close()

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
                self._pass_over(lane, frame)
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

        # Ahead of whatever else the tracker is told or asked of this frame.
        ridden = self._ride(lane, frame, detected)

        if lane.on_turn and lane.movement is not None:
            lane.movement.passers.note(detections, self._rules.labels, self._rules.sure_from, frame.at)
        # A device that looks closer goes by it whether it asks or not.
        noted = _spent(stages, "look" if self._looks_closer() else "choose", ridden)

        seen = self._look_closer(lane, frame, lane.masks.keep(only(detections, self._rules.labels)))
        looked = _spent(stages, "look", noted)

        looks_like = appearances(frame.image, seen.detections)
        tracks = lane.tracks = lane.tracker.update(seen.detections, frame.at, seen.looked, looks_like)
        self._tell(frame, detections, tracks, seen.close)
        self._show(lane, frame)
        tracked = _spent(stages, "track", looked)

        decided = self._rules.step(frame.camera, tracks, frame.at, self._clock.wall())
        decided_at = _spent(stages, "decide", tracked)

        self._deliver(decided.changes, frame)
        delivered = _spent(stages, "deliver", decided_at)

        asks = self._asking.choose(lane, frame, seen.detections, decided.asks)
        chosen = _spent(stages, "choose", delivered)

        self._asking.ask(frame, asks)
        if self._auditor is not None:
            self._auditor.judged(frame, seen.detections, tracks, lane.masks.polygons)
        ended = _spent(stages, "ask", chosen)

        if self._looks is not None:
            self._looks.spent(ended - began - (looked - noted), len(seen.looked), looked - noted)
        if self._audience is not None:
            self._audience.followed(frame, tracks, len(seen.looked))

    def _pass_over(self, lane: Lane, frame: Frame) -> None:
        """Nothing has moved since the frame before."""
        lane.still += 1
        lane.tracker.still(frame.at)
        self._asking.settle(frame.camera)
        self._rules.still(frame.camera, frame.at)
        if self._onlooker is not None:
            self._onlooker.skipped()
        self._tell(frame, None, lane.tracks)
        if self._auditor is not None:
            self._auditor.still(frame, lane.masks.polygons)
        self._show(lane, frame)

    def _ride(self, lane: Lane, frame: Frame, began: float) -> float:
        """Move on what goes where the pictures show that it went, and tell what was heard; when that was done."""
        lane.turn(frame.at)
        if not lane.on_turn:
            return began
        moved = follow(lane, frame)
        followed = _spent(self.stages, "ride", began)
        lane.tracker.ride(moved, frame.at)
        tracked = _spent(self.stages, "track", followed)
        self._asking.settle(frame.camera)
        return _spent(self.stages, "hear", tracked)

    def _looks_closer(self) -> bool:
        return self._looks is not None and self._looks.are_made

    def _look_closer(self, lane: Lane, frame: Frame, whole: Detections) -> Seen:
        """What the frame shows after its second looks; where one of them fails, what it showed at the first."""
        if self._looks is None or not self._looks.are_made:
            return Seen(whole)
        expected = lane.tracker.expected(frame.at)
        wanted = targets(whole, expected, frame.at)
        moving = [] if lane.movement is None else lane.movement.targets(frame.image, wanted, frame.at)
        # Until it is taken, what moved is kept: questions are not chosen in every frame.
        lane.moving = lane.signs(moving) or lane.moving
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
        return replace(seen, detections=lane.masks.keep(only(seen.detections, self._rules.labels)))

    def _tell(
        self, frame: Frame, detections: Detections | None, tracks: Sequence[Track], close: Detections | None = None
    ) -> None:
        if self._door is not None:
            self._door.seen(frame, detections, tracks, close)

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

    def _settle(self) -> None:
        """Do what waits between two frames: answers, new rules, deadlines."""
        now = self._clock.monotonic()
        while (waiting := self._inbox.take()) is not None:
            event, done = waiting
            # Whoever waited may have given up, which must not stop the judging.
            awaited = done.set_running_or_notify_cancel()
            match event:
                case Answer():
                    self._take_answer(event, now)
                case Paid() | Unsent():
                    self._asking.settle_price(event, now)
                case NewRules():
                    self._follow(event, now)
                case NewBands():
                    self._rules.tune(event.bands)
                case Mute():
                    self._rules.mute(event.rule, event.camera, now + event.for_s)
                case Aside():
                    event.asked(self._asking.ask_aside(event, now))
                case NewModel() | SwapModel() if awaited:
                    self._adopt(event if isinstance(event, NewModel) else _swapped(event, done))
            if awaited:
                done.set_result(None)
        self._deliver(self._rules.tick(now), None)
        self._asking.account(now)

    def _follow(self, new: NewRules, now: float) -> None:
        self._deliver(self._rules.replace_rules(new.rules, new.zones, new.asking, now), None)
        self._asking.follow(new, now)
        for camera in self._lanes.keys() & new.masks.keys():
            self._lanes[camera].masks = new.masks[camera]

    def _take_answer(self, answer: Answer, now: float) -> None:
        ids = {"alert_id": answer.alert_id, "question_id": answer.question_id}
        log.info("answered: %s (%s)", answer.decision, answer.reason, extra=ids)
        began = time.perf_counter()
        heard = self._asking.hear(answer)
        _spent(self.stages, "hear", began)
        if answer.alert_id is not None or not heard:
            self._deliver(self._rules.answer(answer, now), None)

    def _adopt(self, model: NewModel) -> None:
        self._detector = model.detector
        if self._looks is not None:
            self._looks.follow_model(model.input_size, model.looks)
        closer = self._looks_closer()
        for lane in self._lanes.values():
            lane.movement = movement_with_model(lane.movement, looks_closer=closer, asks=self._asks_about_objects)
            lane.moving = None
        self._min_score = model.min_score
        self._rules.follow_model(model.uncertain)
        self._failures_in_a_row = 0
        self._spared_until = self._clock.monotonic() + TAKE_BACK_S
        model.adopted()

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


def _swapped(event: SwapModel, done: Future[None]) -> NewModel:
    try:
        return event.swap()
    except NoModelOpens as lost:
        done.set_exception(lost)
        raise


def _spent(stages: Stages, stage: str, began: float) -> float:
    now = time.perf_counter()
    setattr(stages, stage, getattr(stages, stage) + now - began)
    return now
