"""An alert that the cloud's answer leaves in doubt is asked about once more, with the whole frame."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.decide.alerts import AGAIN_WITHIN_S
from agent.decide.doubt import leaves_in_doubt
from agent.decide.settings import AskPolicySettings
from agent.domain import Found
from tests.agent.decide.scene import CERTAIN, UNSURE, person, rule, verdict
from tests.agent.decide.test_words import Asked
from wire.messages import DecidedBy, Decision

AGAIN = AskPolicySettings(min_hits=3)
BOX = person().box
PROVISIONAL, CONFIRMED, RETRACTED = ("new", "provisional"), ("update", "confirmed"), ("end", "retracted")


def said(ask, likely=0.4, box=BOX, label="person", **changes):
    """Nothing that the cloud stands behind, but something."""
    answer = verdict(ask, Decision.RETRACTED, question=changes.pop("question", None))
    return replace(answer, score=None, looked=(0.0, 0.0, 1.0, 1.0), found=(Found(label, likely, box),), **changes)


def in_question(*rules, asking=AGAIN):
    """A scene whose alert was just asked about."""
    scene = Asked(*rules, asking=asking)
    scene.frames(3, person(score=UNSURE))
    assert [ask.context for ask in scene.asks] == [False]
    return scene


def in_doubt(*rules, asking=AGAIN):
    scene = in_question(*rules, asking=asking)
    assert scene.answer(said(scene.asks[0])) == [], "it is held"
    return scene


@pytest.mark.parametrize(("decision", "outcome"), [(Decision.CONFIRMED, CONFIRMED), (Decision.RETRACTED, RETRACTED)])
def test_the_answer_about_the_whole_frame_decides(decision, outcome):
    scene = in_doubt()
    assert scene.frames(5, person(score=UNSURE)) == []
    first, again = scene.asks
    assert (again.context, again.alert_id, again.box) == (True, first.alert_id, BOX)
    assert again.deadline_s == pytest.approx(first.deadline_s - 0.1), "what is left of the first one's time"
    assert scene.questions.aside == [False, True], "the budget holds each once"
    assert scene.book.counts["asks_again"] == 1
    assert scene.answer(said(first)) == [], "a second copy of the first answer"
    assert scene.answer(verdict(again, decision)) == [outcome]
    assert scene.frames(30, person(score=UNSURE)) == []
    assert len(scene.asks) == 2


def test_a_second_doubt_is_the_last_word():
    scene = in_doubt()
    scene.frames(1, person(score=UNSURE))
    assert scene.answer(said(scene.asks[1])) == [RETRACTED]
    assert len(scene.asks) == 2


def test_without_a_second_answer_in_time_the_first_stands_and_a_late_one_amends():
    scene = in_doubt(rule(fallback="confirm"))
    scene.frames(2, person(score=UNSURE))
    assert scene.wait(2.0) == [RETRACTED], "not the fallback: there was an answer in time"
    assert scene.told[-1].decided_by is DecidedBy.CLOUD
    assert scene.answer(verdict(scene.asks[1])) == [CONFIRMED]


def test_what_the_budget_does_not_hold_any_more_in_the_next_frame_lets_the_first_answer_stand():
    scene = in_doubt()
    scene.questions.allowed = False
    assert scene.frames(1, person(score=UNSURE)) == [RETRACTED]
    assert len(scene.asks) == 1
    assert scene.book.counts["asks_over_budget"] == 1


def test_what_the_budget_does_not_hold_is_not_held_for():
    scene = in_question()
    scene.questions.allowed = False
    assert scene.answer(said(scene.asks[0])) == [RETRACTED]
    assert scene.answer(said(scene.asks[0])) == [], "a second copy of it is harmless"
    scene.questions.allowed = True
    assert scene.frames(30, person(score=UNSURE)) == []
    assert len(scene.asks) == 1
    assert (scene.book.counts["asks_over_budget"], scene.questions.aside) == (1, [False])


def test_what_the_limit_a_minute_does_not_allow_is_not_held_for_either():
    scene = in_question(asking=AskPolicySettings(min_hits=3, max_per_minute=1))
    assert scene.answer(said(scene.asks[0])) == [RETRACTED]
    assert scene.book.counts["asks_over_limit"] == 1


def test_to_find_that_it_may_be_asked_again_uses_up_nothing_of_a_minute():
    scene = in_doubt(asking=AskPolicySettings(min_hits=3, max_per_minute=2))
    scene.frames(1, person(score=UNSURE))
    assert [ask.context for ask in scene.asks] == [False, True]
    assert scene.book.counts["asks_over_limit"] == 0
    assert scene.answer(verdict(scene.asks[1])) == [CONFIRMED]


@pytest.mark.parametrize(("picture", "told"), [("asked", []), ("never", [RETRACTED])])
def test_a_rule_that_shows_no_pictures_any_more_holds_no_answer(picture, told):
    scene = in_question()
    scene.book.replace_rules((rule(picture=picture),), (), AGAIN, scene.now)
    assert scene.answer(said(scene.asks[0])) == told


def test_an_object_that_is_gone_is_not_asked_about_again():
    scene = in_doubt()
    scene.frames(int(AGAIN_WITHIN_S * 10) - 2)
    assert len(scene.told) == 1
    assert scene.frames(3) == [RETRACTED]
    assert len(scene.asks) == 1


def test_what_is_told_only_once_it_is_decided_waits_for_the_second_answer():
    scene = Asked(rule(when_unsure="wait"), asking=AGAIN)
    scene.frames(3, person(score=UNSURE))
    scene.answer(said(scene.asks[0]))
    assert scene.frames(5, person(score=UNSURE)) == []
    assert scene.answer(verdict(scene.asks[1])) == [("new", "confirmed")]
    other = Asked(rule(when_unsure="wait"), asking=AGAIN)
    other.frames(3, person(score=UNSURE))
    other.answer(said(other.asks[0]))
    assert other.frames(60, person(score=CERTAIN)) == [], "the first answer stands"


def test_at_the_end_of_the_run_the_first_answer_stands():
    scene = in_doubt()
    assert scene.finish() == [RETRACTED]


def test_a_reviewer_waits_for_no_second_answer():
    scene = in_doubt()
    by_hand = verdict(scene.asks[0], decided_by=DecidedBy.REVIEWER)
    assert scene.answer(by_hand) == [CONFIRMED]
    assert scene.frames(30, person(score=UNSURE)) == []
    assert len(scene.asks) == 1


def test_a_late_answer_is_the_last_word():
    scene = in_question()
    scene.frames(25, person(score=UNSURE))
    assert scene.answer(said(scene.asks[0])) == [RETRACTED]


def test_a_rule_that_showed_the_whole_frame_has_no_more_to_show():
    scene = Asked(rule(context=True), asking=AGAIN)
    scene.frames(3, person(score=UNSURE))
    assert scene.answer(said(scene.asks[0])) == [RETRACTED]


def test_where_it_is_switched_off_the_first_answer_decides():
    scene = in_question(asking=AskPolicySettings(min_hits=3, again_with_context=False))
    assert scene.answer(said(scene.asks[0])) == [RETRACTED]


@pytest.mark.parametrize(
    ("changes", "doubtful"),
    [
        ({}, True),
        ({"likely": 0.25}, True),
        ({"likely": 0.24}, False),
        ({"label": "dog"}, False),
        ({"box": (0.0, 0.0, 0.1, 0.1)}, False),
    ],
)
def test_a_doubt_is_something_like_it_just_there(changes, doubtful):
    ask = in_question().asks[0]
    assert leaves_in_doubt(said(ask, **changes), BOX, "person") is doubtful


def test_no_doubt_where_the_cloud_stands_behind_something_or_does_not_say_what_it_saw():
    doubtful = said(in_question().asks[0])
    assert not leaves_in_doubt(replace(doubtful, decision=Decision.CONFIRMED), BOX, "person")
    assert not leaves_in_doubt(replace(doubtful, label="dog"), BOX, "person")
    assert not leaves_in_doubt(replace(doubtful, found=None), BOX, "person")
    assert not leaves_in_doubt(replace(doubtful, decided_by=DecidedBy.REVIEWER), BOX, "person")
