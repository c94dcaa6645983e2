"""Rules held against tracks: which alerts to tell, and what to ask.

An object of certain score is confirmed by the device. An uncertain one is asked about, see `inquiry`. What a verdict
changes, and its absence, is in `alerts`; what the rules say of a place and a score, in `rules`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.decide import words
from agent.decide.alert import Alert, Sightings
from agent.decide.alerts import Alerts
from agent.decide.cooldown import Mutes
from agent.decide.inquiry import Inquiry, Look, Questions
from agent.decide.lifecycle import Phase
from agent.decide.rules import Band, Rules, told_score
from agent.decide.schedule import applies
from agent.decide.settings import AskPolicySettings, PicturePolicy, RuleSettings, WhenUnsure, ZoneSettings
from agent.domain import AlertChange, Answer, Ask, Box, Track
from wire.messages import AlertEvent, AlertState, DecidedBy

_NEW, _UPDATE = AlertEvent.NEW, AlertEvent.UPDATE
_PROVISIONAL, _CONFIRMED = AlertState.PROVISIONAL, AlertState.CONFIRMED


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one frame led to, in order."""

    changes: tuple[AlertChange, ...] = ()
    asks: tuple[Ask, ...] = ()


class RuleBook:
    """All rules of the device, and every alert that may still change. Not safe for use from two threads at once.

    Args:
        rules: Their names are unique.
        zones: Those of all cameras.
        asking: How the cloud is asked; None where there is none: from a rule's `min_score` on all is certain then.
        uncertain: The model's own band of scores worth a question, where `asking` names none.
        new_id: Gives ids of alerts and questions, 32 hex digits, never the same twice.
        questions: What is asked beside the rules; None where nothing is.
    """

    def __init__(
        self,
        rules: Iterable[RuleSettings],
        zones: Iterable[ZoneSettings],
        asking: AskPolicySettings | None,
        uncertain: Band,
        new_id: Callable[[], str],
        questions: Questions | None = None,
    ) -> None:
        self._rules = Rules(rules, zones, asking, uncertain)
        self._new_id = new_id
        self._alerts = Alerts()
        self._inquiry = Inquiry(self._rules, questions, new_id, self._alerts.counts)
        self._seen: dict[tuple[str, str], dict[int, Sightings]] = {}
        self._frame_at: dict[str, float] = {}
        self._mutes = Mutes()

    @property
    def counts(self) -> Counter[str]:
        """What was refused, ignored or forgotten, by name."""
        return self._alerts.counts

    @property
    def open_alerts(self) -> int:
        """How many alerts are followed or wait for an answer."""
        return len(self._alerts)

    @property
    def labels(self) -> frozenset[str]:
        """What the rules look for."""
        return self._rules.labels

    @property
    def sure_from(self) -> float:
        """The score from which on the model is sure of what it says, of any label."""
        return self._rules.uncertain[1]

    def frames_to_confirm(self, camera: str, label: str) -> int:
        """In how many frames an object must be seen for the first of the rules that look for it."""
        return min((rule.frames_to_confirm for rule in self._rules.looking_for(camera, label)), default=1)

    def least_score(self, camera: str, label: str) -> float:
        """Below it, every rule that looks for this label was told to ignore it; 0 where one was told nothing."""
        return min((told_score(rule) for rule in self._rules.looking_for(camera, label)), default=0.0)

    # --- events ---------------------------------------------------------------------------------------------------

    def step(self, camera: str, tracks: Sequence[Track], now: float, local: datetime) -> Decisions:
        """Take in the tracks of one frame; `local` is the device's time of day, for schedules."""
        changes: list[AlertChange] = []
        asks: list[Ask] = []
        present = {track.id for track in tracks}
        for rule in self._rules.on(camera):
            seen = self._seen.setdefault((rule.name, camera), {})
            for track in tracks:
                if track.label not in rule.labels or not (track.seen_now or words.vouched(track, now)):
                    continue
                zone = self._rules.zone(rule, camera, track.box)
                if rule.zones and zone is None:
                    continue
                sightings = seen.get(track.id)
                if sightings is None or (sightings.alert is not None and sightings.alert.left):
                    sightings = seen[track.id] = Sightings(track, now)
                self._look(Look(camera, rule, sightings, track, zone, now, local), changes, asks)
            _forget_gone(seen, present)
        self._frame_at[camera] = now
        changes += self.tick(now)
        return Decisions(tuple(changes), tuple(asks))

    def still(self, camera: str, now: float) -> None:
        """Take note that nothing has moved before this camera: whatever was there is still there, unseen."""
        before, self._frame_at[camera] = self._frame_at.get(camera), now
        self._alerts.still(camera, before, now)

    def answer(self, answer: Answer, now: float) -> tuple[AlertChange, ...]:
        """Take in a verdict, in time or late; one that changes nothing or is about nothing known is only counted."""
        return self._alerts.answer(answer, now, lambda alert: self._inquiry.may_ask_again(alert, now))

    def tick(self, now: float) -> tuple[AlertChange, ...]:
        """Apply the fallback to questions whose deadline is over, and end alerts whose object is gone."""
        return self._alerts.tick(now, self._rules.keep_for_s)

    def finish(self, now: float, reason: str) -> tuple[AlertChange, ...]:
        """End every open alert; what waits for an answer gets its fallback first."""
        return self._alerts.finish(now, reason)

    def restore(self, records: Iterable[AlertChange], now: float) -> tuple[AlertChange, ...]:
        """Take up what an earlier run told; see `Alerts.restore`."""
        return self._alerts.restore(records, self._rules.by_name, now)

    # --- other settings -------------------------------------------------------------------------------------------

    def replace_rules(
        self,
        rules: Iterable[RuleSettings],
        zones: Iterable[ZoneSettings],
        asking: AskPolicySettings | None,
        now: float,
    ) -> tuple[AlertChange, ...]:
        """Go on under other settings; alerts whose rule is gone end, the others follow their rule as it is now."""
        self._rules.configure(rules, zones, asking)
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in self._rules.by_name}
        return self._alerts.follow(self._rules.by_name, now)

    def follow_model(self, uncertain: Band) -> None:
        """Go on with another model's band of scores; what `asking` says still comes first."""
        self._rules.uncertain = uncertain

    def tune(self, bands: Mapping[tuple[str, str], Band]) -> None:
        """Go on with these bands of scores, by camera and label; for all else, the band is as it was."""
        self._rules.tuned = dict(bands)

    def mute(self, rule: str | None, camera: str | None, until: float) -> None:
        """Raise no new alerts of this rule, on this camera (None: of any, on any) before `until`; open ones go on.

        What is certain meanwhile and still there afterwards is alerted then, as after a cooldown.
        """
        self._mutes.set(rule, camera, until)

    # --- questions beside the rules -------------------------------------------------------------------------------

    def interest(self, camera: str, label: str | None, box: Box, local: datetime) -> str | None:
        """The label for which to ask about a place; see `Rules.interest`."""
        return self._rules.interest(camera, label, box, local)

    def concerns(self, camera: str, label: str, box: Box, local: datetime) -> bool:
        """Whether a rule looks for this object just there and then, and may show it to the cloud."""
        return self.interest(camera, label, box, local) is not None

    def take_aside(self, camera: str, label: str, box: Box, now: float, local: datetime) -> bool:
        """Whether a question that decides no alert may be asked about this object; if so, it counts as asked.

        It is held to what the rules' own questions are held to: the number a minute, and nothing that no rule looks
        for just there and then, or of which a rule's pictures must not leave.
        """
        return self.concerns(camera, label, box, local) and self._inquiry.under_limit(now)

    # --- one track before one rule --------------------------------------------------------------------------------

    def _look(self, look: Look, changes: list[AlertChange], asks: list[Ask]) -> None:
        rule, sightings, track, asking = look.rule, look.sightings, look.track, self._rules.asking
        lower, upper = self._rules.band(rule, look.camera, track.label)
        if track.seen_now and track.score >= lower:
            sightings.count(certain=track.score >= upper)
        sightings.stand_in(look.zone)
        certain = track.stands and sightings.certain >= rule.frames_to_confirm
        if sightings.alert is None:
            # Without a cloud there is nobody who could say what becomes of what the device does not stand behind.
            unsure = asking is not None and sightings.counted >= max(rule.frames_to_confirm, asking.min_hits)
            if not certain and not unsure and not words.vouched(track, look.now):
                return
            frame_before = self._frame_at.get(look.camera, look.now)
            sightings.alert = self._alerts.earlier(look.camera, rule.name, sightings, track, frame_before)
        alert = sightings.alert
        if alert is None:
            self._raise(look, changes, asks, certain=certain)
            return
        alert.see(track, look.now)
        alert.certain = alert.certain or certain
        if alert.doubt is not None and not alert.asked_again:
            changes += self._ask_again(alert, look, asks)
        change = self._take_word(alert, look) or self._follow(alert, look)
        if change is not None:
            changes.append(change)

    def _raise(self, look: Look, changes: list[AlertChange], asks: list[Ask], *, certain: bool) -> None:
        rule, now = look.rule, look.now
        place = (rule.name, look.camera, look.zone, look.track.label)
        if not applies(rule.schedule, look.local) or self._alerts.cooldowns.holds(place, now):
            return
        if self._mutes.hold(rule.name, look.camera, now):
            self.counts["alerts_muted"] += 1
            return
        alert = self._drafted(look)
        if not self._alerts.take_in(alert):
            return
        look.sightings.alert = alert
        alert.certain = certain
        if certain:
            changes.append(self._alerts.tell(alert, _NEW, now, _CONFIRMED, "seen with certainty"))
        elif (told := self._take_word(alert, look)) is not None:
            changes.append(told)
        elif alert.answered_by is not None:
            self.counts["alerts_denied"] += 1
        elif (asked := self._inquiry.ask(alert, look)) is not None:
            asks.append(asked)
            if rule.when_unsure is WhenUnsure.ALERT:
                changes.append(self._alerts.tell(alert, _NEW, now, _PROVISIONAL, "uncertain; the cloud is asked"))
        else:
            changes += self._alerts.fall_back(alert, now)

    def _ask_again(self, alert: Alert, look: Look, asks: list[Ask]) -> tuple[AlertChange, ...]:
        """Ask about an alert that was left in doubt once more, or let the doubtful answer stand."""
        again = self._inquiry.ask_again(alert, look)
        if again is None:
            return self._alerts.let_stand(alert, look.now)
        asks.append(again)
        return ()

    def _drafted(self, look: Look) -> Alert:
        track, rule = look.track, look.rule
        told = AlertChange(
            id=self._new_id(),
            event=_NEW,
            revision=-1,
            state=_PROVISIONAL,
            camera=look.camera,
            rule=rule.name,
            zone=look.zone,
            label=track.label,
            track=track.id,
            score=track.score,
            box=track.box,
            first_at=track.first_at,
            last_at=look.now,
            decided_at=look.now,
            decided_by=DecidedBy.DEVICE,
            reason="",
            wants_picture=rule.picture is PicturePolicy.ALWAYS,
        )
        alert = Alert(rule, told, Phase.UNRAISED, look.now)
        alert.see(track, look.now)
        return alert

    def _take_word(self, alert: Alert, look: Look) -> AlertChange | None:
        """Let what the cloud said of the object decide the alert, where it does."""
        said = words.verdict(alert, look.track, look.now)
        if said is None:
            return None
        alert.word = said.question_id
        alert.answered_by = said.decided_by
        return self._alerts.apply(alert, said, look.now)

    def _follow(self, alert: Alert, look: Look) -> AlertChange | None:
        """What one more sighting changes."""
        rule, now, alerts = look.rule, look.now, self._alerts
        if alert.phase is Phase.UNRAISED and alert.held_back is not None:
            state, decided_by, reason, label = alert.held_back
            return alerts.raise_late(alert, now, state, decided_by, reason, label)
        if _device_may_confirm(alert):
            if alert.phase is Phase.UNRAISED:
                return alerts.raise_late(alert, now, _CONFIRMED, DecidedBy.DEVICE, "seen with certainty since")
            return alerts.tell(alert, _UPDATE, now, _CONFIRMED, "seen with certainty since")
        if alert.phase is not Phase.OPEN:
            return None
        told = alert.told
        moved = look.zone not in (None, told.zone) and look.sightings.zone_seen >= rule.frames_to_confirm
        if moved or (rule.update_every_s and now - alert.told_at >= rule.update_every_s):
            zone = look.zone if moved else None
            return alerts.tell(alert, _UPDATE, now, told.state, told.reason, told.decided_by, zone=zone)
        return None


def _device_may_confirm(alert: Alert) -> bool:
    unconfirmed = alert.phase is Phase.UNRAISED or alert.state is not _CONFIRMED
    return unconfirmed and alert.certain and alert.waits_until is None and alert.answered_by is None


def _forget_gone(seen: dict[int, Sightings], present: set[int]) -> None:
    """Forget tracks that the tracker does not report any more, but for the latest of each alert: it may come back."""
    for number in [number for number in seen if number not in present]:
        alert = seen[number].alert
        if alert is None or alert.track is None or alert.track.id != number:
            del seen[number]
