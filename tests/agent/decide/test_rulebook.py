"""What a rule book tells and asks, scene by scene."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.decide.settings import AskPolicySettings, PicturePolicy
from tests.agent.decide.scene import ASKING, CERTAIN, NOON, UNSURE, Scene, person, rule, verdict, zone
from wire.messages import DecidedBy, Decision

RETRACTED = Decision.RETRACTED


def test_a_certain_object_is_confirmed_by_the_device_and_ends_when_it_goes():
    scene = Scene()
    assert scene.frames(2, person()) == []
    assert scene.frames(1, person()) == [("new", "confirmed")]
    assert scene.frames(50, person()) == []
    assert scene.wait(4.9) == []
    assert scene.wait(0.2) == [("end", "confirmed")]
    new, end = scene.told
    assert (new.revision, end.revision) == (0, 1)
    assert new.decided_by is DecidedBy.DEVICE
    assert end.last_at == pytest.approx(105.3)
    assert end.reason == "not seen for 5 s"
    assert scene.asks == []


@pytest.mark.parametrize(
    "track",
    [person(label="car"), person(score=0.3), person(seen=False)],
    ids=["another label", "too low a score", "not seen"],
)
def test_what_the_rule_does_not_look_for(track):
    scene = Scene()
    assert scene.frames(20, track) == []
    assert scene.asks == []


def test_a_rule_of_other_cameras():
    scene = Scene(rule(cameras=("back",)))
    assert scene.frames(5, person(), camera="front") == []
    assert scene.frames(3, person(), camera="back") == [("new", "confirmed")]


def test_an_uncertain_object_is_told_at_once_and_asked_about_once():
    scene = Scene()
    assert scene.frames(3, person(score=UNSURE)) == [("new", "provisional")]
    (ask,) = scene.asks
    assert ask.alert_id == scene.told[0].id
    assert (ask.camera, ask.track, ask.score, ask.deadline_s) == ("front", 1, UNSURE, 2.0)
    assert scene.answer(verdict(ask)) == [("update", "confirmed")]
    assert scene.told[-1].decided_by is DecidedBy.CLOUD
    assert scene.told[-1].score == 0.95
    assert scene.frames(50, person(score=UNSURE)) == []
    assert len(scene.asks) == 1


def test_a_retraction_ends_the_alert_for_as_long_as_its_object_stays():
    scene = Scene()
    scene.frames(3, person(score=UNSURE))
    assert scene.answer(verdict(scene.asks[0], RETRACTED)) == [("end", "retracted")]
    assert scene.frames(50, person(score=CERTAIN)) == [], "the verdict decides, not the device"
    assert len(scene.asks) == 1


def test_while_the_question_is_open_the_verdict_decides():
    scene = Scene()
    scene.frames(3, person(score=UNSURE))
    assert scene.frames(10, person(score=CERTAIN)) == []
    assert scene.answer(verdict(scene.asks[0], RETRACTED)) == [("end", "retracted")]


def test_at_the_deadline_the_device_confirms_what_it_saw_with_certainty_since():
    scene = Scene(rule(fallback="retract"))
    scene.frames(3, person(score=UNSURE))
    scene.frames(3, person(score=CERTAIN))
    assert scene.wait(2.0) == [("update", "confirmed")]


@pytest.mark.parametrize(
    ("when_unsure", "fallback", "at_once", "at_deadline"),
    [
        ("alert", "keep", [("new", "provisional")], []),
        ("alert", "confirm", [("new", "provisional")], [("update", "confirmed")]),
        ("alert", "retract", [("new", "provisional")], [("end", "retracted")]),
        ("wait", "keep", [], [("new", "provisional")]),
        ("wait", "confirm", [], [("new", "confirmed")]),
        ("wait", "retract", [], []),
    ],
)
def test_no_answer_in_time_and_a_late_one(when_unsure, fallback, at_once, at_deadline):
    scene = Scene(rule(when_unsure=when_unsure, fallback=fallback))
    assert scene.frames(3, person(score=UNSURE)) == at_once
    assert scene.frames(19, person(score=UNSURE)) == []
    assert scene.frames(2, person(score=UNSURE)) == at_deadline
    late = scene.answer(verdict(scene.asks[0]))
    assert len(late) == 1
    assert late[0][1] == "confirmed"
    assert scene.book.counts["answers_late"] == 1


def test_each_rule_waits_as_long_as_it_says():
    gate = rule(name="gate", when_unsure="wait", deadline_s=10.0)
    door = rule(name="door", deadline_s=0.5, fallback="retract")
    scene = Scene(gate, door, rule(name="yard", fallback="confirm"))
    assert scene.frames(3, person(score=UNSURE)) == [("new", "provisional")] * 2
    assert [ask.deadline_s for ask in scene.asks] == [10.0, 0.5, 2.0]
    assert scene.frames(6, person(score=UNSURE)) == [("end", "retracted")]
    assert scene.frames(15, person(score=UNSURE)) == [("update", "confirmed")]
    assert scene.frames(75, person(score=UNSURE)) == []
    assert scene.frames(5, person(score=UNSURE)) == [("new", "provisional")]
    assert [change.rule for change in scene.told] == ["door", "yard", "door", "yard", "gate"]


def test_what_comes_within_the_rule_s_own_deadline_is_in_time_and_what_comes_after_it_amends():
    long, short = rule(name="long", deadline_s=30.0), rule(name="short", deadline_s=0.2, fallback="retract")
    scene = Scene(long, short)
    scene.frames(3, person(score=UNSURE))
    to_long, to_short = scene.asks
    scene.frames(100, person(score=UNSURE))
    assert scene.answer(verdict(to_long)) == [("update", "confirmed")]
    assert scene.book.counts["answers_late"] == 0
    assert scene.answer(verdict(to_short)) == [("update", "confirmed")]
    assert scene.book.counts["answers_late"] == 1


def test_a_question_that_is_open_keeps_its_deadline_when_its_rule_is_told_another():
    scene = Scene(rule(deadline_s=5.0, fallback="retract"))
    scene.frames(3, person(score=UNSURE))
    scene.book.replace_rules([rule(deadline_s=0.1, fallback="retract")], (), ASKING, scene.now)
    assert scene.frames(40, person(score=UNSURE)) == []
    assert scene.frames(15, person(score=UNSURE)) == [("end", "retracted")]


def test_waiting_tells_nothing_until_the_verdict():
    scene = Scene(rule(when_unsure="wait"))
    assert scene.frames(5, person(score=UNSURE)) == []
    assert scene.answer(verdict(scene.asks[0])) == [("new", "confirmed")]
    other = Scene(rule(when_unsure="wait"))
    other.frames(5, person(score=UNSURE))
    assert other.answer(verdict(other.asks[0], RETRACTED)) == []
    assert other.frames(50, person(score=CERTAIN)) == []
    assert other.finish() == []


def test_with_the_uplink_cut_a_dismissed_object_is_told_once_it_is_certain():
    scene = Scene(rule(when_unsure="wait", fallback="retract"))
    scene.frames(30, person(score=UNSURE))
    assert scene.frames(3, person(score=CERTAIN)) == [("new", "confirmed")]


def test_a_late_answer_amends_after_the_end_within_its_time():
    scene = Scene()
    scene.frames(3, person(score=UNSURE))
    assert scene.wait(10) == [("end", "provisional")]
    assert scene.answer(verdict(scene.asks[0], RETRACTED)) == [("update", "retracted")]
    assert scene.answer(verdict(scene.asks[0], RETRACTED)) == [], "the same again is harmless"
    assert [change.revision for change in scene.told] == [0, 1, 2]
    scene.wait(86_401)
    assert scene.answer(verdict(scene.asks[0])) == []
    assert scene.book.counts["answers_unknown"] == 1


def test_answers_about_nothing_known_or_to_another_question_are_only_counted():
    scene = Scene()
    scene.frames(3, person(score=UNSURE))
    assert scene.answer(verdict(scene.asks[0], RETRACTED, question="f" * 32)) == []
    assert scene.book.counts["answers_ignored"] == 1
    assert scene.answer(verdict(scene.asks[0])) == [("update", "confirmed")]


def test_a_reviewer_overrules_the_cloud_and_not_the_other_way_round():
    scene = Scene()
    scene.frames(3, person(score=UNSURE))
    scene.answer(verdict(scene.asks[0]))
    reviewed = verdict(scene.asks[0], RETRACTED, decided_by=DecidedBy.REVIEWER, question="e" * 32)
    assert scene.answer(reviewed) == [("end", "retracted")]
    assert scene.answer(verdict(scene.asks[0])) == []
    assert scene.told[-1].decided_by is DecidedBy.REVIEWER


def test_another_label_is_corrected_or_retracted():
    scene = Scene(rule(labels=("person", "bicycle")))
    scene.frames(3, person(score=UNSURE))
    assert scene.answer(verdict(scene.asks[0], label="bicycle")) == [("update", "confirmed")]
    assert scene.told[-1].label == "bicycle"
    other = Scene()
    other.frames(3, person(score=UNSURE))
    assert other.answer(verdict(other.asks[0], label="dog")) == [("end", "retracted")]
    assert "dog" in other.told[-1].reason
    assert other.told[-1].label == "person"


def test_the_limit_of_questions_lets_the_fallback_apply():
    scene = Scene(asking=AskPolicySettings(min_hits=3, max_per_minute=1))
    scene.frames(3, person(1, UNSURE, x=0.2), person(2, UNSURE, x=0.8))
    assert len(scene.asks) == 1
    assert len(scene.told) == 2
    assert scene.book.counts["asks_over_limit"] == 1
    scene.frames(1, step_s=61)
    scene.frames(3, person(3, UNSURE))
    assert len(scene.asks) == 2


def test_a_rule_whose_pictures_never_leave_does_not_ask():
    scene = Scene(rule(picture="never"), rule(name="open", picture="always"))
    scene.frames(3, person(score=UNSURE))
    assert [ask.alert_id for ask in scene.asks] == [scene.told[1].id]
    assert [change.wants_picture for change in scene.told] == [False, True]


def test_without_a_cloud_the_rules_own_score_is_certain():
    scene = Scene(asking=None)
    assert scene.frames(3, person(score=UNSURE)) == [("new", "confirmed")]


def test_zones_by_where_an_object_stands_and_moves():
    scene = Scene(rule(zones=("left", "right")), zones=(zone("left", 0, 0.4), zone("right", 0.6, 1)))
    assert scene.frames(9, person(x=0.5)) == []
    assert scene.frames(3, person(x=0.2)) == [("new", "confirmed")]
    assert scene.told[-1].zone == "left"
    assert scene.frames(2, person(x=0.8)) == [], "a jump of two frames is no move"
    assert scene.frames(1, person(x=0.8)) == [("update", "confirmed")]
    assert scene.told[-1].zone == "right"
    assert scene.frames(51, person(x=0.5)) == [("end", "confirmed")]
    assert scene.frames(3, person(x=0.2)) == [("new", "confirmed")], "coming back is a new event"


def test_a_cooldown_after_the_alert_and_after_its_end():
    scene = Scene(rule(cooldown_s=10, end_after_s=2))
    scene.frames(3, person(1, x=0.2))
    assert scene.frames(3, person(2, x=0.8)) == []
    assert scene.wait(2) == [("end", "confirmed")]
    assert scene.frames(90, person(3, x=0.8)) == []
    assert scene.frames(15, person(3, x=0.8)) == [("new", "confirmed")], "who stays is told afterwards"


def test_a_retracted_alert_keeps_no_other_quiet():
    scene = Scene(rule(cooldown_s=60))
    scene.frames(3, person(1, UNSURE, x=0.2))
    scene.answer(verdict(scene.asks[0], RETRACTED))
    assert scene.frames(3, person(2, x=0.8)) == [("new", "confirmed")]


def test_a_confirmed_answer_within_a_cooldown_is_held_back_until_it_is_over():
    scene = Scene(rule(when_unsure="wait", cooldown_s=6))
    scene.frames(3, person(1, UNSURE, x=0.2))
    scene.frames(3, person(1, UNSURE, x=0.2), person(2, CERTAIN, x=0.8))
    assert scene.answer(verdict(scene.asks[0])) == []
    assert scene.frames(105, person(1, UNSURE, x=0.2)) == [("end", "confirmed")]
    assert scene.frames(10, person(1, UNSURE, x=0.2)) == [("new", "confirmed")]


def test_outside_of_its_schedule_a_rule_raises_nothing_new():
    scene = Scene(rule(schedule=[{"from": "22:00", "to": "06:00"}]))
    assert scene.frames(9, person()) == []
    night = NOON + timedelta(hours=11)
    assert scene.frames(1, person(), local=night) == [("new", "confirmed")]
    assert scene.wait(6) == [("end", "confirmed")], "an open alert goes on"


def test_the_same_object_under_a_new_number_is_the_same_alert():
    scene = Scene()
    scene.frames(3, person(1, x=0.5))
    scene.frames(10)
    assert scene.frames(20, person(2, x=0.51)) == []
    assert scene.wait(5) == [("end", "confirmed")]
    assert scene.told[-1].track == 2


def test_one_object_under_two_labels_is_one_alert():
    scene = Scene(rule(labels=("car", "truck")))
    scene.frames(9, person(1, label="car"), person(2, label="truck"))
    assert scene.since(0) == [("new", "confirmed")]


@pytest.mark.parametrize(
    "other", [person(2, x=0.52), person(2, x=0.9), person(2, x=0.5, y=0.95)], ids=["beside", "far", "elsewhere"]
)
def test_another_person_is_another_alert(other):
    scene = Scene()
    scene.frames(9, person(1, x=0.5), other)
    assert scene.since(0) == [("new", "confirmed")] * 2


def test_who_comes_in_at_the_edge_is_not_taken_for_who_went_there():
    scene = Scene()
    scene.frames(3, person(1, x=0.98))
    scene.frames(10)
    assert scene.frames(3, person(2, x=0.98)) == [("new", "confirmed")]


def test_updates_at_intervals_if_wanted():
    scene = Scene(rule(update_every_s=1.0))
    scene.frames(36, person())
    assert scene.since(0) == [("new", "confirmed")] + [("update", "confirmed")] * 3
    assert len({change.decided_at for change in scene.told}) == 1


def test_a_still_scene_ends_nothing_that_was_there():
    scene = Scene()
    scene.frames(3, person())
    for _ in range(10):
        scene.now += 2
        scene.book.still("front", scene.now)
        assert scene.wait(0) == []
    assert scene.wait(5) == [("end", "confirmed")]


def test_finish_leaves_nothing_open():
    scene = Scene(rule(when_unsure="wait"))
    scene.frames(3, person(1, CERTAIN, x=0.2), person(2, UNSURE, x=0.8))
    assert scene.finish() == [("end", "confirmed"), ("new", "provisional"), ("end", "provisional")]
    assert scene.finish() == []


def test_after_a_restart_open_alerts_end_and_late_answers_still_amend():
    before = Scene()
    before.frames(3, person(1, CERTAIN, x=0.2), person(2, UNSURE, x=0.8))
    after = Scene()
    ended = after.book.restore(before.told, 5.0)
    assert [(change.event, change.state, change.revision) for change in ended] == [
        ("end", "confirmed", 1),
        ("end", "provisional", 1),
    ]
    assert after.answer(verdict(before.asks[0])) == [("update", "confirmed")]
    assert after.told[-1].revision == 2
    assert Scene().book.restore([*before.told, *ended], 5.0) == (), "what has ended is not ended again"


def test_at_the_bound_no_alert_is_raised_and_it_is_counted():
    scene = Scene(rule(frames_to_confirm=1))
    crowd = [person(n, x=0.03 + n * 0.045) for n in range(20)]
    for camera in range(26):
        scene.frames(1, *crowd, camera=f"camera {camera}")
    assert len(scene.told) == 500
    assert scene.book.counts["alerts_refused"] == 20


def test_asking_waits_for_enough_sightings():
    scene = Scene(asking=ASKING.model_copy(update={"min_hits": 6}))
    assert scene.frames(5, person(score=UNSURE)) == []
    assert scene.frames(1, person(score=UNSURE)) == [("new", "provisional")]


def test_new_rules_end_what_has_no_rule_any_more_and_keep_the_rest():
    scene = Scene(rule(), rule(name="other", when_unsure="wait"))
    scene.frames(3, person(1, CERTAIN, x=0.2), person(2, UNSURE, x=0.8))
    kept = {change.id for change in scene.told if change.rule == "people"}
    changes = scene.book.replace_rules([rule(end_after_s=1)], (), ASKING, scene.now)
    assert [(change.rule, change.event, change.state) for change in changes] == [
        ("other", "end", "confirmed"),
        ("other", "new", "provisional"),
        ("other", "end", "provisional"),
    ]
    scene.wait(2.1)
    assert {change.id for change in scene.told if change.event == "end"} == kept
    late = next(ask for ask in scene.asks if ask.alert_id == changes[-1].id)
    assert scene.answer(verdict(late)) == [("update", "confirmed")], "a removed rule's alert can still be amended"


def test_an_alert_whose_rule_has_no_zones_any_more_keeps_its_zone_and_tells_nothing_about_that():
    scene = Scene(rule(zones=("left",)), zones=(zone("left", 0, 0.4),))
    assert scene.frames(3, person(x=0.2)) == [("new", "confirmed")]
    scene.book.replace_rules((rule(),), (), ASKING, scene.now)
    assert scene.frames(20, person(x=0.2)) == []
    assert scene.told[-1].zone == "left"


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"picture": PicturePolicy.NEVER}, False),
        ({"labels": ("car",)}, False),
        ({"cameras": ("back",)}, False),
        ({"zones": ("left",)}, False),
        ({"zones": ("right",)}, True),
    ],
)
def test_an_aside_is_asked_only_about_what_a_rule_looks_for_and_may_show(changes, asked):
    scene = Scene(rule(**changes), zones=(zone("left", 0.0, 0.4), zone("right", 0.4, 1.0)))
    assert scene.book.take_aside("front", "person", person().box, scene.now, NOON) is asked


def test_an_aside_counts_among_the_questions_of_a_minute():
    scene = Scene(asking=AskPolicySettings(min_hits=3, max_per_minute=2))
    taken = [scene.book.take_aside("front", "person", person().box, scene.now, NOON) for _ in range(3)]
    assert taken == [True, True, False]
    scene.frames(3, person(score=UNSURE))
    assert scene.asks == []
    scene.now += 60
    assert scene.book.take_aside("front", "person", person().box, scene.now, NOON)
    assert not Scene(asking=None).book.take_aside("front", "person", person().box, 0.0, NOON)


def test_an_answer_that_decides_no_alert_changes_nothing():
    scene = Scene()
    scene.frames(5, person(score=UNSURE))
    told = len(scene.told)
    assert scene.answer(replace(verdict(scene.asks[0]), alert_id=None)) == []
    assert len(scene.told) == told
    assert scene.book.counts["answers_unknown"] == 1


def test_without_a_cloud_only_what_the_device_stands_behind_is_alerted():
    scene = Scene(asking=None)
    doubted = replace(person(), belief=0.3, stands=False)
    assert scene.frames(10, doubted) == []
    assert scene.frames(1, person()) == [("new", "confirmed")]


def test_what_the_device_does_not_stand_behind_is_asked_about():
    scene = Scene()
    assert scene.frames(10, replace(person(), belief=0.3, stands=False)) == [("new", "provisional")]
    assert len(scene.asks) == 1


# --- bands of their own ---------------------------------------------------------------------------------------------


def test_a_tuned_band_holds_for_its_camera_and_label_only():
    scene = Scene()
    scene.book.tune({("front", "person"): (0.2, 0.5)})
    assert scene.frames(3, person(score=UNSURE)) == [("new", "confirmed")]
    assert scene.frames(5, person(2, score=UNSURE), camera="back") == [("new", "provisional")]


def test_what_counts_by_default_does_not_hold_up_a_lower_end_but_what_a_person_said_does():
    scene = Scene(rule(name="told", min_score=0.3), rule(name="left to the band"))
    scene.book.tune({("front", "person"): (0.2, 0.6)})
    scene.frames(5, person(score=0.25))
    assert {one.rule for one in scene.told} == {"left to the band"}
    assert scene.book.least_score("front", "person") == 0.0
    assert Scene(rule(min_score=0.3)).book.least_score("front", "person") == 0.3


def test_tuned_bands_survive_new_rules_and_go_when_they_are_taken_back():
    scene = Scene()
    scene.book.tune({("front", "person"): (0.2, 0.5)})
    scene.book.replace_rules((rule(),), (), ASKING, scene.now)
    assert scene.frames(3, person(score=UNSURE)) == [("new", "confirmed")]
    scene.wait(10)
    scene.book.tune({})
    assert scene.frames(5, person(2, score=UNSURE)) == [("new", "provisional")]


def test_without_a_cloud_no_band_is_asked_about():
    scene = Scene(asking=None)
    scene.book.tune({("front", "person"): (0.7, 0.95)})
    assert scene.frames(3, person(score=UNSURE)) == [("new", "confirmed")]


def test_an_alert_takes_as_many_frames_as_the_first_of_the_rules():
    book = Scene(rule(name="a", frames_to_confirm=5), rule(name="b", frames_to_confirm=2, cameras=("front",))).book
    assert book.frames_to_confirm("front", "person") == 2
    assert book.frames_to_confirm("back", "person") == 5
