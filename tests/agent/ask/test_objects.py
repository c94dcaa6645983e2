"""Which objects are asked about, and when again: scripted tracks and a clock turned by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ask.budget import AskBudget, Balance, BudgetSettings
from agent.ask.crop import Margins, scaled
from agent.ask.object_settings import ObjectSettings, Shown
from agent.ask.objects import (
    BYTES_PER_PX,
    MOST_AT_ONCE,
    PICTURE_BYTES,
    REQUEST_BYTES,
    ObjectQuestions,
    Scene,
)
from agent.ask.settings import CONTEXT_PX
from agent.ask.suspects import Sign
from agent.domain import Answer, Ask, Found, Track, Word
from wire.messages import AskReason, DecidedBy, Decision

SIZE = (1000, 500)
NEAR = (0.40, 0.4, 0.43, 0.6)
BESIDE = (0.43, 0.4, 0.46, 0.6)
FAR = (0.80, 0.4, 0.83, 0.6)
EDGE = (0.0, 0.4, 0.03, 0.6)


def track(number=1, box=NEAR, score=0.5, seen=True, hits=5, stands=True, **values):
    return Track(number, "person", score, score, box, 0.0, 0.0, hits, seen, score, stands, **values)


class Desk:
    """One camera's frames, and what was asked about them."""

    def __init__(self, budget="unlimited", per_minute=6000, alone=(), context_px=CONTEXT_PX, **settings):
        ids = itertools.count(1)
        amount = BudgetSettings(bytes=budget, questions_per_minute=per_minute)
        self.budget = AskBudget(amount, Balance(others=0.0), 0.0)
        self.questions = ObjectQuestions(
            ObjectSettings(**settings),
            Shown(Margins(0.6, 2.0), 96, frozenset(alone), context_px),
            self.budget,
            deadline_s=2.0,
            new_id=lambda: f"{next(ids):032x}",
        )
        self.now = 100.0
        self.asks = []
        self.interest = lambda label, box: label or "person"

    def scene(self, *tracks, signs=(), moving=None):
        return Scene("gate", tracks, signs, moving, SIZE, self.now)

    def frames(self, count, *tracks, signs=(), moving=None):
        """What so many frames of these tracks had asked."""
        before = len(self.asks)
        for _ in range(count):
            self.now += 0.1
            self.asks += self.questions.ask(self.scene(*tracks, signs=signs, moving=moving), self.interest)
        return self.asks[before:]

    def walking(self, count, *tracks, signs=()):
        """The same while something goes by that nobody follows, some of its own width in each frame."""
        before = len(self.asks)
        for k in range(count):
            self.frames(1, *tracks, signs=signs, moving=[Sign((0.6 + k / 100, 0.4, 0.63 + k / 100, 0.6))])
        return self.asks[before:]

    def answer(self, ask, *found, looked=(0.0, 0.0, 1.0, 1.0)):
        return self.questions.heard(answer(ask, *found, looked=looked))


def answer(ask, *found, looked=(0.0, 0.0, 1.0, 1.0), decision=Decision.CONFIRMED):
    return Answer(ask.id, ask.alert_id, decision, "person", 0.9, NEAR, DecidedBy.CLOUD, "big 1", "", looked, found)


def test_a_new_object_is_asked_about_once_it_was_seen_twice():
    desk = Desk()
    assert desk.frames(1, track(hits=1)) == []
    (ask,) = desk.frames(1, track(hits=2))
    assert (ask.reason, ask.track, ask.label, ask.alert_id, ask.box) == (AskReason.NEW, 1, "person", None, NEAR)


def test_it_is_not_asked_about_again_while_an_answer_is_awaited():
    desk = Desk()
    desk.frames(1, track())
    assert desk.frames(19, track()) == []


def test_it_is_asked_about_again_after_a_while_and_an_unanswered_one_after_its_deadline():
    desk = Desk(refresh_after_s=1.0)
    (first,) = desk.frames(1, track())
    assert desk.answer(first, Found("person", 0.9, NEAR)) is not None
    assert desk.frames(8, track()) == []
    (second,) = desk.frames(3, track())
    assert second.reason is AskReason.REFRESH
    assert len(desk.frames(25, track())) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"box": (0.44, 0.4, 0.47, 0.6)},
        {"box": (0.40, 0.4, 0.45, 0.7)},
        {"score": 0.9},
        {"appearance": (200.0,) * 9},
    ],
)
def test_one_that_changed_is_asked_about_at_once(changed):
    desk = Desk(refresh_after_s=1000.0)
    (first,) = desk.frames(1, track(appearance=(100.0,) * 9))
    desk.answer(first, Found("person", 0.9, NEAR))
    assert desk.frames(10, track(appearance=(102.0,) * 9)) == []
    (second,) = desk.frames(1, track(**({"appearance": (100.0,) * 9} | changed)))
    assert second.reason is AskReason.REFRESH


