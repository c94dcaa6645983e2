"""Rules held against tracks: which alerts to tell, what to ask, what an answer or its absence changes.

Who decides: an object of certain score is confirmed by the device. An uncertain one is asked about, once; while the
question is open the verdict decides, whatever the device sees meanwhile. At the deadline, and as long as no verdict
came, the device may confirm what it has seen with certainty since; otherwise the rule's fallback applies. A verdict
that comes late amends, and is never overruled by the device; a reviewer's is never overruled by the cloud.

Over 400 lines, since every event of an alert's life is decided here, and each can change what the others may do.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from agent.decide.alert import Alert, Sightings, likeness
from agent.decide.cooldown import Cooldowns, Place
from agent.decide.lifecycle import Phase
from agent.decide.schedule import applies
from agent.decide.settings import (
    AskPolicySettings,
    Fallback,
    PicturePolicy,
    RuleSettings,
    WhenUnsure,
    ZoneSettings,
)
from agent.decide.zones import Polygon, contains, ground_point
from agent.domain import AlertChange, Answer, Ask, Box, Track
from wire.messages import AlertEvent, AlertState, AskReason, DecidedBy, Decision

MAX_LIVE: Final = 500
"""Alerts followed at once; beyond, none is raised until one leaves, and `counts["alerts_refused"]` goes up."""
MAX_REMEMBERED: Final = 5000
"""Alerts that a late answer can still amend, at about 1 kB each; beyond, the oldest is forgotten."""
MINUTE_S: Final = 60.0
WORD_HOLDS_S: Final = 10.0
"""After so long, what the cloud said of an object decides no alert any more, and the rule asks by itself."""

_NEW, _UPDATE, _END = AlertEvent.NEW, AlertEvent.UPDATE, AlertEvent.END
_PROVISIONAL, _CONFIRMED, _RETRACTED = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED
_DEVICE = DecidedBy.DEVICE


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one frame led to, in order."""

    changes: tuple[AlertChange, ...] = ()
    asks: tuple[Ask, ...] = ()


class Questions(Protocol):
    """What is asked beside the rules, about objects; see `agent.ask.objects`."""

    def may_ask(self, camera: str, now: float, *, urgent: bool) -> bool:
        """Whether the budget allows one more; an urgent one may borrow."""


class _Look:
    """One track in one frame, as one rule sees it."""

    __slots__ = ("local", "now", "rule", "sightings", "track", "zone")

    def __init__(
        self, rule: RuleSettings, sightings: Sightings, track: Track, zone: str | None, now: float, local: datetime
    ) -> None:
        self.rule = rule
        self.sightings = sightings
        self.track = track
        self.zone = zone
        self.now = now
        self.local = local


