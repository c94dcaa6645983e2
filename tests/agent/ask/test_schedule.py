from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.ask.schedule import Schedule, Waiting
from agent.ask.uploads import Key, Kind


def schedule(**fields: float) -> Schedule:
    given_: dict[str, float] = {"give_up_after_s": 100.0, "retry_min_s": 1.0, "retry_max_s": 8.0}
    return Schedule(max_concurrent=int(fields.pop("max_concurrent", 2)), **(given_ | fields))


def question(number: int, made_at: float = 0.0, deadline_at: float | None = None) -> Waiting:
    return Waiting(Key(Kind.QUESTION, str(number)), made_at, deadline_at)


def about_object(number: int, made_at: float = 0.0, deadline_at: float | None = None) -> Waiting:
    return Waiting(Key(Kind.OBJECT, str(number)), made_at, deadline_at)


def picture(number: int, made_at: float = 0.0) -> Waiting:
    return Waiting(Key(Kind.PICTURE, str(number)), made_at)


def audit(number: int, made_at: float = 0.0) -> Waiting:
    return Waiting(Key(Kind.AUDIT, str(number)), made_at)


def test_fresh_questions_go_before_old_ones_then_pictures_and_audits_last():
    plan = schedule(max_concurrent=9)
    for upload in (audit(4), picture(1), question(2), question(3, deadline_at=5.0)):
        plan.add(upload)
    taken = [plan.take(0.0) for _ in range(4)]
    assert taken == [question(3, deadline_at=5.0), question(2), picture(1), audit(4)]
    assert plan.take(0.0) is None


def test_no_more_than_the_allowed_number_is_under_way():
    plan = schedule(max_concurrent=2)
    for number in range(3):
        plan.add(question(number, deadline_at=9.0))
    first = plan.take(0.0)
    assert first is not None
    assert plan.take(0.0)
    assert plan.take(0.0) is None
    plan.done(first)
    assert plan.take(0.0)


def test_pictures_and_audits_leave_a_place_for_a_question():
    plan = schedule(max_concurrent=2)
    for upload in (picture(0), audit(1)):
        plan.add(upload)
    assert plan.take(0.0)
    assert plan.take(0.0) is None
    plan.add(question(7, deadline_at=1.0))
    assert plan.take(0.0) == question(7, deadline_at=1.0)


def test_failures_pause_longer_and_longer_up_to_the_bound():
    plan = schedule()
    plan.add(question(1))
    now, pauses = 0.0, []
    for _ in range(6):
        taken = plan.take(now)
        assert taken is not None
        plan.failed(taken, now, jitter=1.0)
        assert plan.take(now) is None
        at = plan.next_at(now)
        assert at is not None
        pauses.append(at - now)
        now = at
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_jitter_shortens_a_pause_by_up_to_half():
    plan = schedule()
    plan.add(question(1))
    taken = plan.take(0.0)
    assert taken is not None
    plan.failed(taken, 0.0, jitter=0.0)
    assert plan.next_at(0.0) == 0.5


def test_the_cloud_may_ask_for_a_longer_pause():
    plan = schedule()
    plan.add(question(1))
    taken = plan.take(0.0)
    assert taken is not None
    plan.failed(taken, 0.0, jitter=1.0, at_least_s=30.0)
    assert plan.take(29.9) is None
    assert plan.take(30.0)


def test_a_fresh_question_does_not_wait_out_a_pause_but_a_failed_one_does():
    plan = schedule()
    plan.add(question(1, deadline_at=9.0))
    taken = plan.take(0.0)
    assert taken is not None
    plan.failed(taken, 0.0, jitter=1.0)
    plan.add(question(2, deadline_at=9.0))
    assert plan.take(0.0) == question(2, deadline_at=9.0)
    assert plan.take(0.0) is None


def test_a_question_about_an_object_does_not_try_a_cloud_that_can_t_be_reached():
    plan = schedule()
    plan.add(question(1))
    first = plan.take(0.0)
    assert first is not None
    plan.failed(first, 0.0, jitter=1.0)
    plan.add(about_object(2, made_at=0.1, deadline_at=3.0))
    assert plan.take(0.1) is None
    assert plan.next_at(0.1) == 1.0
    assert plan.take(1.0) == about_object(2, made_at=0.1, deadline_at=3.0), "with the pause, that is over"


def test_after_a_failure_one_goes_ahead_and_the_rest_follow_its_success():
    plan = schedule(max_concurrent=4)
    for number in range(3):
        plan.add(question(number))
    taken = plan.take(0.0)
    assert taken is not None
    plan.failed(taken, 0.0, jitter=1.0)
    probe = plan.take(1.0)
    assert probe is not None
    assert plan.take(1.0) is None
    plan.done(probe)
    assert plan.take(1.0)
    assert plan.take(1.0)


def test_what_is_too_old_is_given_up():
    plan = schedule()
    plan.add(question(1, made_at=0.0))
    plan.add(picture(2, made_at=50.0))
    assert plan.next_at(0.0) == 100.0
    assert plan.give_up(99.9) == []
    assert plan.give_up(100.0) == [Key(Kind.QUESTION, "1")]
    assert len(plan) == 1


def test_what_is_dropped_while_it_is_under_way_does_not_come_back_and_ends_no_pause():
    plan = schedule(retry_min_s=2.0, retry_max_s=60.0)
    for number in (1, 2):
        plan.add(question(number))
    assert plan.take(0.0) == question(1)
    assert not plan.drop(Key(Kind.QUESTION, "1"))
    assert plan.failed(question(1), 0.0, jitter=1.0)
    assert len(plan) == 1
    assert plan.take(1.9) is None
    assert plan.take(2.0) == question(2)