@pytest.mark.parametrize("score", [0.9, 0.6])
def test_what_the_device_sees_well_is_asked_about_again_only_once_it_is_another_picture(score):
    desk = Desk(refresh_after_s=1.0)
    (first,) = desk.frames(1, track(score=score, seen_well=True))
    desk.answer(first, Found("person", 0.9, NEAR))
    assert desk.frames(30, track(score=score, seen_well=True)) == []
    elsewhere = {"score": score - 0.4, "box": (0.6, 0.4, 0.63, 0.6)}
    assert desk.frames(30, track(seen_well=True, **elsewhere)) == []
    (again,) = desk.frames(1, track(score=score, seen_well=True, box=(0.6, 0.4, 0.64, 0.64)))
    assert again.reason is AskReason.REFRESH
    desk.answer(again, Found("person", 0.9, NEAR))
    assert len(desk.frames(12, track(score=score, box=(0.6, 0.4, 0.64, 0.64)))) == 1


def test_what_breaks_off_mid_scene_is_asked_about_and_what_leaves_is_not():
    desk = Desk()
    first, second = desk.frames(1, track(1), track(2, FAR)) + desk.frames(0)
    desk.answer(first)
    desk.answer(second)
    desk.frames(6)
    (lost,) = desk.frames(1, track(1, seen=False))
    assert (lost.reason, lost.track) == (AskReason.LOST, 1)
    assert Desk().frames(20, track(3, EDGE, seen=False)) == []


def test_what_is_lost_after_its_question_is_asked_about_before_the_answer_is_old():
    desk = Desk(refresh_after_s=1000.0)
    (first,) = desk.frames(1, track())
    desk.answer(first, Found("person", 0.9, NEAR))
    last_at = desk.now + 0.3
    assert desk.frames(3, track()) == []
    assert desk.frames(1, replace(track(seen=False), last_at=last_at)) == []
    (lost,) = desk.frames(2, replace(track(seen=False), last_at=last_at))
    assert lost.reason is AskReason.LOST
    desk.answer(lost)
    assert desk.frames(5, replace(track(seen=False), last_at=last_at)) == []


def test_one_answer_serves_all_that_its_picture_shows():
    desk = Desk()
    (ask,) = desk.frames(1, track(1), track(2, BESIDE))
    _, report = desk.answer(ask, Found("person", 0.9, NEAR))
    assert report.known == {1: NEAR, 2: BESIDE}
    assert desk.frames(1, track(1), track(2, BESIDE)) == []


def test_what_is_painted_over_in_a_picture_is_asked_about_by_itself():
    desk = Desk(alone=["gate"])
    asked = desk.frames(3, track(1), track(2, box=BESIDE))
    assert sorted(ask.track for ask in asked) == [1, 2]
    assert Desk(alone=["yard"]).frames(3, track(1), track(2, box=BESIDE))[0].track == 1
    assert len(Desk(alone=["yard"]).frames(3, track(1), track(2, box=BESIDE))) == 1


def test_a_rules_own_question_serves_the_object_too():
    desk = Desk()
    ask = replace(Desk().frames(1, track())[0], id="f" * 32, alert_id="a" * 32)
    desk.questions.asked(ask, desk.scene(track()))
    assert desk.frames(1, track()) == []
    assert desk.answer(ask, Found("person", 0.9, NEAR)) is not None


def test_an_object_that_the_cloud_found_is_not_asked_about_at_once():
    desk = Desk(refresh_after_s=1.0)
    found = track(7, word=Word("a" * 32, 100.0, "person", 0.9))
    assert desk.frames(5, found) == []
    assert len(desk.frames(10, found)) == 1


def test_weak_signs_in_one_place_are_suspected_and_passing_ones_are_not():
    desk = Desk()
    assert desk.frames(2, signs=[Sign(FAR, "person", 0.3)]) == []
    (ask,) = desk.frames(3, signs=[Sign(FAR, "person", 0.3)])
    assert (ask.reason, ask.track, ask.score) == (AskReason.WEAK, None, 0.3)
    assert desk.frames(30, signs=[Sign(FAR, "person", 0.3)]) == []
    passing = Desk()
    for step in range(10):
        box = (0.05 * step, 0.4, 0.05 * step + 0.03, 0.6)
        assert passing.frames(1, signs=[Sign(box, "person", 0.3)]) == []