class RuleBook:
    """All rules of the device, and every alert that may still change. Not safe for use from two threads at once.

    Args:
        rules: Their names are unique.
        zones: Those of all cameras.
        asking: How the cloud is asked; None where there is none: from a rule's `min_score` on all is certain then.
        uncertain: The model's own band of scores worth a question, where `asking` names none.
        new_id: Gives ids of alerts and questions, 32 hex digits, never the same twice.
        questions: What is asked beside the rules; None where nothing is.

    Attributes:
        counts: What was refused, ignored or forgotten, by name.
    """

    def __init__(
        self,
        rules: Iterable[RuleSettings],
        zones: Iterable[ZoneSettings],
        asking: AskPolicySettings | None,
        uncertain: tuple[float, float],
        new_id: Callable[[], str],
        questions: Questions | None = None,
    ) -> None:
        self._questions = questions
        self._manifest_band = uncertain
        self._tuned: Mapping[tuple[str, str], tuple[float, float]] = {}
        self._configure(rules, zones, asking)
        self._new_id = new_id
        self._seen: dict[tuple[str, str], dict[int, Sightings]] = {}
        self._live: dict[str, Alert] = {}
        self._remembered: OrderedDict[str, tuple[float, Alert]] = OrderedDict()
        """Which alert waits for a question that was not asked for its sake."""
        self._cooldowns = Cooldowns()
        self._frame_at: dict[str, float] = {}
        self._asked_at: deque[float] = deque()
        self._muted: dict[tuple[str | None, str | None], float] = {}
        self.counts: Counter[str] = Counter()

    def _configure(
        self, rules: Iterable[RuleSettings], zones: Iterable[ZoneSettings], asking: AskPolicySettings | None
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._zones: dict[str, dict[str, Polygon]] = {}
        for zone in zones:
            self._zones.setdefault(zone.camera, {})[zone.name] = zone.polygon
        self._asking = asking
        self._keep_for_s = (asking or AskPolicySettings()).keep_for_s
        self._band = (0.0, 0.0) if asking is None else asking.uncertain or self._manifest_band

    @property
    def open_alerts(self) -> int:
        """How many alerts are followed or wait for an answer."""
        return len(self._live)

    @property
    def labels(self) -> frozenset[str]:
        """What the rules look for."""
        return frozenset(label for rule in self._rules.values() for label in rule.labels)

    def frames_to_confirm(self, camera: str, label: str) -> int:
        """In how many frames an object must be seen for the first of the rules that look for it."""
        return min((rule.frames_to_confirm for rule in self._looking(camera, label)), default=1)

    def least_score(self, camera: str, label: str) -> float:
        """Below it, every rule that looks for this label was told to ignore it; 0 where one was told nothing."""
        return min((_told_score(rule) for rule in self._looking(camera, label)), default=0.0)

    # --- events ---------------------------------------------------------------------------------------------------

    def step(self, camera: str, tracks: Sequence[Track], now: float, local: datetime) -> Decisions:
        """Take in the tracks of one frame; `local` is the device's time of day, for schedules."""
        changes: list[AlertChange] = []
        asks: list[Ask] = []
        present = {track.id for track in tracks}
        zones = self._zones.get(camera, {})
        for rule in self._rules.values():
            if rule.cameras and camera not in rule.cameras:
                continue
            seen = self._seen.setdefault((rule.name, camera), {})
            for track in tracks:
                if track.label not in rule.labels or not (track.seen_now or _vouched(track, now)):
                    continue
                zone = _zone(rule, zones, track.box)
                if rule.zones and zone is None:
                    continue
                sightings = seen.get(track.id)
                if sightings is None or (sightings.alert is not None and sightings.alert.left):
                    sightings = seen[track.id] = Sightings(track, now)
                self._look(camera, _Look(rule, sightings, track, zone, now, local), changes, asks)
            _forget_gone(seen, present)
        self._frame_at[camera] = now
        changes += self.tick(now)
        return Decisions(tuple(changes), tuple(asks))

    def still(self, camera: str, now: float) -> None:
        """Take note that nothing has moved before this camera: whatever was there is still there, unseen."""
        before, self._frame_at[camera] = self._frame_at.get(camera), now
        for alert in self._live.values():
            if alert.told.camera == camera and alert.seen_at == before:
                alert.seen_at = now

    def answer(self, answer: Answer, now: float) -> tuple[AlertChange, ...]:
        """Take in a verdict, in time or late; one that changes nothing or is about nothing known is only counted."""
        alert = None if answer.alert_id is None else self._live.get(answer.alert_id)
        if alert is None and answer.alert_id is not None:
            alert = self._remembered.get(answer.alert_id, (0.0, None))[1]
        if alert is None:
            self.counts["answers_unknown"] += 1
            return ()
        reviewed = answer.decided_by is DecidedBy.REVIEWER
        foreign = alert.question is not None and answer.question_id != alert.question
        if (foreign or alert.answered_by is DecidedBy.REVIEWER) and not reviewed:
            self.counts["answers_ignored"] += 1
            return ()
        late = alert.waits_until is None and not reviewed
        alert.waits_until = None
        alert.answered_by = answer.decided_by
        change = self._apply(alert, answer, now)
        if change is None:
            return ()
        self.counts["answers_late"] += late
        return (change,)

    def tick(self, now: float) -> tuple[AlertChange, ...]:
        """Apply the fallback to questions whose deadline is over, and end alerts whose object is gone."""
        changes: list[AlertChange] = []
        for alert in tuple(self._live.values()):
            if alert.waits_until is not None and now >= alert.waits_until:
                changes += self._fall_back(alert, now)
            if alert.waits_until is None:
                after_s = 0.0 if alert.rule is None else alert.rule.end_after_s
                if now - alert.seen_at >= after_s:
                    changes += self._leave(alert, now, f"not seen for {after_s:g} s")
        while self._remembered and now - next(iter(self._remembered.values()))[0] > self._keep_for_s:
            self._remembered.popitem(last=False)
        return tuple(changes)

    def finish(self, now: float, reason: str) -> tuple[AlertChange, ...]:
        """End every open alert; what waits for an answer gets its fallback first."""
        changes: list[AlertChange] = []
        for alert in tuple(self._live.values()):
            if alert.waits_until is not None:
                changes += self._fall_back(alert, now)
            changes += self._leave(alert, now, reason)
        return tuple(changes)

    def replace_rules(
        self,
        rules: Iterable[RuleSettings],
        zones: Iterable[ZoneSettings],
        asking: AskPolicySettings | None,
        now: float,
    ) -> tuple[AlertChange, ...]:
        """Go on under other settings; alerts whose rule is gone end, the others follow their rule as it is now."""
        self._configure(rules, zones, asking)
        changes: list[AlertChange] = []
        for alert in tuple(self._live.values()):
            alert.rule = self._rules.get(alert.told.rule)
            if alert.rule is None:
                if alert.waits_until is not None:
                    changes += self._fall_back(alert, now)
                changes += self._leave(alert, now, "its rule was removed")
        for _, alert in self._remembered.values():
            alert.rule = self._rules.get(alert.told.rule)
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in self._rules}
        return tuple(changes)

    def follow_model(self, uncertain: tuple[float, float]) -> None:
        """Go on with another model's band of scores; what `asking` says still comes first."""
        self._manifest_band = uncertain
        if self._asking is not None:
            self._band = self._asking.uncertain or uncertain

    def tune(self, bands: Mapping[tuple[str, str], tuple[float, float]]) -> None:
        """Go on with these bands of scores, by camera and label; for all else, the band is as it was."""
        self._tuned = dict(bands)

    def mute(self, rule: str | None, camera: str | None, until: float) -> None:
        """Raise no new alerts of this rule, on this camera (None: of any, on any) before `until`; open ones go on.

        What is certain meanwhile and still there afterwards is alerted then, as after a cooldown.
        """
        self._muted[rule, camera] = until

    def restore(self, records: Iterable[AlertChange], now: float) -> tuple[AlertChange, ...]:
        """Take up what an earlier run told; ends its open alerts, and keeps all for late answers.

        Args:
            records: At least the latest change of each alert; an amended one that has ended needs its `end` too.
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
            alert = Alert(self._rules.get(record.rule), record, phase, record.last_at)
            if record.decided_by is not _DEVICE:
                alert.answered_by = record.decided_by
            changes += self._leave(alert, now, "the agent was restarted")
        return tuple(changes)

    def interest(self, camera: str, label: str | None, box: Box, local: datetime) -> str | None:
        """The label for which to ask about a place; None where no rule looks there just then, or none may ask.

        Args:
            camera: Whose frame it is.
            label: What it may be; None where nothing tells: then it is any that a rule looks for.
            box: Where.
            local: The device's time of day.
        """
        for rule in self._rules.values():
            for wanted in rule.labels if label is None else (label,):
                if self._concerns(rule, camera, wanted, box, local):
                    return wanted
        return None

    def concerns(self, camera: str, label: str, box: Box, local: datetime) -> bool:
        """Whether a rule looks for this object just there and then, and may show it to the cloud."""
        return self.interest(camera, label, box, local) is not None

    def take_aside(self, camera: str, label: str, box: Box, now: float, local: datetime) -> bool:
        """Whether a question that decides no alert may be asked about this object; if so, it counts as asked.

        It is held to what the rules' own questions are held to: the number a minute, and nothing that no rule looks
        for just there and then, or of which a rule's pictures must not leave.
        """
        return self.concerns(camera, label, box, local) and self._under_limit(now)

    # --- one track before one rule --------------------------------------------------------------------------------

    def _look(self, camera: str, look: _Look, changes: list[AlertChange], asks: list[Ask]) -> None:
        rule, sightings, track = look.rule, look.sightings, look.track
        lower, upper = self._band_of(rule, camera, track.label)
        if track.seen_now and track.score >= lower:
            sightings.count(certain=track.score >= upper)
        sightings.stand_in(look.zone)
        certain = track.stands and sightings.certain >= rule.frames_to_confirm
        if sightings.alert is None:
            # Without a cloud there is nobody who could say what becomes of what the device does not stand behind.
            unsure = self._asking is not None and sightings.counted >= max(
                rule.frames_to_confirm, self._asking.min_hits
            )
            if not certain and not unsure and not _vouched(track, look.now):
                return
            sightings.alert = self._earlier(camera, look)
        alert = sightings.alert
        if alert is None:
            self._raise(camera, look, changes, asks, certain=certain)
            return
        alert.see(track, look.now)
        alert.certain = alert.certain or certain
        change = self._take_word(alert, track, look.now) or self._follow(alert, look)
        if change is not None:
            changes.append(change)

    def _band_of(self, rule: RuleSettings, camera: str, label: str) -> tuple[float, float]:
        """From where on a score counts for the rule, and from where on it is certain."""
        tuned = None if self._asking is None else self._tuned.get((camera, label))
        if tuned is None:
            return max(rule.min_score, self._band[0]), self._band[1]
        return max(_told_score(rule), tuned[0]), tuned[1]

    def _looking(self, camera: str, label: str) -> Iterable[RuleSettings]:
        rules = self._rules.values()
        return [rule for rule in rules if label in rule.labels and (not rule.cameras or camera in rule.cameras)]

    def _earlier(self, camera: str, look: _Look) -> Alert | None:
        """The alert that this track's object already has, under another number of the tracker's."""
        best, found = 0.0, None
        frame_before = self._frame_at.get(camera, look.now)
        for alert in self._live.values():
            if alert.told.camera == camera and alert.told.rule == look.rule.name:
                value = likeness(alert, look.sightings, look.track, frame_before)
                if value > best:
                    best, found = value, alert
        return found

    def _raise(self, camera: str, look: _Look, changes: list[AlertChange], asks: list[Ask], *, certain: bool) -> None:
        rule, now = look.rule, look.now
        place = (rule.name, camera, look.zone, look.track.label)
        if not applies(rule.schedule, look.local) or self._cooldowns.holds(place, now):
            return
        if self._is_muted(rule.name, camera, now):
            self.counts["alerts_muted"] += 1
            return
        if len(self._live) >= MAX_LIVE:
            self.counts["alerts_refused"] += 1
            return
        alert = look.sightings.alert = self._draft(camera, look)
        alert.certain = certain
        self._live[alert.id] = alert
        if certain:
            changes.append(self._tell(alert, _NEW, now, _CONFIRMED, "seen with certainty"))
        elif (told := self._take_word(alert, look.track, now)) is not None:
            changes.append(told)
        elif alert.answered_by is not None:
            self.counts["alerts_denied"] += 1
        elif self._have_asked(alert, look, asks):
            if rule.when_unsure is WhenUnsure.ALERT:
                changes.append(self._tell(alert, _NEW, now, _PROVISIONAL, "uncertain; the cloud is asked"))
        else:
            changes += self._fall_back(alert, now)

    def _have_asked(self, alert: Alert, look: _Look, asks: list[Ask]) -> bool:
        """Ask about the alert, if that may be.

        Also where its object is asked about just then: that question is given up at its deadline, this one is kept
        until it is answered, over an outage and a restart.
        """
        if self._asking is None or not self._may_ask(look.rule, alert.told.camera, look.now):
            return False
        asks.append(self._ask(alert, look.track, self._asking, look.now))
        return True

    def _is_muted(self, rule: str, camera: str, now: float) -> bool:
        self._muted = {which: until for which, until in self._muted.items() if until > now}
        return any(which[0] in (None, rule) and which[1] in (None, camera) for which in self._muted)

    def _draft(self, camera: str, look: _Look) -> Alert:
        track, rule = look.track, look.rule
        told = AlertChange(
            id=self._new_id(),
            event=_NEW,
            revision=-1,
            state=_PROVISIONAL,
            camera=camera,
            rule=rule.name,
            zone=look.zone,
            label=track.label,
            track=track.id,
            score=track.score,
            box=track.box,
            first_at=track.first_at,
            last_at=look.now,
            decided_at=look.now,
            decided_by=_DEVICE,
            reason="",
            wants_picture=rule.picture is PicturePolicy.ALWAYS,
        )
        alert = Alert(rule, told, Phase.UNRAISED, look.now)
        alert.see(track, look.now)
        return alert

    def _follow(self, alert: Alert, look: _Look) -> AlertChange | None:
        """What one more sighting changes."""
        rule, now = look.rule, look.now
        if alert.phase is Phase.UNRAISED and alert.held_back is not None:
            state, decided_by, reason, label = alert.held_back
            return self._raise_late(alert, now, state, decided_by, reason, label)
        if self._device_may_confirm(alert):
            if alert.phase is Phase.UNRAISED:
                return self._raise_late(alert, now, _CONFIRMED, _DEVICE, "seen with certainty since")
            return self._tell(alert, _UPDATE, now, _CONFIRMED, "seen with certainty since")
        if alert.phase is not Phase.OPEN:
            return None
        told = alert.told
        moved = look.zone != told.zone and look.sightings.zone_seen >= rule.frames_to_confirm
        if moved:
            return self._tell(alert, _UPDATE, now, told.state, told.reason, told.decided_by, zone=look.zone)
        if rule.update_every_s and now - alert.told_at >= rule.update_every_s:
            return self._tell(alert, _UPDATE, now, told.state, told.reason, told.decided_by)
        return None

    def _device_may_confirm(self, alert: Alert) -> bool:
        unconfirmed = alert.phase is Phase.UNRAISED or alert.state is not _CONFIRMED
        return unconfirmed and alert.certain and alert.waits_until is None and alert.answered_by is None

    # --- questions and answers ------------------------------------------------------------------------------------

    def _may_ask(self, rule: RuleSettings, camera: str, now: float) -> bool:
        if rule.picture is PicturePolicy.NEVER:
            return False
        if self._questions is not None and not self._questions.may_ask(camera, now, urgent=rule.urgent):
            self.counts["asks_over_budget"] += 1
            return False
        return self._under_limit(now)

    def _take_word(self, alert: Alert, track: Track, now: float) -> AlertChange | None:
        """Let what the cloud said of the object, when it was asked for the object's own sake, decide the alert.

        It confirms, and it denies what was neither certain nor answered yet; what is confirmed stays so, since an
        object that a later question does not show may be hidden. While the rule's own question is open, its verdict
        decides.
        """
        word = track.word
        settled = alert.phase is not Phase.UNRAISED and alert.state is _CONFIRMED
        if word is None or now - word.at > WORD_HOLDS_S or settled or alert.waits_until is not None:
            return None
        if word.question_id in (alert.question, alert.word):
            return None
        if alert.answered_by is DecidedBy.REVIEWER or not (word.vouches or alert.answered_by is None):
            return None
        if not word.vouches and alert.certain:
            return None
        alert.word = word.question_id
        alert.answered_by = DecidedBy.CLOUD
        if word.vouches:
            said = f"the cloud sees {word.label} ({word.score:.2f})"
            answer = Answer(
                word.question_id,
                alert.id,
                Decision.CONFIRMED,
                word.label,
                word.score,
                None,
                DecidedBy.CLOUD,
                "",
                said,
            )
        else:
            said = f"the cloud does not see the {track.label}"
            answer = Answer(
                word.question_id, alert.id, Decision.RETRACTED, None, None, None, DecidedBy.CLOUD, "", said
            )
        return self._apply(alert, answer, now)

    def _concerns(self, rule: RuleSettings, camera: str, label: str, box: Box, local: datetime) -> bool:
        return (
            rule.picture is not PicturePolicy.NEVER
            and label in rule.labels
            and (not rule.cameras or camera in rule.cameras)
            and (not rule.zones or _zone(rule, self._zones.get(camera, {}), box) is not None)
            and applies(rule.schedule, local)
        )

    def _under_limit(self, now: float) -> bool:
        if self._asking is None:
            return False
        while self._asked_at and now - self._asked_at[0] >= MINUTE_S:
            self._asked_at.popleft()
        if len(self._asked_at) >= self._asking.max_per_minute:
            self.counts["asks_over_limit"] += 1
            return False
        self._asked_at.append(now)
        return True

    def _ask(self, alert: Alert, track: Track, asking: AskPolicySettings, now: float) -> Ask:
        alert.question = self._new_id()
        alert.waits_until = now + asking.deadline_s
        return Ask(
            id=alert.question,
            alert_id=alert.id,
            camera=alert.told.camera,
            track=track.id,
            label=track.label,
            score=track.score,
            box=track.box,
            reason=AskReason.UNCERTAIN,
            asked_at=now,
            deadline_s=asking.deadline_s,
        )

    def _fall_back(self, alert: Alert, now: float) -> tuple[AlertChange, ...]:
        """No verdict: the device's own later certainty, else the rule's fallback, decides."""
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
                change = self._raise_late(alert, now, state, _DEVICE, reason)
        elif fallback is Fallback.CONFIRM:
            change = self._tell(alert, _UPDATE, now, _CONFIRMED, reason)
        elif fallback is Fallback.RETRACT:
            change = self._tell(alert, _END, now, _RETRACTED, reason)
        return () if change is None else (change,)

    def _apply(self, alert: Alert, answer: Answer, now: float) -> AlertChange | None:
        """Let a verdict change the alert."""
        label, reason = answer.label, answer.reason or f"decided by {answer.model}"
        confirmed = answer.decision is Decision.CONFIRMED
        if confirmed and label is not None and alert.rule is not None and label not in alert.rule.labels:
            confirmed, reason = False, f"it is a {label}, which this rule does not look for"
        state = _CONFIRMED if confirmed else _RETRACTED
        if alert.phase is Phase.UNRAISED:
            if not confirmed:
                alert.held_back = None
                return None
            if answer.score is not None:
                alert.take_score(answer.score)
            change = self._raise_late(alert, now, state, answer.decided_by, reason, label=label)
            if change is not None and alert.id not in self._live:
                self._remembered.pop(alert.id, None)
                self._live[alert.id] = alert
            return change
        told = alert.told
        corrected = label if confirmed and label != told.label else None
        if state is told.state and corrected is None and answer.decided_by is told.decided_by:
            self.counts["answers_repeated"] += 1
            return None
        if state is told.state is _RETRACTED:
            return None
        if answer.score is not None:
            alert.take_score(answer.score)
        event = _END if state is _RETRACTED and alert.phase is Phase.OPEN else _UPDATE
        return self._tell(alert, event, now, state, reason, answer.decided_by, label=corrected)

    # --- telling --------------------------------------------------------------------------------------------------

    def _raise_late(
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
        if self._cooldowns.holds((told.rule, told.camera, told.zone, label or told.label), now):
            self.counts["alerts_held_back"] += alert.held_back is None
            alert.held_back = (state, decided_by, reason, label)
            return None
        return self._tell(alert, _NEW, now, state, reason, decided_by, label=label)

    def _tell(
        self,
        alert: Alert,
        event: AlertEvent,
        now: float,
        state: AlertState,
        reason: str,
        decided_by: DecidedBy = _DEVICE,
        *,
        label: str | None = None,
        zone: str | None = None,
    ) -> AlertChange:
        change = alert.tell(event, now, state, decided_by, reason, label=label, zone=zone)
        if state is _RETRACTED:
            self._cooldowns.lift(alert.id)
        elif event is not _UPDATE and alert.rule is not None and alert.rule.cooldown_s:
            self._cooldowns.begin(_place(change), alert.id, now + alert.rule.cooldown_s)
        return change

    def _leave(self, alert: Alert, now: float, reason: str) -> tuple[AlertChange, ...]:
        """Its object is gone: end it where it is open, and keep it for late answers."""
        changes: tuple[AlertChange, ...] = ()
        if alert.phase is Phase.OPEN:
            changes = (self._tell(alert, _END, now, alert.state, reason, alert.told.decided_by),)
        alert.left = True
        alert.track = None
        self._live.pop(alert.id, None)
        self._remembered[alert.id] = (now, alert)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
            self.counts["alerts_forgotten"] += 1
        return changes


def _forget_gone(seen: dict[int, Sightings], present: set[int]) -> None:
    """Forget tracks that the tracker does not report any more, but for the latest of each alert: it may come back."""
    for number in [number for number in seen if number not in present]:
        alert = seen[number].alert
        if alert is None or alert.track is None or alert.track.id != number:
            del seen[number]


def _told_score(rule: RuleSettings) -> float:
    """The least score that a person gave the rule: what is there by default must not hold up what is tuned."""
    return rule.min_score if "min_score" in rule.model_fields_set else 0.0


def _vouched(track: Track, now: float) -> bool:
    """Whether the cloud stands behind the object, and the device therefore too, seen or not."""
    word = track.word
    return word is not None and word.vouches and track.stands and now - word.at <= WORD_HOLDS_S


def _place(told: AlertChange) -> Place:
    return (told.rule, told.camera, told.zone, told.label)


def _zone(rule: RuleSettings, zones: Mapping[str, Polygon], box: Box) -> str | None:
    """The first of the rule's zones in which the object stands."""
    if not rule.zones:
        return None
    point = ground_point(box)
    return next((name for name in rule.zones if name in zones and contains(zones[name], point)), None)
