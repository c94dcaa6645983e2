from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.deliver.messages import Moment, alert_message, answer_of, change_of
from agent.deliver.telemetry import Snapshot, telemetry_message
from tests.agent.deliver.samples import WALL, ManualClock, boot, change
from wire.codec import decode, encode
from wire.errors import MessageInvalid
from wire.messages import Alert, AlertEvent, BandState, BudgetLeft, Decision, Telemetry, TunedBand, Verdict

MOMENT = Moment(1000.0, WALL)


def message(made):
    return alert_message(made, boot=boot(), moment=MOMENT, message_id="0" * 32, sequence=7)


def test_monotonic_times_become_wall_times_of_the_moment_of_the_message():
    alert = message(change(first_at=990.0, last_at=999.0, decided_at=1000.0))
    assert alert.seen_first_at == WALL - timedelta(seconds=10)
    assert alert.seen_last_at == WALL - timedelta(seconds=1)
    assert alert.decided_at == alert.made_at == WALL
    assert alert.sequence == 7


def test_a_clock_that_jumps_moves_all_times_of_a_message_together():
    clock = ManualClock()
    clock.set_wall(WALL + timedelta(days=365))
    alert = alert_message(change(), boot=boot(), moment=Moment.now(clock), message_id="0" * 32, sequence=1)
    assert alert.made_at - alert.seen_first_at == timedelta(seconds=10)


def test_a_change_comes_back_from_its_message():
    made = change(wants_picture=True, zone="gate")
    assert change_of(decode(Alert, encode(message(made))), MOMENT) == made


def test_a_change_of_an_earlier_boot_lies_as_far_back_as_it_is_old():
    restored = change_of(message(change(last_at=1000.0)), Moment(5.0, WALL + timedelta(seconds=60)))
    assert restored.last_at == pytest.approx(-55.0)


def test_a_box_that_reaches_over_the_edge_is_cut_there():
    assert message(change(box=(-0.1, 0.5, 1.2, 1.1))).box == (0.0, 0.5, 1.0, 1.0)


def test_a_reason_that_is_too_long_is_cut():
    assert len(message(change(reason="x" * 900)).reason) == 500


def test_only_an_alert_that_wants_a_picture_names_one():
    assert message(change()).picture is None
    assert message(change(wants_picture=True)).picture == f"/v1/pictures/{1:032x}"


@pytest.mark.parametrize("fields", [{"label": ""}, {"score": 1.5}, {"camera": "a/b"}, {"event": AlertEvent.END}])
def test_a_change_that_breaks_the_contract_is_named(fields):
    with pytest.raises(MessageInvalid):
        message(change(**fields))


def test_each_message_of_a_boot_has_the_next_number():
    one = boot()
    numbers = [
        alert_message(change(), boot=one, moment=MOMENT, message_id="0" * 32, sequence=1).boot_seq for _ in range(3)
    ]
    assert numbers == [1, 2, 3]


def test_a_verdict_becomes_an_answer():
    verdict = Verdict(
        message_id="1" * 32, device="cam-1", made_at=WALL, question_id="2" * 32, alert_id="3" * 32,
        decision=Decision.RETRACTED, model="big 1", took_ms=3.0, late=True,
    )  # fmt: skip
    answer = answer_of(verdict)
    assert (answer.question_id, answer.alert_id, answer.decision) == ("2" * 32, "3" * 32, Decision.RETRACTED)
    assert answer.box is None


def test_telemetry_with_more_errors_than_the_contract_takes_keeps_the_commonest():
    snapshot = Snapshot(1.0, 2.0, 3.0, errors={f"E{n}": n for n in range(100)})
    built = telemetry_message(snapshot, boot=boot(), made_at=WALL, message_id="0" * 32)
    assert decode(Telemetry, encode(built)).errors == {f"E{n}": n for n in range(36, 100)}


def test_telemetry_with_more_bands_than_fit_keeps_the_first():
    digest = "sha256:" + "ab" * 32
    bands = tuple(
        TunedBand(camera=f"camera {n}", label="person", lower=0.2, upper=0.8, state=BandState.MET, reason="x" * 400,
                  model_digest=digest)
        for n in range(80)
    )  # fmt: skip
    built = telemetry_message(Snapshot(1.0, 2.0, 3.0, bands=bands), boot=boot(), made_at=WALL, message_id="0" * 32)
    told = decode(Telemetry, encode(built)).bands
    assert told == bands[: len(told)]
    assert len(told) == 16


def test_times_do_not_depend_on_which_clock_reading_came_first():
    assert MOMENT.monotonic_at(MOMENT.wall_at(123.25)) == pytest.approx(123.25)
    assert replace(MOMENT, monotonic=0.0).wall_at(0.0) == WALL


def test_telemetry_with_more_budgets_than_fit_keeps_the_whole_devices():
    budgets = (
        BudgetLeft(allowance="200MB/month", left=1, most=2),
        *(
            BudgetLeft(camera=f"camera {n} {'x' * 50}", allowance=" " * 400 + "9MB/day", left=n, most=10**9)
            for n in range(64)
        ),
    )
    built = telemetry_message(
        Snapshot(1.0, 2.0, 3.0, budgets=budgets), boot=boot(), made_at=WALL, message_id="0" * 32
    )
    told = decode(Telemetry, encode(built)).budgets
    assert told == budgets[: len(told)]
    assert len(told) == 16