def test_movement_without_a_detection_is_suspected_unless_an_object_explains_it():
    desk = Desk()
    (ask,) = desk.walking(8)
    assert (ask.reason, ask.label) == (AskReason.MOTION, "person")
    explained = Desk(new=False, refresh=False)
    assert explained.walking(20, track(1, (0.55, 0.35, 0.9, 0.65))) == []
    assert Desk().frames(20, moving=[Sign(FAR)]) == [], "it does not go anywhere"


@pytest.mark.parametrize("reason", ["new", "refresh", "lost", "weak", "motion"])
def test_each_reason_can_be_switched_off(reason):
    def reasons(**settings):
        desk = Desk(refresh_after_s=0.3, **settings)
        for ask in desk.frames(1, track(1)):
            desk.answer(ask, Found("person", 0.9, NEAR))
        known = [track(1, word=Word("a" * 32, 100.0, "person", 0.9))]
        desk.walking(8, *known, signs=[Sign(FAR, "person", 0.3)])
        for ask in desk.asks:
            desk.answer(ask)
        desk.frames(8, track(1, seen=False), track(9, BESIDE, seen=False, stands=False))
        return {ask.reason for ask in desk.asks}

    assert AskReason(reason) in reasons()
    assert AskReason(reason) not in reasons(**{reason: False})
    assert reasons(enabled=False) == set()


def test_what_no_rule_is_concerned_with_is_left_alone():
    desk = Desk()
    asked_for = []
    desk.interest = lambda label, box: asked_for.append(label)
    assert desk.frames(20, track()) == []
    assert len(asked_for) == 1


def test_an_empty_budget_asks_nothing_and_a_small_one_asks_for_the_best():
    assert Desk("1kB/month").frames(50, track()) == []
    many = [track(n, (0.1 * n, 0.4, 0.1 * n + 0.03, 0.6), score=0.9 - 0.1 * n) for n in range(9)]
    assert len(Desk().frames(1, *many)) == MOST_AT_ONCE
    desk = Desk("150kB/hour")
    (ask,) = desk.frames(1, *many)
    assert ask.score < 0.7


def test_what_the_budget_can_not_pay_for_is_not_weighed_and_what_the_frames_showed_is_remembered():
    desk, weighed = Desk(budget="1B/hour"), []
    desk.questions.weigh_by(lambda case: weighed.append(case.reason) or 1.0)
    assert desk.frames(6, track(), signs=[Sign(FAR, "person", 0.3)]) == []
    assert weighed == []
    desk.budget.reconfigure(BudgetSettings(), desk.now)
    desk.budget.settle("gate", -1e6, desk.now)
    assert {ask.reason for ask in desk.frames(1, track())} == {AskReason.NEW, AskReason.WEAK}


def test_questions_a_minute_hold_for_objects_too():
    desk = Desk(per_minute=2)
    assert len(desk.frames(5, *(track(n, (0.1 * n, 0.4, 0.1 * n + 0.03, 0.6)) for n in range(9)))) == 2


def test_what_was_paid_is_settled_and_pictures_are_learnt_to_cost_that():
    desk = Desk("1GB/hour")
    desk.frames(1)
    desk.now += 60
    (ask,) = desk.frames(1, track())
    left = desk.budget.balance().left[""]
    desk.questions.paid(ask.id, "gate", 50_000, desk.now)
    after = desk.budget.balance().left[""]
    assert after < left - 40_000
    desk.questions.paid(ask.id, "gate", 50_000, desk.now)
    assert desk.budget.balance().left[""] == pytest.approx(after - 50_000)
    desk.questions.paid("e" * 32, "gate", 50_000, desk.now)
    assert desk.budget.balance().left[""] == pytest.approx(after - 100_000), (
        "what an earlier run left is paid for too"
    )


def test_what_will_not_leave_any_more_is_given_back_once_and_only_where_it_never_left():
    desk = Desk("1GB/hour")
    desk.frames(1)
    desk.now += 600
    (never, once) = desk.frames(1, track(1), track(2, box=FAR))
    full = desk.budget.told(desk.now)[0].most
    desk.questions.paid(once.id, "gate", 3000, desk.now)
    for _ in range(2):
        desk.questions.unsent(never.id, desk.now)
        desk.questions.unsent(once.id, desk.now)
    assert desk.budget.balance().left[""] == pytest.approx(full - 3000, abs=1)
    desk.questions.unsent("e" * 32, desk.now)
    assert desk.answer(never) is None
    assert desk.answer(once) is not None, "its answer may be on its way"