def test_what_is_dropped_is_lost_once_and_not_at_all_if_it_gets_through():
    plan = schedule(max_concurrent=2)
    for number in (1, 2):
        plan.add(question(number))
    assert plan.take(0.0) == question(1)
    assert [plan.drop(Key(Kind.QUESTION, name)) for name in ("1", "2", "of an earlier run")] == [False, True, True]
    plan.done(question(1))
    plan.add(question(1))
    assert plan.take(0.0) == question(1)
    assert not plan.failed(question(1), 0.0, jitter=0.0)


def test_what_the_disk_does_not_give_back_holds_nothing_else_up():
    plan = schedule(retry_max_s=60.0)
    for number in (1, 2):
        plan.add(question(number))
    assert plan.take(0.0) == question(1)
    assert not plan.unread(question(1), 0.0)
    assert plan.take(0.0) == question(2)
    plan.done(question(2))
    assert plan.take(59.9) is None
    assert plan.next_at(0.0) == 60.0
    assert plan.take(60.0) == replace(question(1), not_before=60.0)


def test_a_newer_picture_of_an_alert_replaces_the_waiting_one():
    plan = schedule(max_concurrent=9)
    plan.add(picture(1))
    plan.add(picture(1, made_at=5.0))
    assert plan.take(5.0) == picture(1, made_at=5.0)
    assert plan.take(5.0) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["question", "fresh", "picture", "take", "done", "failed", "wait"])), max_size=60
    )
)
def test_nothing_is_lost_and_nothing_is_sent_twice_at_once(steps):
    plan = schedule(max_concurrent=3, give_up_after_s=1e9)
    under_way: list[Waiting] = []
    number, finished, now = 0, 0, 0.0
    for (step,) in steps:
        if step in {"question", "fresh", "picture"}:
            number += 1
            plan.add(
                picture(number, now)
                if step == "picture"
                else question(number, now, now + 5 if step == "fresh" else None)
            )
        elif step == "take":
            taken = plan.take(now)
            if taken is not None:
                assert taken.key not in {w.key for w in under_way}
                under_way.append(taken)
        elif step == "wait":
            now += 3.0
        elif under_way:
            upload = under_way.pop(0)
            if step == "done":
                plan.done(upload)
                finished += 1
            else:
                plan.failed(upload, now, jitter=0.5)
        assert len(under_way) <= 3
        assert len(plan) == number - finished
    for upload in under_way:
        plan.done(upload)
        finished += 1
    now += 1e6
    while (upload := plan.take(now)) is not None:
        plan.done(upload)
        finished += 1
    assert finished == number


def test_a_question_that_decides_an_alert_goes_before_one_about_an_object():
    plan = schedule(max_concurrent=9)
    plan.add(about_object(1, deadline_at=5.0))
    plan.add(question(2, deadline_at=5.0))
    assert [plan.take(0.0), plan.take(0.0)] == [question(2, deadline_at=5.0), about_object(1, deadline_at=5.0)]


def test_a_question_about_an_object_is_given_up_at_its_deadline_or_its_first_failure():
    plan = schedule()
    plan.add(about_object(1, deadline_at=2.0))
    plan.add(about_object(2, deadline_at=9.0))
    assert plan.next_at(0.0) == 2.0
    assert plan.give_up(1.9) == []
    assert plan.give_up(2.0) == [Key(Kind.OBJECT, "1")]
    taken = plan.take(2.0)
    plan.failed(taken, 2.5, jitter=0.0)
    assert plan.give_up(2.5) == [Key(Kind.OBJECT, "2")]
    assert len(plan) == 0


def outcome(number: int, made_at: float = 0.0, not_before: float = 0.0) -> Waiting:
    return Waiting(Key(Kind.OUTCOME, str(number)), made_at, not_before=not_before)


def test_an_outcome_is_asked_for_again_later_and_later_and_holds_nothing_up():
    plan = schedule(outcomes_for_s=1000.0)
    plan.add(outcome(1, made_at=0.0, not_before=40.0))
    assert plan.take(39.9) is None
    assert plan.next_at(10.0) == 40.0
    asked = []
    now = 40.0
    while now < 1000.0:
        taken = plan.take(now)
        assert taken is not None
        asked.append(now)
        plan.not_yet(taken, now, pause_s=30.0)
        assert plan.take(now) is None
        plan.add(picture(2, now))
        assert plan.take(now) == picture(2, now)
        plan.done(picture(2, now))
        now = plan.next_at(now)
    assert asked == [40.0, 80.0, 160.0, 320.0, 640.0]
    assert plan.give_up(1000.0) == [Key(Kind.OUTCOME, "1")]


def test_that_an_outcome_is_not_there_yet_ends_a_pause():
    plan = schedule(outcomes_for_s=1000.0)
    for upload in (audit(1), outcome(2)):
        plan.add(upload)
    first = plan.take(0.0)
    assert first == outcome(2)
    plan.failed(first, 0.0, jitter=1.0)
    assert plan.take(0.5) is None
    again = plan.take(1.0)
    assert again == outcome(2)
    plan.not_yet(again, 1.0, pause_s=30.0)
    assert plan.take(1.0) == audit(1)
