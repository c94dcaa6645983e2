"""What the cloud said of an object, asked for the object's own sake, decides the alerts about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, PicturePolicy
from agent.decide.words import HOLDS_S
from agent.domain import Answer, Word
from tests.agent.decide.scene import ASKING, BAND, NOON, UNSURE, Scene, person, rule
from wire.messages import AlertEvent, AlertState, DecidedBy, Decision

NEW_CONFIRMED = (AlertEvent.NEW, AlertState.CONFIRMED)
NEW_PROVISIONAL = (AlertEvent.NEW, AlertState.PROVISIONAL)
UPDATE_CONFIRMED = (AlertEvent.UPDATE, AlertState.CONFIRMED)
END_RETRACTED = (AlertEvent.END, AlertState.RETRACTED)
QUESTION = "9" * 32


class ScriptedQuestions:
    def __init__(self):
        self.allowed = True
        self.urgent = []
        self.context = []
        self.aside = []

    def may_ask(self, camera, now, *, urgent, context):
        self.urgent.append(urgent)
        self.context.append(context)
        return self.allowed

    def set_aside(self, camera, now, *, context):
        self.aside.append(context)


class Asked(Scene):
    """A scene beside which objects are asked about."""

    def __init__(self, *rules, asking=ASKING):
        super().__init__(*rules, asking=asking)
        self.questions = ScriptedQuestions()
        self.book = RuleBook(rules or (rule(),), (), asking, BAND, self.new_id, self.questions)

    def told_of(self, score=0.9, *, track=None, question=QUESTION, age_s=0.0, label="person"):
        said = Word(question, self.now - age_s, label if score >= 0.5 else None, score)
        return replace(track or person(score=UNSURE), word=said)


def test_what_the_cloud_vouched_for_is_confirmed_at_once_and_not_asked_about():
    scene = Asked()
    assert scene.frames(1, scene.told_of()) == [NEW_CONFIRMED]
    assert scene.asks == []
    (alert,) = scene.told
    assert (alert.decided_by, alert.score) == (DecidedBy.CLOUD, 0.9)


def test_what_it_denied_is_not_told_nor_asked_about_again():
    scene = Asked()
    assert scene.frames(10, scene.told_of(0.0)) == []
    assert scene.asks == []
    assert scene.book.counts["alerts_denied"] == 1


def test_a_later_word_that_vouches_raises_what_was_denied():
    scene = Asked()
    scene.frames(5, scene.told_of(0.0))
    assert scene.frames(1, scene.told_of(0.9, question="8" * 32)) == [NEW_CONFIRMED]


def test_a_word_that_is_old_decides_nothing_and_the_rule_asks():
    scene = Asked()
    scene.frames(5, scene.told_of(age_s=HOLDS_S + 1))
    assert len(scene.asks) == 1


@pytest.mark.parametrize(
    ("decision", "outcome"), [(Decision.CONFIRMED, UPDATE_CONFIRMED), (Decision.RETRACTED, END_RETRACTED)]
)
def test_while_the_rules_own_question_is_open_its_verdict_decides(decision, outcome):
    scene = Asked()
    assert scene.frames(3, person(score=UNSURE)) == [NEW_PROVISIONAL]
    assert len(scene.asks) == 1
    assert scene.frames(1, scene.told_of(0.1)) == []
    assert scene.answer(_answer(decision, scene.asks[0])) == [outcome]


def test_a_word_decides_what_its_own_question_left_open_and_that_one_late_amends_it():
    scene = Asked()
    scene.frames(3, person(score=UNSURE))
    (ask,) = scene.asks
    scene.wait(ASKING.deadline_s + 0.1)
    assert scene.frames(1, scene.told_of(0.8)) == [UPDATE_CONFIRMED]
    assert scene.frames(1, scene.told_of(0.9)) == []
    assert scene.answer(_answer(Decision.RETRACTED, ask)) == [END_RETRACTED]


def test_a_word_that_denies_retracts_what_is_undecided_and_never_what_is_confirmed():
    scene = Asked(asking=AskPolicySettings(min_hits=3, max_per_minute=0))
    assert scene.frames(3, person(score=UNSURE)) == [NEW_PROVISIONAL]
    assert scene.frames(1, scene.told_of(0.1)) == [END_RETRACTED]
    sure = Asked()
    assert sure.frames(3, person()) == [NEW_CONFIRMED]
    assert sure.frames(5, sure.told_of(0.1, track=person())) == []


def test_an_object_that_only_the_cloud_sees_raises_an_alert():
    scene = Asked()
    unseen = person(score=UNSURE, seen=False)
    assert scene.frames(5, unseen) == []
    assert scene.frames(1, scene.told_of(track=unseen)) == [NEW_CONFIRMED]


def test_a_word_under_a_name_that_the_rule_does_not_look_for_raises_nothing():
    scene = Asked()
    car = replace(scene.told_of(label="car"), label="car")
    assert scene.frames(5, car) == []


def test_a_spent_budget_sends_rules_to_their_fallback_and_urgent_ones_may_borrow():
    scene = Asked(rule(urgent=True))
    scene.questions.allowed = False
    assert scene.frames(3, person(score=UNSURE)) == [NEW_PROVISIONAL]
    assert scene.asks == []
    assert scene.book.counts["asks_over_budget"] == 1
    assert scene.questions.urgent == [True]


@pytest.mark.parametrize("context", [False, True])
def test_a_rule_with_context_shows_the_whole_frame_and_the_budget_knows(context):
    scene = Asked(rule(context=context))
    assert scene.frames(3, person(score=UNSURE)) == [NEW_PROVISIONAL]
    assert [ask.context for ask in scene.asks] == [context]
    assert scene.questions.context == [context]


def test_places_are_asked_about_only_where_a_rule_looks_and_may_show_pictures():
    book = Asked(rule(labels=("car", "person")), rule(name="shy", labels=("dog",), picture=PicturePolicy.NEVER)).book
    box = person().box
    assert book.interest("front", None, box, NOON) == "car"
    assert book.interest("front", "person", box, NOON) == "person"
    assert book.interest("front", "dog", box, NOON) is None
    assert book.interest("front", "zebra", box, NOON) is None


def _answer(decision, ask):
    return Answer(ask.id, ask.alert_id, decision, "person", 0.95, None, DecidedBy.CLOUD, "large 1", "")