def test_what_a_run_leaves_unsent_is_not_paid_for_twice():
    desk = Desk("1GB/hour")
    desk.frames(1)
    desk.now += 600
    (ask,) = desk.frames(1, track())
    full = desk.budget.told(desk.now)[0].most
    desk.questions.close(desk.now)
    assert desk.budget.balance().left[""] == pytest.approx(full, abs=1)
    desk.questions.paid(ask.id, "gate", 2500, desk.now)
    assert desk.budget.balance().left[""] == pytest.approx(full - 2500, abs=1)


def test_many_alerts_of_one_frame_don_t_spend_the_same_bytes():
    desk = Desk("1MB/hour")
    desk.frames(1)
    desk.now += 60
    left = desk.budget.balance().left[""] + 60 * 950_000 / 3600

    def granted():
        may = desk.questions.may_ask("gate", desk.now, urgent=False, context=False)
        if may:
            desk.questions.set_aside("gate", desk.now, context=False)
        return may

    asked = sum(granted() for _ in range(50))
    assert 2000 * asked <= left < 4000 * asked
    desk.now += 0.1
    assert desk.questions.may_ask("gate", desk.now, urgent=False, context=False), (
        "nothing was asked, so nothing is spent"
    )


def test_to_find_that_one_may_be_asked_sets_nothing_aside():
    desk = Desk("1MB/hour")
    desk.frames(1)
    desk.now += 60
    assert all(desk.questions.may_ask("gate", desk.now, urgent=False, context=False) for _ in range(50))


def alerts_ask(context, box=NEAR):
    return Ask("f" * 32, "e" * 32, "gate", 1, "person", 0.5, box, AskReason.UNCERTAIN, 0.0, 2.0, context=context)


def spent_on(context, size=SIZE, context_px=CONTEXT_PX):
    desk = Desk("100MB/hour", context_px=context_px)
    desk.frames(1)
    desk.now += 600
    desk.budget.told(desk.now)
    before = desk.budget.balance().left[""]
    desk.questions.asked(alerts_ask(context), replace(desk.scene(track()), size=size))
    return before - desk.budget.balance().left[""]


def test_a_question_with_context_costs_what_a_whole_frame_does():
    around = REQUEST_BYTES + PICTURE_BYTES
    assert spent_on(False) == pytest.approx(around + BYTES_PER_PX * 96 * 220, rel=0.01)
    assert spent_on(True, size=(800, 400)) == pytest.approx(around + BYTES_PER_PX * 800 * 400)
    assert spent_on(True, size=(1920, 1080)) == pytest.approx(around + BYTES_PER_PX * 960 * 540), "it is scaled down"
    assert spent_on(True, size=(1920, 1080), context_px=480) == pytest.approx(around + BYTES_PER_PX * 480 * 270)


def test_whether_a_whole_frame_may_be_shown_is_held_against_its_own_price():
    whole = REQUEST_BYTES + PICTURE_BYTES + BYTES_PER_PX * math.prod(scaled(*SIZE, CONTEXT_PX))
    desk = Desk("2MB/hour")
    desk.now = 60.0
    desk.frames(1)
    assert desk.budget.balance().left[""] < whole
    assert desk.questions.may_ask("gate", desk.now, urgent=False, context=False)
    assert not desk.questions.may_ask("gate", desk.now, urgent=False, context=True)
    desk.now += 60
    assert desk.questions.may_ask("gate", desk.now, urgent=False, context=True)
    assert not desk.questions.may_ask("yard", desk.now, urgent=False, context=True), "its frames may be larger"


def test_a_whole_frame_of_which_all_but_the_object_is_hidden_is_never_worth_its_bytes():
    desk = Desk(alone=("gate",))
    desk.frames(1)
    assert not desk.questions.may_ask("gate", desk.now, urgent=True, context=True)
    assert desk.questions.may_ask("gate", desk.now, urgent=True, context=False)


def test_an_answer_about_a_whole_frame_serves_what_is_close_to_its_object_alone():
    desk = Desk(refresh_after_s=1000.0)
    desk.now += 0.1
    desk.questions.asked(alerts_ask(context=True), desk.scene(track(1, NEAR), track(2, BESIDE), track(3, FAR)))
    assert [ask.track for ask in desk.frames(1, track(1, NEAR), track(2, BESIDE), track(3, FAR))] == [3]


