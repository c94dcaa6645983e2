"""What of a frame is asked about, and what comes of it for the objects that are followed.

The rules' own questions and those about objects leave together, within one budget.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from agent.ask.budget import Balance
from agent.ask.objects import ObjectQuestions, Scene
from agent.ask.suspects import Sign, weak_signs
from agent.boxes import covered_by_any
from agent.decide.rulebook import RuleBook
from agent.detect.passing import DOUBTED
from agent.detect.regions import Target
from agent.domain import STANDS_FROM, Answer, Ask, Box, Clock, Frame, Report
from agent.judging.inbox import Aside, NewRules, Paid, Unsent
from agent.judging.lane import Lane, Tally
from agent.judging.ports import Asker, BalanceKeeper
from agent.judging.riding import tell
from vision.detections import Detections
from wire.messages import BudgetLeft

log: Final = logging.getLogger(__name__)

TELL_EVERY_S: Final = 1.0
"""How often what is left of the budget is told: it is read every few seconds."""


class Asking:
    """Used by the judging thread alone.

    Args:
        asker: Where questions go; None where no cloud is configured.
        objects: Asks about objects, and holds what is asked to the budget; None where nothing is asked beside rules.
        balances: Where what is left of the budget is kept; None where nothing outlives the run.
        lanes: By camera.
        rules: Say what matters where.
        clock: The agent's.
        tally: Counts what is asked.
        looks_closer: Whether second looks are made, which say in passing where something moves.
    """

    def __init__(
        self,
        *,
        asker: Asker | None,
        objects: ObjectQuestions | None,
        balances: BalanceKeeper | None,
        lanes: Mapping[str, Lane],
        rules: RuleBook,
        clock: Clock,
        tally: Tally,
        looks_closer: Callable[[], bool],
    ) -> None:
        self._asker = asker
        self._objects = objects
        self._balances = balances
        self._lanes = lanes
        self._rules = rules
        self._clock = clock
        self._tally = tally
        self._looks_closer = looks_closer
        self._told_at = -math.inf
        self._heard: dict[str, list[Report]] = {}
        self.budgets: tuple[BudgetLeft, ...] = ()
        """What is left for questions, as of a second ago; read by any thread."""

    def choose(self, lane: Lane, frame: Frame, detections: Detections, by_rules: Sequence[Ask]) -> Sequence[Ask]:
        """What the rules want to know of the frame, and what else is worth its bytes."""
        asks = self._questions(lane, frame, detections, by_rules)
        if asks and self._asker is not None and lane.flow is not None:
            lane.flow.asked(frame.image, frame.at)
            lane.tracker.pictured()
        return asks

    def ask(self, frame: Frame, asks: Sequence[Ask]) -> None:
        """Ask what was chosen."""
        self._tally.asks += len(asks)
        self._tally.asks_again = self._rules.counts["asks_again"]
        if self._asker is None:
            return
        for ask in asks:
            ids = {"alert_id": ask.alert_id, "question_id": ask.id}
            shown = " with the whole frame" if ask.context else ""
            about = (ask.label, ask.score, ask.camera, shown, ask.reason)
            log.info("asking about a %s %.2f on %s%s: %s", *about, extra=ids)
            self._asker.submit(ask, frame)

    def ask_aside(self, aside: Aside, now: float) -> bool:
        """Ask a question that decides no alert, where budget and rules' limits allow it; whether it was asked."""
        ask, lane = aside.ask, self._lanes[aside.ask.camera]
        if self._asker is None or lane.masks.hides(ask.box):
            return False
        if self._objects is not None and not self._objects.may_ask(ask.camera, now, urgent=False, context=False):
            return False
        if not self._rules.take_aside(ask.camera, ask.label, ask.box, now, self._clock.wall()):
            return False
        if self._objects is not None:
            height, width = aside.frame.image.shape[:2]
            # Its object may be long gone, so it is no answer about what is followed: it is only paid for.
            self._objects.asked(ask, Scene(ask.camera, (), (), None, (width, height), now))
        self._tally.asks += 1
        return self._asker.submit(ask, aside.frame)

    def hear(self, answer: Answer) -> bool:
        """Keep for `settle` what the cloud saw that is neither masked nor of no interest; False if nobody asked."""
        if self._objects is None:
            return False
        heard = self._objects.heard(answer)
        if heard is None:
            return False
        camera, report = heard
        lane = self._lanes[camera]
        labels = self._rules.labels
        found = tuple([one for one in report.found if one.label in labels and not lane.masks.hides(one.box)])
        told = report if len(found) == len(report.found) else replace(report, found=found)
        self._heard.setdefault(camera, []).append(told)
        self._objects.told_of_passers(camera, report.at, _passers(report, labels))
        return True

    def settle(self, camera: str) -> None:
        """Tell the tracker of a camera, moved on to the latest frame, what was heard since the last time."""
        reports = self._heard.pop(camera, None)
        if reports:
            tell(self._lanes[camera], reports)

    def settle_price(self, told: Paid | Unsent, now: float) -> None:
        """A question was sent: its bytes are off the budget. Or it never will be: they are there again."""
        if self._objects is None:
            return
        if isinstance(told, Paid):
            self._objects.paid(told.question_id, told.camera, told.bytes, now)
        else:
            self._objects.unsent(told.question_id, now)

    def follow(self, new: NewRules, now: float) -> None:
        """Go on under other settings."""
        if self._objects is not None and new.asking is not None:
            self._objects.follow(new.objects, new.asking.deadline_s)
            self._objects.budget.reconfigure(new.budget, now)

    def account(self, now: float) -> None:
        """Have what is left of the budget written down and told, where it is time for that."""
        if self._objects is None:
            return
        budget = self._objects.budget
        self._keep(budget.to_keep(now))
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at, self.budgets = now, budget.told(now)

    def close(self) -> None:
        """Have what is left of the budget written down."""
        if self._objects is not None:
            self._objects.close(self._clock.monotonic())
            self._keep(self._objects.budget.balance())

    def _keep(self, balance: Balance | None) -> None:
        if balance is not None and self._balances is not None:
            self._balances.keep(balance)

    def _questions(self, lane: Lane, frame: Frame, detections: Detections, by_rules: Sequence[Ask]) -> Sequence[Ask]:
        if self._objects is None:
            return by_rules
        due = lane.on_turn
        if not due and not by_rules:
            return ()
        height, width = frame.image.shape[:2]
        weak = weak_signs(detections, lane.tracker.new_score) if due else ()
        moving = self._moving(lane, frame) if due else None
        scene = Scene(frame.camera, lane.tracks, weak, moving, (width, height), frame.at)
        for ask in by_rules:
            self._objects.asked(ask, scene)
        if not due:
            return by_rules
        return (*by_rules, *self._objects.ask(scene, partial(self._interest, lane, frame.camera)))

    def _interest(self, lane: Lane, camera: str, label: str | None, box: Box) -> str | None:
        """The label for which to ask about a place; None where nobody wants to know."""
        return None if lane.masks.hides(box) else self._rules.interest(camera, label, box, self._clock.wall())

    def _moving(self, lane: Lane, frame: Frame) -> Sequence[Sign] | None:
        """Where something moves; None where that was not looked for in this frame."""
        if lane.movement is None or self._looks_closer():
            moving, lane.moving = lane.moving, None
            return moving
        followed = [Target(track.box, 1.0) for track in lane.tracks]
        image = frame.image if lane.flow is None else lane.flow.small(frame.image, frame.at)
        found = lane.movement.targets(image, followed, frame.at)
        return lane.signs(found) or None


def _passers(report: Report, labels: frozenset[str]) -> list[Box]:
    """Where the cloud saw what no rule looks for, and nothing over it that one does."""
    there = [one for one in report.found if one.score >= STANDS_FROM]
    wanted = [one.box for one in there if one.label in labels]
    return [one.box for one in there if one.label not in labels and not covered_by_any(one.box, wanted, DOUBTED)]
