"""What the rules ask the cloud, and whether they may: about each alert once, and once more where a doubt is left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from agent.decide.alert import Alert, Sightings
from agent.decide.rules import Rules
from agent.decide.settings import PicturePolicy, RuleSettings
from agent.domain import Ask, Track
from wire.messages import AskReason

MINUTE_S: Final = 60.0


class Questions(Protocol):
    """What is asked beside the rules, about objects; see `agent.ask.objects`."""

    def may_ask(self, camera: str, now: float, *, urgent: bool, context: bool) -> bool:
        """Whether the budget allows one more; an urgent one may borrow, one with context shows the whole frame."""

    def set_aside(self, camera: str, now: float, *, context: bool) -> None:
        """Hold what one takes until it is asked, once all of the frame was looked at."""


class Look:
    """One track in one frame, as one rule sees it."""

    __slots__ = ("camera", "local", "now", "rule", "sightings", "track", "zone")

    def __init__(
        self,
        camera: str,
        rule: RuleSettings,
        sightings: Sightings,
        track: Track,
        zone: str | None,
        now: float,
        local: datetime,
    ) -> None:
        self.camera = camera
        self.rule = rule
        self.sightings = sightings
        self.track = track
        self.zone = zone
        self.now = now
        self.local = local


class Inquiry:
    """The rules' own questions, and the limit that holds for all that is asked. Not safe for use from two threads.

    Args:
        rules: Say how the cloud is asked, as they stand.
        questions: Holds what is asked to the budget; None where nothing does.
        new_id: Gives ids of questions.
        counts: Where refusals are counted, and what was asked again.
    """

    def __init__(
        self, rules: Rules, questions: Questions | None, new_id: Callable[[], str], counts: Counter[str]
    ) -> None:
        self._rules = rules
        self._questions = questions
        self._new_id = new_id
        self._counts = counts
        self._asked_at: deque[float] = deque()

    def ask(self, alert: Alert, look: Look) -> Ask | None:
        """Ask about an alert, if that may be; it waits for the answer then.

        Also where its object is asked about just then: that question is given up at its deadline, this one is kept
        until it is answered, over an outage and a restart.
        """
        asking, rule = self._rules.asking, look.rule
        if asking is None or not self._may_ask(rule, look.camera, look.now, context=rule.context):
            return None
        deadline_s = asking.deadline_s if rule.deadline_s is None else rule.deadline_s
        alert.waits_until = look.now + deadline_s
        alert.asked, alert.asked_again = look.track.box, rule.context
        return self._question(alert, look, deadline_s, context=rule.context)

    def ask_again(self, alert: Alert, look: Look) -> Ask | None:
        """Ask with the whole frame about an alert that was left in doubt, once, in what is left of its time."""
        alert.asked_again = True
        left_s = 0.0 if alert.waits_until is None else alert.waits_until - look.now
        if left_s <= 0.0 or not self._may_ask(look.rule, look.camera, look.now, context=True):
            return None
        self._counts["asks_again"] += 1
        return self._question(alert, look, left_s, context=True)

    def may_ask_again(self, alert: Alert, now: float) -> bool:
        """Whether an alert in doubt may be asked about again as things stand; a refusal counts as one."""
        asking, rule = self._rules.asking, alert.rule
        if asking is None or not asking.again_with_context or rule is None:
            return False
        return self._may_ask(rule, alert.told.camera, now, context=True)

    def under_limit(self, now: float) -> bool:
        """Whether one more may be asked in this minute; if so, it counts as asked."""
        if not self._has_room(now):
            return False
        self._asked_at.append(now)
        return True

    def _has_room(self, now: float) -> bool:
        asking = self._rules.asking
        if asking is None:
            return False
        while self._asked_at and now - self._asked_at[0] >= MINUTE_S:
            self._asked_at.popleft()
        if len(self._asked_at) >= asking.max_per_minute:
            self._counts["asks_over_limit"] += 1
            return False
        return True

    def _may_ask(self, rule: RuleSettings, camera: str, now: float, *, context: bool) -> bool:
        """Whether the rule may ask just now; nothing but a refusal is noted."""
        if rule.picture is PicturePolicy.NEVER:
            return False
        questions = self._questions
        if questions is not None and not questions.may_ask(camera, now, urgent=rule.urgent, context=context):
            self._counts["asks_over_budget"] += 1
            return False
        return self._has_room(now)

    def _question(self, alert: Alert, look: Look, deadline_s: float, *, context: bool) -> Ask:
        track = look.track
        self._asked_at.append(look.now)
        if self._questions is not None:
            self._questions.set_aside(look.camera, look.now, context=context)
        alert.question = self._new_id()
        return Ask(
            id=alert.question,
            alert_id=alert.id,
            camera=look.camera,
            track=track.id,
            label=track.label,
            score=track.score,
            box=track.box,
            reason=AskReason.UNCERTAIN,
            asked_at=look.now,
            deadline_s=deadline_s,
            context=context,
        )
