"""Every alert that may still change, and what changes it beside its rule: verdicts, deadlines, absence.

Who decides: while the question about an alert is open its verdict decides, whatever the device sees meanwhile. At the
deadline, and as long as no verdict came, the device may confirm what it has seen with certainty since; otherwise the
rule's fallback applies. A verdict that leaves a doubt is held until then where the alert may be asked about once
more, with the whole frame; it stands where no other comes in time. A verdict that comes late amends, and is never
overruled by the device; a reviewer's is never overruled by the cloud.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from agent.decide.alert import Alert, Sightings, likeness
from agent.decide.cooldown import Cooldowns, Place
from agent.decide.doubt import leaves_in_doubt
from agent.decide.lifecycle import Phase
from agent.decide.settings import Fallback, RuleSettings
from agent.domain import AlertChange, Answer, Track
from wire.messages import AlertEvent, AlertState, DecidedBy, Decision

MAX_LIVE: Final = 500
"""Alerts followed at once; beyond, none is raised until one leaves, and `counts["alerts_refused"]` goes up."""
MAX_REMEMBERED: Final = 5000
"""Alerts that a late answer can still amend, at about 1 kB each; beyond, the oldest is forgotten."""

AGAIN_WITHIN_S: Final = 1.0
"""An object that was not seen for so long is not asked about again: it would not be in the picture."""

_NEW, _UPDATE, _END = AlertEvent.NEW, AlertEvent.UPDATE, AlertEvent.END
_PROVISIONAL, _CONFIRMED, _RETRACTED = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED


class Alerts:
    """Live ones, whose object is followed or whose answer is awaited, and those remembered for a late answer.

    Attributes:
        cooldowns: Begun by each alert that is told or ends, lifted by its retraction.
        counts: What was refused, ignored or forgotten, by name.
    """

    def __init__(self) -> None:
        self.cooldowns = Cooldowns()
        self.counts: Counter[str] = Counter()
        self._live: dict[str, Alert] = {}
        self._remembered: OrderedDict[str, tuple[float, Alert]] = OrderedDict()

    def __len__(self) -> int:
        """How many are live."""
        return len(self._live)

    def take_in(self, alert: Alert) -> bool:
        """Follow another one; False where there are too many already."""
        if len(self._live) >= MAX_LIVE:
            self.counts["alerts_refused"] += 1
            return False
        self._live[alert.id] = alert
        return True

    def earlier(
        self, camera: str, rule: str, sightings: Sightings, track: Track, frame_before: float
    ) -> Alert | None:
        """The alert that this track's object already has, under another number of the tracker's.

        Args:
            camera: The track's.
            rule: By which it would be raised.
            sightings: Those of the track.
            track: As it is now.
            frame_before: When this camera's frame before was.
        """
        best, found = 0.0, None
        for alert in self._live.values():
            if alert.told.camera == camera and alert.told.rule == rule:
                value = likeness(alert, sightings, track, frame_before)
                if value > best:
                    best, found = value, alert
        return found

    def still(self, camera: str, before: float | None, now: float) -> None:
        """Take note that whatever was there in the camera's frame before is there in this one."""
        for alert in self._live.values():
            if alert.told.camera == camera and alert.seen_at == before:
                alert.seen_at = now

    # --- what changes them ----------------------------------------------------------------------------------------

    def answer(self, answer: Answer, now: float, may_ask_again: Callable[[Alert], bool]) -> tuple[AlertChange, ...]:
        """Take in a verdict, in time or late; one that changes nothing or is about nothing known is only counted.

        Args:
            answer: The verdict.
            now: The time.
            may_ask_again: Asked of an alert whose first verdict came in time and leaves a doubt. Where it says so,
                the verdict is held in `Alert.doubt`; else nothing could come of holding it.
        """
        alert = None if answer.alert_id is None else self._known(answer.alert_id)
        if alert is None:
            self.counts["answers_unknown"] += 1
            return ()
        reviewed = answer.decided_by is DecidedBy.REVIEWER
        foreign = alert.question is not None and answer.question_id != alert.question
        if (foreign or alert.answered_by is DecidedBy.REVIEWER) and not reviewed:
            self.counts["answers_ignored"] += 1
            return ()
        if _in_doubt(alert, answer, now) and may_ask_again(alert):
            alert.doubt = answer
            return ()
        alert.doubt = None
        late = alert.waits_until is None and not reviewed
        alert.waits_until = None
        alert.answered_by = answer.decided_by
        change = self.apply(alert, answer, now)
        if change is None:
            return ()
        self.counts["answers_late"] += late
        return (change,)

    def tick(self, now: float, keep_for_s: float) -> tuple[AlertChange, ...]:
        """Apply the fallback to questions whose deadline is over, and end alerts whose object is gone.

        Args:
            now: The time.
            keep_for_s: For how long an alert is remembered after that.
        """
        changes: list[AlertChange] = []
        for alert in tuple(self._live.values()):
            if alert.waits_until is not None and now >= alert.waits_until:
                changes += self.fall_back(alert, now)
            elif alert.doubt is not None and not alert.asked_again and now - alert.seen_at >= AGAIN_WITHIN_S:
                changes += self.let_stand(alert, now)
            if alert.waits_until is None:
                after_s = 0.0 if alert.rule is None else alert.rule.end_after_s
                if now - alert.seen_at >= after_s:
                    changes += self._leave(alert, now, f"not seen for {after_s:g} s")
        while self._remembered and now - next(iter(self._remembered.values()))[0] > keep_for_s:
            self._remembered.popitem(last=False)
        return tuple(changes)

    def finish(self, now: float, reason: str) -> tuple[AlertChange, ...]:
        """End all that are live; what waits for an answer gets its fallback first."""
        return tuple(change for alert in tuple(self._live.values()) for change in self._close(alert, now, reason))

    def follow(self, rules: Mapping[str, RuleSettings], now: float) -> tuple[AlertChange, ...]:
        """Go on under these rules, by name; what was raised by one that is gone ends."""
        changes: list[AlertChange] = []
        for alert in tuple(self._live.values()):
            alert.rule = rules.get(alert.told.rule)
            if alert.rule is None:
                changes += self._close(alert, now, "its rule was removed")
        for _, alert in self._remembered.values():
            alert.rule = rules.get(alert.told.rule)
        return tuple(changes)

    def restore(
        self, records: Iterable[AlertChange], rules: Mapping[str, RuleSettings], now: float
    ) -> tuple[AlertChange, ...]:
        """Take up what an earlier run told; ends its open alerts, and keeps all for late answers.

        Args:
            records: At least the latest change of each alert; an amended one that has ended needs its `end` too.
            rules: By name.
            now: The time.
        """
        latest: dict[str, AlertChange] = {}
        ended: set[str] = set()
        for record in records:
            if record.event is _END or record.state is _RETRACTED:
                ended.add(record.id)
            if record.id not in latest or record.revision > latest[record.id].revision:
                latest[record.id] = record
        changes: list[AlertChange] = []
        for record in latest.values():
            phase = Phase.ENDED if record.id in ended else Phase.OPEN
            alert = Alert(rules.get(record.rule), record, phase, record.last_at)
            if record.decided_by is not DecidedBy.DEVICE:
                alert.answered_by = record.decided_by
            changes += self._leave(alert, now, "the agent was restarted")
        return tuple(changes)

    # --- one alert ------------------------------------------------------------------------------------------------

    def fall_back(self, alert: Alert, now: float) -> tuple[AlertChange, ...]:
        """No verdict: the device's own later certainty, else the rule's fallback, decides."""
        if alert.doubt is not None:
            return self.let_stand(alert, now)
        asked = alert.waits_until is not None
        alert.waits_until = None
        fallback = Fallback.KEEP if alert.rule is None else alert.rule.fallback
        reason = "no answer in time" if asked else "uncertain; the cloud was not asked"
        if alert.certain:
            fallback, reason = Fallback.CONFIRM, "no answer in time; seen with certainty since"
        change: AlertChange | None = None
        if alert.phase is Phase.UNRAISED:
            if fallback is not Fallback.RETRACT:
                state = _CONFIRMED if fallback is Fallback.CONFIRM else _PROVISIONAL
                change = self.raise_late(alert, now, state, DecidedBy.DEVICE, reason)
        elif fallback is Fallback.CONFIRM:
            change = self.tell(alert, _UPDATE, now, _CONFIRMED, reason)
        elif fallback is Fallback.RETRACT:
            change = self.tell(alert, _END, now, _RETRACTED, reason)
        return () if change is None else (change,)

    def let_stand(self, alert: Alert, now: float) -> tuple[AlertChange, ...]:
        """Nothing came of asking again: the answer that left a doubt decides."""
        answer, alert.doubt = alert.doubt, None
        if answer is None:
            return ()
        alert.waits_until = None
        alert.answered_by = answer.decided_by
        change = self.apply(alert, answer, now)
        return () if change is None else (change,)

    def apply(self, alert: Alert, answer: Answer, now: float) -> AlertChange | None:
        """Let a verdict change the alert."""
        label, reason = answer.label, answer.reason or f"decided by {answer.model}"
        confirmed = answer.decision is Decision.CONFIRMED
        if confirmed and label is not None and alert.rule is not None and label not in alert.rule.labels:
            confirmed, reason = False, f"it is a {label}, which this rule does not look for"
        if alert.phase is Phase.UNRAISED:
            return self._apply_unraised(alert, answer, now, reason, confirmed=confirmed)
        told = alert.told
        state = _CONFIRMED if confirmed else _RETRACTED
        corrected = label if confirmed and label != told.label else None
        if state is told.state and corrected is None and answer.decided_by is told.decided_by:
            self.counts["answers_repeated"] += 1
            return None
        if state is told.state is _RETRACTED:
            return None
        if answer.score is not None:
            alert.take_score(answer.score)
        event = _END if state is _RETRACTED and alert.phase is Phase.OPEN else _UPDATE
        return self.tell(alert, event, now, state, reason, answer.decided_by, label=corrected)

    def _apply_unraised(
        self, alert: Alert, answer: Answer, now: float, reason: str, *, confirmed: bool
    ) -> AlertChange | None:
        if not confirmed:
            alert.held_back = None
            return None
        if answer.score is not None:
            alert.take_score(answer.score)
        change = self.raise_late(alert, now, _CONFIRMED, answer.decided_by, reason, label=answer.label)
        if change is not None and alert.id not in self._live:
            self._remembered.pop(alert.id, None)
            self._live[alert.id] = alert
        return change

    def raise_late(
        self,
        alert: Alert,
        now: float,
        state: AlertState,
        decided_by: DecidedBy,
        reason: str,
        label: str | None = None,
    ) -> AlertChange | None:
        """Tell of an alert that waited; held back where another one's cooldown runs by now."""
        told = alert.told
        if self.cooldowns.holds((told.rule, told.camera, told.zone, label or told.label), now):
            self.counts["alerts_held_back"] += alert.held_back is None
            alert.held_back = (state, decided_by, reason, label)
            return None
        return self.tell(alert, _NEW, now, state, reason, decided_by, label=label)

    def tell(
        self,
        alert: Alert,
        event: AlertEvent,
        now: float,
        state: AlertState,
        reason: str,
        decided_by: DecidedBy = DecidedBy.DEVICE,
        *,
        label: str | None = None,
        zone: str | None = None,
    ) -> AlertChange:
        """Make its next change, and begin or lift the cooldown that goes with it; see `Alert.tell`."""
        change = alert.tell(event, now, state, decided_by, reason, label=label, zone=zone)
        if state is _RETRACTED:
            self.cooldowns.lift(alert.id)
        elif event is not _UPDATE and alert.rule is not None and alert.rule.cooldown_s:
            self.cooldowns.begin(_place(change), alert.id, now + alert.rule.cooldown_s)
        return change

    def _known(self, alert_id: str) -> Alert | None:
        return self._live.get(alert_id) or self._remembered.get(alert_id, (0.0, None))[1]

    def _close(self, alert: Alert, now: float, reason: str) -> tuple[AlertChange, ...]:
        fallen = () if alert.waits_until is None else self.fall_back(alert, now)
        return fallen + self._leave(alert, now, reason)

    def _leave(self, alert: Alert, now: float, reason: str) -> tuple[AlertChange, ...]:
        """Its object is gone: end it where it is open, and keep it for late answers."""
        changes: tuple[AlertChange, ...] = ()
        if alert.phase is Phase.OPEN:
            changes = (self.tell(alert, _END, now, alert.state, reason, alert.told.decided_by),)
        alert.left = True
        alert.track = None
        self._live.pop(alert.id, None)
        self._remembered[alert.id] = (now, alert)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
            self.counts["alerts_forgotten"] += 1
        return changes


def _in_doubt(alert: Alert, answer: Answer, now: float) -> bool:
    """Whether the whole frame may tell more, and in time, than this answer did."""
    if alert.asked_again or alert.asked is None or alert.waits_until is None or now >= alert.waits_until:
        return False
    return leaves_in_doubt(answer, alert.asked, alert.told.label)


def _place(told: AlertChange) -> Place:
    return (told.rule, told.camera, told.zone, told.label)
