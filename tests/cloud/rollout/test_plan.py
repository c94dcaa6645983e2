"""The plan, over simulated fleets whose devices fail, vanish and lie."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloud.deployment import Answer, Ask, Fate, Member, Phase, Policy, Wish
from cloud.rollout.plan import plan
from cloud.rollout.scope import budget, rank
from tests.cloud.rollout.fleets import (
    OLD,
    Answering,
    Simulation,
    claims,
    dawdles,
    obeys,
    refuses,
    relapses,
    rollout_of,
    vanishes,
)
from tests.cloud.samples import NOW
from vision.estimates import Drop
from wire.updates import UpdateState, Window


def by_rank(simulation: Simulation) -> list[str]:
    return sorted(simulation.members, key=lambda device: rank(simulation.rollout.id, device))


# --- ten thousand ------------------------------------------------------------------------------------------------


def test_ten_thousand_obedient_devices_are_brought_there_in_four_stages() -> None:
    simulation = Simulation.of(10_000, rollout_of(Policy(soak_s=5, max_in_flight=10_000))).run()
    assert simulation.rollout.phase is Phase.FINISHED
    assert simulation.fates()[Fate.COMMITTED] == 10_000
    sizes = [len([order for order in simulation.orders.values() if order.stage == stage]) for stage in range(4)]
    assert sizes == [100, 900, 4_000, 5_000]


def test_bad_release_stops_at_the_first_hundred_of_ten_thousand() -> None:
    ids = [f"cam-{number:05d}" for number in range(10_000)]
    simulation = Simulation.of(10_000, rollout_of(), dict.fromkeys(ids, refuses)).run()
    assert simulation.rollout.phase is Phase.HALTED
    assert "it detects nothing" in simulation.rollout.reason
    assert len(simulation.orders) == 100


def test_ten_thousand_with_a_few_of_every_bad_kind_still_converge() -> None:
    kinds: list[Answering] = [refuses, vanishes, claims, dawdles, relapses]
    answering = {f"cam-{number:05d}": kinds[number // 100 % 5] for number in range(0, 10_000, 50)}
    policy = Policy(soak_s=0, max_in_flight=10_000, timeout_s=30, vanish_s=30, max_failure_share=0.1)
    simulation = Simulation.of(10_000, rollout_of(policy, id="5" * 32), answering).run(seconds=20)
    assert simulation.rollout.phase is Phase.FINISHED, simulation.rollout.reason
    failed = {device for device, order in simulation.orders.items() if order.fate is Fate.FAILED}
    assert failed == set(answering)
    assert "200 failed" in simulation.rollout.reason


# --- stages ------------------------------------------------------------------------------------------------------


def test_canaries_come_first_then_the_hash_decides() -> None:
    rollout = rollout_of(Policy(stages=(40, 100), canaries=("cam-00007",), soak_s=3600))
    simulation = Simulation.of(10, rollout).run(3)
    chosen = [device for device in by_rank(simulation) if device != "cam-00007"][:3]
    assert simulation.touched() == {"cam-00007", *chosen}


def test_next_stage_waits_for_the_soak_and_begins_it_anew_when_a_device_falls_back() -> None:
    simulation = Simulation.of(100, rollout_of(Policy(stages=(10, 100), soak_s=60, max_failure_share=0.05)))
    simulation.run(3)
    assert simulation.rollout.passed_at == NOW + timedelta(seconds=1)
    simulation.run(5, seconds=10)
    assert len(simulation.orders) == 10
    simulation.step(seconds=60)
    simulation.step()
    assert len(simulation.orders) == 100


def test_small_group_does_not_soak_stages_that_add_nobody() -> None:
    simulation = Simulation.of(3, rollout_of(Policy(soak_s=10)))
    simulation.run(100)
    assert simulation.rollout.phase is Phase.FINISHED
    assert sorted(order.stage for order in simulation.orders.values()) == [0, 2, 3]


def test_never_more_at_the_same_time_than_may() -> None:
    ids = [f"cam-{number:05d}" for number in range(50)]
    simulation = Simulation.of(50, rollout_of(Policy(stages=(100,), max_in_flight=7)), dict.fromkeys(ids, dawdles))
    simulation.run(5)
    assert len(simulation.orders) == 7


def test_pinned_foreign_and_differently_labelled_devices_are_left_alone() -> None:
    simulation = Simulation.of(4, rollout_of(Policy(stages=(100,), soak_s=0, labels={"site": "north"})))
    labels = {"site": "north"}
    changes: list[dict[str, object]] = [
        {"labels": labels},
        {"labels": labels, "pinned": True},
        {"labels": labels, "group": "yard"},
        {"labels": {"site": "south"}},
    ]
    for (device, member), change in zip(list(simulation.members.items()), changes, strict=True):
        simulation.members[device] = replace(member, **change)  # type: ignore[arg-type]
    simulation.run()
    assert simulation.touched() == {"cam-00000"}
    assert simulation.rollout.phase is Phase.FINISHED


# --- who is away -------------------------------------------------------------------------------------------------


def test_device_that_is_away_is_no_failure_and_catches_up() -> None:
    simulation = Simulation.of(10, rollout_of(Policy(stages=(50, 100), soak_s=5, vanish_s=1)))
    gone = by_rank(simulation)[0]
    simulation.members[gone] = replace(simulation.members[gone], online=False)
    simulation.run(12)
    assert simulation.orders[gone].fate is Fate.AWAY
    assert simulation.orders[gone].stage == 1
    simulation.members[gone] = replace(simulation.members[gone], online=True)
    simulation.run()
    assert simulation.rollout.phase is Phase.FINISHED
    assert simulation.orders[gone].fate is Fate.COMMITTED


def test_another_takes_the_place_of_a_device_that_was_revoked_in_the_first_stage() -> None:
    simulation = Simulation.of(10, rollout_of(Policy(stages=(10, 100), soak_s=0)))
    simulation.step()
    (canary,) = simulation.touched()
    del simulation.members[canary]
    simulation.run()
    assert simulation.rollout.phase is Phase.FINISHED
    assert simulation.rollout.reason == "9 run it, 1 was revoked"


def test_who_was_revoked_does_not_return() -> None:
    simulation = Simulation.of(4, rollout_of(Policy(stages=(100,), soak_s=0)))
    simulation.step()
    simulation.step()
    del simulation.members["cam-00001"], simulation.members["cam-00002"]
    simulation.step(Wish.ROLLBACK)
    simulation.rollout = simulation.rollout.model_copy(update={"signed": True})
    simulation.run()
    assert simulation.rollout.phase is Phase.ROLLED_BACK
    assert simulation.rollout.reason == "2 returned, 2 were revoked"


def test_whole_group_away_is_waited_for() -> None:
    simulation = Simulation.of(3, rollout_of(Policy(soak_s=0)), online=False).run(5)
    assert (simulation.rollout.phase, simulation.orders) == (Phase.RUNNING, {})
    assert "to be there" in simulation.rollout.reason


def test_vanished_device_that_comes_back_and_succeeds_has_succeeded() -> None:
    policy = Policy(stages=(100,), soak_s=1000, vanish_s=5, max_failure_share=0.5)
    simulation = Simulation.of(4, rollout_of(policy), {"cam-00001": vanishes}).run(10)
    assert simulation.fates()[Fate.FAILED] == 1
    simulation.answering = {}
    simulation.members["cam-00001"] = replace(simulation.members["cam-00001"], online=True)
    simulation.run(2)
    assert simulation.orders["cam-00001"].fate is Fate.COMMITTED


# --- halts -------------------------------------------------------------------------------------------------------


def test_share_alone_does_not_halt_before_enough_were_tried() -> None:
    policy = Policy(stages=(100,), soak_s=0, max_failure_share=0.2, min_tried=5, max_in_flight=1)
    simulation = Simulation.of(20, rollout_of(policy))
    simulation.answering = {by_rank(simulation)[0]: refuses}
    simulation.run()
    assert simulation.rollout.phase is Phase.FINISHED


def test_canary_that_fails_halts_though_fewer_than_the_minimum_were_tried() -> None:
    rollout = rollout_of(Policy(canaries=("cam-00002",), min_tried=10, soak_s=0))
    simulation = Simulation.of(5, rollout, {"cam-00002": refuses}).run()
    assert simulation.rollout.phase is Phase.HALTED
    assert simulation.touched() == {"cam-00002"}


def test_failures_of_the_latest_stage_are_not_drowned_by_the_successes_before() -> None:
    simulation = Simulation.of(1000, rollout_of(Policy(stages=(90, 95, 100), soak_s=0)))
    simulation.answering = dict.fromkeys(by_rank(simulation)[900:], refuses)
    simulation.run()
    assert simulation.rollout.phase is Phase.HALTED
    assert len(simulation.orders) == 950


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (refuses, "rejected: it detects nothing"),
        (claims, "not to be believed: it reports committed"),
        (dawdles, "no progress"),
        (relapses, "went back to queued"),
        (vanishes, "vanished"),
    ],
)
def test_each_kind_of_failure_halts_and_says_why(bad: Answering, reason: str) -> None:
    ids = [f"cam-{number:05d}" for number in range(100)]
    policy = Policy(stages=(5, 100), timeout_s=10, vanish_s=10, soak_s=5)
    simulation = Simulation.of(100, rollout_of(policy), dict.fromkeys(ids, bad)).run(20, seconds=11)
    assert simulation.rollout.phase is Phase.HALTED
    assert len(simulation.orders) == 5
    assert reason in simulation.rollout.reason


def test_device_whose_disk_was_lost_is_no_longer_committed() -> None:
    simulation = Simulation.of(3, rollout_of(Policy(stages=(100,), soak_s=1000))).run(3)
    simulation.members["cam-00000"] = replace(
        simulation.members["cam-00000"], answer=Answer(0, UpdateState.IDLE, OLD.digest)
    )
    decision = plan(simulation.rollout, simulation.orders, list(simulation.members.values()), simulation.now)
    assert decision.rollout.phase is Phase.HALTED


@pytest.mark.parametrize(
    ("after", "low", "phase"),
    [
        (0.60, 0.02, Phase.HALTED),
        (0.68, 0.01, Phase.RUNNING),  # beyond chance, and within what is allowed
        (0.50, -0.01, Phase.RUNNING),  # it may be chance
    ],
)
def test_drop_of_the_audited_accuracy_halts(after: float, low: float, phase: Phase) -> None:
    simulation = Simulation.of(100, rollout_of(Policy(stages=(5, 100), soak_s=1000)))
    simulation.run(3)
    simulation.drop = Drop(before=0.70, now=after, low=low, frames_before=80, frames_now=30)
    simulation.step()
    assert simulation.rollout.phase is phase
    if phase is Phase.HALTED:
        expected = "the audited accuracy fell from 0.700 (80 frames) to 0.600 (30 frames)"
        assert simulation.rollout.reason == expected


def test_who_waits_for_its_window_has_not_timed_out() -> None:
    def queued(last: Answer, order: object, _goal: str, _now: object) -> Answer:
        return Answer(order.version, UpdateState.QUEUED, last.running)  # type: ignore[attr-defined]

    for windows, phase in (((Window(days=("mon",)),), Phase.RUNNING), ((), Phase.HALTED)):
        policy = Policy(stages=(100,), timeout_s=10, windows=windows)
        simulation = Simulation.of(1, rollout_of(policy), {"cam-00000": queued}).run(10, seconds=60)
        assert simulation.rollout.phase is phase


# --- what persons want -------------------------------------------------------------------------------------------


def test_pause_holds_back_who_has_not_switched_and_resume_lets_them_go_on() -> None:
    ids = [f"cam-{number:05d}" for number in range(10)]
    simulation = Simulation.of(10, rollout_of(Policy(stages=(100,), soak_s=0)), dict.fromkeys(ids[:4], dawdles))
    simulation.run(2)
    decision = simulation.step(Wish.PAUSE)
    assert sorted(decision.tell) == ids[:4]
    assert simulation.run(5, seconds=10_000).rollout.phase is Phase.PAUSED
    simulation.answering = {}
    decision = simulation.step(Wish.RESUME)
    assert sorted(decision.tell) == ids[:4]
    assert simulation.run().rollout.phase is Phase.FINISHED


def test_resume_of_a_halted_rollout_excuses_the_failures_so_far_but_not_later_ones() -> None:
    simulation = Simulation.of(10, rollout_of(Policy(stages=(20, 50, 100), soak_s=0)))
    order = by_rank(simulation)
    simulation.answering = dict.fromkeys(order[:2], refuses)
    assert simulation.run().rollout.phase is Phase.HALTED
    simulation.step(Wish.RESUME)
    assert len(simulation.orders) == 5
    simulation.answering = dict.fromkeys(order[5:], refuses)
    simulation.run()
    assert simulation.rollout.phase is Phase.HALTED
    assert simulation.rollout.stage == 2


def test_abort_withdraws_from_who_has_not_switched_and_leaves_the_others() -> None:
    simulation = Simulation.of(4, rollout_of(Policy(stages=(100,))), {"cam-00000": dawdles}).run(3)
    decision = simulation.step(Wish.ABORT)
    assert decision.tell == ("cam-00000",)
    assert simulation.orders["cam-00000"].ask is Ask.WITHDRAW
    assert simulation.rollout.phase is Phase.ABORTED


def test_rollback_tells_all_that_were_told_and_waits_for_the_signature() -> None:
    simulation = Simulation.of(10, rollout_of(Policy(stages=(50, 100), soak_s=1000)))
    simulation.answering = {by_rank(simulation)[0]: refuses}
    simulation.run(4)
    assert simulation.step(Wish.ROLLBACK).tell == ()
    simulation.rollout = simulation.rollout.model_copy(update={"signed": True})
    simulation.run()
    assert simulation.rollout.phase is Phase.ROLLED_BACK
    assert simulation.touched() == set(by_rank(simulation)[:5])
    running = {member.answer.running for member in simulation.members.values() if member.answer is not None}
    assert running == {OLD.digest}


def test_wish_that_can_t_be_granted_changes_nothing_and_says_why() -> None:
    simulation = Simulation.of(2, rollout_of(back_to=None))
    assert "can't resume" in simulation.step(Wish.RESUME).refused
    assert "no signed release" in simulation.step(Wish.ROLLBACK).refused
    assert simulation.rollout.phase is Phase.RUNNING


def test_unsigned_rollout_tells_nobody() -> None:
    assert Simulation.of(5, rollout_of(signed=False)).run(5).orders == {}


def test_version_goes_above_what_the_device_saw_where_our_own_count_was_lost() -> None:
    simulation = Simulation.of(1, rollout_of())
    member = simulation.members["cam-00000"]
    for seen, expected in ((41, 42), (2**53, 8)):
        answer = Answer(seen, UpdateState.IDLE, OLD.digest)
        fleet = [replace(member, answer=answer, desired_version=7)]
        assert plan(simulation.rollout, {}, fleet, NOW).orders[0].version == expected


@pytest.mark.parametrize("stages", [(10, 5), (10, 10), (0, 100), (101,), ()])
def test_stages_must_count_up_to_no_more_than_all(stages: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Policy(stages=stages)


# --- whatever happens --------------------------------------------------------------------------------------------

KINDS = st.sampled_from([obeys, obeys, obeys, refuses, vanishes, claims, dawdles, relapses])


@given(
    kinds=st.lists(KINDS, min_size=1, max_size=40),
    stages=st.sets(st.integers(1, 100), min_size=1, max_size=4),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    wishes=st.dictionaries(st.integers(0, 25), st.sampled_from(Wish), max_size=4),
    away=st.sets(st.integers(0, 39), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_shares_hold_halts_hold_and_it_comes_to_an_end(
    kinds: list[Answering],
    stages: set[int],
    share: float,
    wishes: dict[int, Wish],
    away: set[int],
) -> None:
    """`Simulation._check` asserts the invariants at every step."""
    policy = Policy(
        stages=tuple(sorted(stages)), max_failure_share=share, timeout_s=40, vanish_s=40, soak_s=10, max_in_flight=9
    )
    rollout = rollout_of(policy, id="7" * 32)
    answering = {f"cam-{number:05d}": kind for number, kind in enumerate(kinds)}
    simulation = Simulation.of(len(kinds), rollout, answering)
    again = Simulation.of(len(kinds), rollout, answering)
    for one in (simulation, again):
        for number in away & set(range(len(kinds))):
            device = f"cam-{number:05d}"
            one.members[device] = replace(one.members[device], online=False)
        for step in range(160):
            if step == 60:
                one.members = {
                    device: replace(member, online=member.online or device not in one.orders)
                    for device, member in one.members.items()
                }
            one.step(wishes.get(step), seconds=20)
            if not one.rollout.signed:
                one.rollout = one.rollout.model_copy(update={"signed": True})
    assert simulation.history == again.history
    assert not simulation.history[-1].tell
    if simulation.rollout.phase is Phase.FINISHED:
        failed = sum(order.fate is Fate.FAILED and not order.excused for order in simulation.orders.values())
        tried = failed + sum(order.fate is Fate.COMMITTED for order in simulation.orders.values())
        assert failed <= share * tried + 1e-9
    elif simulation.rollout.phase is Phase.RUNNING:
        assert all(order.fate in {Fate.AWAY, Fate.COMMITTED} or order.excused for order in simulation.orders.values())


@given(st.integers(0, 20_000), st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True))
def test_budget_is_never_above_the_share_by_a_whole_device(count: int, stages: list[int]) -> None:
    policy = Policy(stages=tuple(sorted(stages)))
    members = [Member("cam")] * count
    for stage, percent in enumerate(policy.stages):
        assert percent * count / 100 <= budget(policy, stage, members) + 1e-6 < percent * count / 100 + 1


def halted_by_a_device_that_vanished() -> Simulation:
    policy = Policy(stages=(50, 100), soak_s=20, vanish_s=5, max_failure_share=0.1)
    simulation = Simulation.of(10, rollout_of(policy, id="7" * 32), {"cam-00000": vanishes}).run(8)
    assert simulation.fates()[Fate.FAILED] == 1
    assert simulation.rollout.phase is Phase.HALTED
    return simulation


def test_a_device_that_vanished_for_good_halts_it_once() -> None:
    simulation = halted_by_a_device_that_vanished()
    simulation.step(Wish.RESUME)
    simulation.run()
    assert simulation.rollout.phase is Phase.FINISHED
    assert simulation.rollout.reason == "9 run it, 1 failed"


def test_a_device_that_vanished_and_was_excused_counts_again_once_it_is_at_work() -> None:
    for behaves, phase in ((obeys, Phase.FINISHED), (refuses, Phase.HALTED)):
        simulation = halted_by_a_device_that_vanished()
        simulation.step(Wish.RESUME)
        assert simulation.orders["cam-00000"].excused
        simulation.answering = {"cam-00000": behaves}
        simulation.members["cam-00000"] = replace(simulation.members["cam-00000"], online=True)
        simulation.run()
        assert simulation.rollout.phase is phase
        assert not simulation.orders["cam-00000"].excused


def test_a_device_that_refused_while_it_was_being_paused_is_not_waited_for_after_the_resumption() -> None:
    policy = Policy(stages=(1,), max_failure_share=0.0, timeout_s=40, vanish_s=40, soak_s=10, max_in_flight=9)
    simulation = Simulation.of(1, rollout_of(policy, id="7" * 32), {"cam-00000": refuses})
    wishes = {1: Wish.PAUSE, 2: Wish.RESUME}
    for step in range(6):
        simulation.step(wishes.get(step), seconds=20)
    assert simulation.rollout.phase is Phase.HALTED
    assert "it detects nothing" in simulation.rollout.reason
