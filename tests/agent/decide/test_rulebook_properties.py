"""Whatever happens in whatever order, what is told stays a story that makes sense."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.decide.inquiry import MINUTE_S
from agent.decide.lifecycle import MOVES, Phase
from agent.decide.settings import AskPolicySettings
from agent.domain import Found
from tests.agent.decide import scene as scenes
from wire.messages import AlertEvent, AlertState, DecidedBy, Decision

PLACES = (0.1, 0.3, 0.5, 0.9)

tracks = st.lists(
    st.builds(
        scenes.person,
        number=st.integers(1, 6),
        score=st.sampled_from((0.5, 0.9, 0.5, 0.9, 0.2)),
        x=st.sampled_from(PLACES),
        y=st.sampled_from((0.3, 0.9)),
        label=st.sampled_from(("person", "person", "person", "dog", "car")),
        seen=st.sampled_from((True, True, True, False)),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda track: track.id,
)


class AnyStory(RuleBasedStateMachine):
    """Frames, answers, pauses, restarts."""

    @initialize(
        when_unsure=st.sampled_from(("alert", "wait")),
        fallback=st.sampled_from(("keep", "confirm", "retract")),
        cooldown_s=st.sampled_from((0, 3)),
        asking=st.sampled_from(
            (
                None,
                AskPolicySettings(min_hits=2, max_per_minute=4, again_with_context=False),
                AskPolicySettings(min_hits=2, max_per_minute=8),
                AskPolicySettings(min_hits=2, max_per_minute=2),
            )
        ),
        update_every_s=st.sampled_from((0, 1)),
    )
    def begin(self, when_unsure, fallback, cooldown_s, asking, update_every_s):
        self.cooldown_s = cooldown_s
        self.rules = [
            scenes.rule(
                labels=("person", "dog"),
                frames_to_confirm=2,
                zones=("left", "right"),
                when_unsure=when_unsure,
                fallback=fallback,
                cooldown_s=cooldown_s,
                update_every_s=update_every_s,
                end_after_s=2,
            ),
            scenes.rule(name="anywhere", frames_to_confirm=2, end_after_s=1),
        ]
        self.asking = asking
        self.scene = self.a_scene()
        self.past = []
        self.deadlines = {}

    def a_scene(self):
        zones = (scenes.zone("left", 0, 0.4), scenes.zone("right", 0.6, 1))
        return scenes.Scene(*self.rules, zones=zones, asking=self.asking)

    @rule(tracks=tracks, count=st.integers(1, 4), camera=st.sampled_from(("front", "back")))
    def frames(self, tracks, count, camera):
        self.scene.frames(count, *tracks, camera=camera)

    @rule(seconds=st.sampled_from((0, 0.5, 1, 5, 90_000)))
    def wait(self, seconds):
        self.scene.wait(seconds)
        if seconds > 86_400:
            assert not self.scene.book.open_alerts

    @rule()
    def empty(self):
        self.scene.frames(3)

    @rule()
    def still(self):
        self.scene.now += 0.5
        self.scene.book.still("front", self.scene.now)

    @rule(
        pick=st.integers(0, 50),
        decision=st.sampled_from(Decision),
        label=st.sampled_from((None, "person", "dog", "car")),
        decided_by=st.sampled_from((DecidedBy.CLOUD, DecidedBy.CLOUD, DecidedBy.REVIEWER)),
        twice=st.booleans(),
        stray=st.booleans(),
        doubtful=st.booleans(),
    )
    def answer(self, pick, decision, label, decided_by, twice, stray, doubtful):
        if not self.scene.asks:
            return
        ask = self.scene.asks[pick % len(self.scene.asks)]
        given = scenes.verdict(ask, decision, label, decided_by, "f" * 32 if stray else None)
        if doubtful:
            given = replace(given, label=None, found=(Found(ask.label, 0.4, ask.box),))
        self.scene.answer(given)
        if twice:
            assert self.scene.answer(given) == []

    @rule()
    def restart(self):
        old = self.scene
        old_told = [*self.past, *old.told]
        self.scene = self.a_scene()
        self.scene.now, self.scene.ids, self.scene.asks = old.now, old.ids, old.asks
        self.past = [*old_told, *self.scene.book.restore(old_told, old.now)]
        opened = {change.id for change in self.past} - {
            change.id for change in self.past if change.event is AlertEvent.END
        }
        assert not opened

    @rule()
    def stop(self):
        self.scene.finish()
        told = self.stories()
        assert all(any(change.event is AlertEvent.END for change in story) for story in told.values())

    def stories(self):
        told = {}
        for change in [*self.past, *self.scene.told]:
            told.setdefault(change.id, []).append(change)
        return told

    @invariant()
    def every_story_is_legal(self):
        for story in self.stories().values():
            assert [change.revision for change in story] == list(range(len(story)))
            phase, state = Phase.UNRAISED, AlertState.PROVISIONAL
            for change in story:
                phase = MOVES[phase, state, change.event, change.state]
                state = change.state
            assert len({(change.camera, change.rule, change.first_at) for change in story}) == 1

    @invariant()
    def only_what_the_rule_looks_for_is_told(self):
        rules = {one.name: one for one in self.rules}
        for change in [*self.past, *self.scene.told]:
            assert change.label in rules[change.rule].labels
            assert (change.zone is None) == (not rules[change.rule].zones)
            assert change.score in {0.2, 0.5, 0.9, 0.95}

    @invariant()
    def the_cooldown_is_kept(self):
        if not self.cooldown_s or self.past:
            return
        ended = {}
        raised = []
        told = self.scene.told
        retracted = {change.id for change in told if change.state is AlertState.RETRACTED}
        for change in told:
            place = (change.rule, change.camera, change.zone, change.label)
            if change.rule != "people" or change.id in retracted:
                continue
            if change.event is AlertEvent.NEW:
                for other, at in raised:
                    assert other != place or change.decided_at >= at + self.cooldown_s
                assert change.decided_at >= ended.get(place, -1e9) + self.cooldown_s
                raised.append((place, change.decided_at))
            elif change.event is AlertEvent.END:
                ended[place] = change.last_at  # it was told no earlier than that

    @invariant()
    def each_alert_is_asked_about_once_and_once_more_with_the_whole_frame(self):
        asked = [(ask.alert_id, ask.context) for ask in self.scene.asks]
        assert len(asked) == len(set(asked))
        for number, (alert_id, context) in enumerate(asked):
            assert not context or (alert_id, False) in asked[:number]

    @invariant()
    def no_more_is_asked_in_a_minute_than_may_be(self):
        if self.asking is None or self.past:
            return
        at = [ask.asked_at for ask in self.scene.asks]
        most = self.asking.max_per_minute
        assert all(later - earlier >= MINUTE_S for earlier, later in zip(at, at[most:], strict=False))


AnyStory.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyStory = AnyStory.TestCase