def test_an_answer_of_an_older_cloud_tells_of_the_object_alone():
    desk = Desk()
    (ask,) = desk.frames(1, track())
    _, report = desk.questions.heard(replace(answer(ask), looked=None, found=None))
    assert report.found == (Found("person", 0.9, NEAR),)
    desk = Desk()
    (ask,) = desk.frames(1, track())
    _, report = desk.questions.heard(replace(answer(ask, decision=Decision.RETRACTED), looked=None, found=None))
    assert (report.found, report.looked) == ((), NEAR)


def test_answers_to_what_was_never_asked_or_twice_are_nothing():
    desk = Desk()
    (ask,) = desk.frames(1, track())
    assert desk.answer(replace(ask, id="d" * 32)) is None
    assert desk.answer(ask) is not None
    desk.questions.paid(ask.id, "gate", 10, desk.now)


boxes = st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.floats(0.001, 0.5), st.floats(0.001, 0.5)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
tracks_of_a_frame = st.lists(
    st.builds(
        track,
        st.integers(1, 6),
        boxes,
        st.floats(0, 1),
        st.booleans(),
        st.integers(1, 9),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)
wild = st.floats(allow_nan=True, allow_infinity=True)
hostile = st.lists(
    st.builds(Found, st.sampled_from(("person", "zebra", "")), wild, st.tuples(wild, wild, wild, wild)), max_size=5
)


@given(st.lists(st.tuples(tracks_of_a_frame, st.floats(0.01, 5), hostile, st.integers(0, 3)), max_size=30))
def test_nothing_is_asked_twice_without_an_answer_and_never_more_than_the_budget(frames):
    desk = Desk("3MB/hour", refresh_after_s=0.5)
    desk.budget = desk.questions.budget
    spent = 0.0
    asked_at = {}
    for tracks, gap_s, found, answered in frames:
        desk.now += gap_s
        before = desk.budget.balance().left[""]
        asks = desk.questions.ask(desk.scene(*tracks), desk.interest)
        spent += before - desk.budget.balance().left[""] if asks else 0.0
        assert desk.budget.balance().left[""] >= 0
        for ask in asks:
            last = asked_at.get(ask.track)
            # An open question keeps its object from being asked about until its deadline.
            assert last is None or desk.now - last[0] >= 2.0 or last[1]
            asked_at[ask.track] = (desk.now, False)
            assert all(math.isfinite(side) and 0 <= side <= 1 for side in ask.box)
        for ask in desk.asks[:answered] + asks[:answered]:
            desk.questions.heard(answer(ask, *found))
            for number, (at, _) in asked_at.items():
                asked_at[number] = (at, True)
        desk.asks += asks
    assert spent <= 3e6 * (desk.now / 3600 + 1 / 20)


def test_settings_can_change_while_questions_are_open():
    desk = Desk()
    (ask,) = desk.frames(1, track())
    desk.questions.follow(ObjectSettings(enabled=False), 1.0)
    desk.budget.reconfigure(BudgetSettings(bytes="1MB/hour"), desk.now)
    assert desk.frames(30, track(2, FAR)) == []
    assert desk.answer(ask) is not None


def test_a_model_s_weights_change_what_is_asked_first():
    sure, doubtful = track(1, NEAR, score=0.9), track(2, FAR, score=0.4)

    def asked_first(gains):
        desk = Desk()
        if gains is not None:
            desk.questions.weigh_by(gains)
        return desk.frames(1, sure, doubtful)[0].track

    assert asked_first(None) == 2
    assert asked_first(lambda case: case.belief) == 1


def test_what_was_known_of_each_question_is_told():
    noted = []
    desk = Desk()
    desk.questions = ObjectQuestions(
        ObjectSettings(),
        Shown(Margins(0.6, 2.0), min_px=96),
        desk.budget,
        deadline_s=2.0,
        new_id=lambda: "a" * 32,
        on_asked=lambda ask, case: noted.append((ask.track, case)),
    )
    desk.frames(1, track(1, NEAR), track(2, FAR, score=0.9))
    assert [number for number, _ in noted] == [1, 2]
    (_, case), _ = noted
    assert (case.reason, case.box, case.belief, case.hits, case.stands) == (AskReason.NEW, NEAR, 0.5, 5, True)
    assert list(case.others) == [NEAR, FAR]
