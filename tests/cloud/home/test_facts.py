"""What is stored of a device, and what is shown of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloud.home.facts import MAX_LABELS, facts
from cloud.store.home import DeviceRows
from tests.cloud.home.made import command, record, settings, stands
from tests.cloud.samples import NOW, new_id, status
from wire.commands import Outcome
from wire.messages import AlertState, Presence
from wire.updates import Desired, ModelRef, Reported, UpdateState

SSD = ModelRef(name="ssd", version="1.0.0", digest=f"sha256:{'1' * 64}")
SSD_2 = ModelRef(name="ssd", version="1.1.0", digest=f"sha256:{'2' * 64}")
NANO = ModelRef(name="nano", version="1.0.0", digest=f"sha256:{'3' * 64}")


def look(rows, known=None, **changes):
    return facts(rows, known or {}, settings(**changes), NOW)


def label(*alerts, online=True, **changes):
    (camera,) = look(
        DeviceRows(record(presence=Presence.ONLINE if online else Presence.OFFLINE), recent=alerts), **changes
    ).cameras
    (one,) = camera.labels
    return one


def test_a_confirmed_alert_turns_its_label_on_until_its_delay_is_over():
    there = label(stands(500))
    assert (there.on, there.lasting, there.count) == (True, True, 1)
    assert label(stands(), stands(3)).count == 2
    left = label(stands(29, ended=True))
    assert (left.on, left.lasting, left.count) == (True, False, 0)
    gone = label(stands(30, ended=True))
    assert (gone.on, gone.lasting, gone.count) == (False, False, 0)


def test_what_is_not_confirmed_counts_only_where_it_is_wanted():
    unsure = stands(state=AlertState.PROVISIONAL)
    assert not label(unsure).on
    assert label(unsure, provisional=True).on
    assert not label(stands(state=AlertState.RETRACTED), provisional=True).on


def test_an_alert_without_an_end_goes_with_its_device_or_after_an_hour():
    assert not label(stands(60), online=False).on
    assert not label(stands(3600)).on


def test_labels_that_were_shown_before_stay_and_there_is_a_bound():
    rows = DeviceRows(record(), recent=(stands(label="person"),))
    (camera,) = look(rows, {"yard": ("cat",), "gone": ("dog",)}).cameras
    assert [one.label for one in camera.labels] == ["cat", "person"]
    flood = tuple(stands(label=f"label {number}") for number in range(100))
    (camera,) = look(DeviceRows(record(), recent=flood), {"yard": ("cat",)}).cameras
    assert len(camera.labels) == MAX_LABELS
    assert camera.labels[0].label == "cat"


def test_a_device_that_never_came_has_no_cameras():
    one = look(DeviceRows(record(status=None, online_status=None, last_seen_at=None, presence=Presence.OFFLINE)))
    assert (one.cameras, one.model, one.online, one.why) == ((), None, False, "never seen")


def did(for_s, ago_s=10.0, **arguments):
    done = NOW - timedelta(seconds=ago_s)
    arguments = {"for_s": for_s, **arguments}
    return command("mute", arguments=arguments, outcome=Outcome.OK, finished_at=done)


@pytest.mark.parametrize(
    ("mutes", "muted"),
    [
        ((), False),
        ((did(60),), True),
        ((did(5),), False),
        ((did(0), did(60, 20)), False),
        ((did(60, rule="people"),), False),
        ((did(60, camera="yard"), did(60, 20)), True),
        ((command("mute", outcome=Outcome.FAILED), did(60)), True),
        ((command("mute"),), False),
        ((did("much"),), False),
    ],
)
def test_the_switch_follows_the_latest_mute_of_the_whole_device(mutes, muted):
    assert look(DeviceRows(_started(1000), mutes=mutes)).muted is muted


def _started(ago_s):
    birth = status(started_at=NOW - timedelta(seconds=ago_s))
    return record(status=birth, online_status=birth)


def test_a_device_that_started_since_has_forgotten_that_it_was_muted():
    assert not look(DeviceRows(_started(5), mutes=(did(60),))).muted


def reported(running, **changes):
    fields = {
        "message_id": new_id(), "device": "cam-1", "made_at": NOW, "boot_id": new_id(), "boot_seq": 1,
        "state": UpdateState.IDLE, "running": running,
    }  # fmt: skip
    return Reported.model_validate(fields | changes)


def wants(model, **changes):
    return Desired(
        message_id=new_id(), device="cam-1", made_at=NOW, version=1, group="default", model=model, **changes
    )


@pytest.mark.parametrize(
    ("says", "desired", "shows"),
    [
        (None, None, ("ssd", "1", "1")),
        (reported(SSD), None, ("ssd", "1.0.0", "1.0.0")),
        (reported(SSD), wants(SSD), ("ssd", "1.0.0", "1.0.0")),
        (reported(SSD), wants(SSD_2), ("ssd", "1.0.0", "1.1.0")),
        (reported(SSD), wants(NANO), ("Detection model", "ssd 1.0.0", "nano 1.0.0")),
        (reported(SSD), wants(NANO, paused=True), ("ssd", "1.0.0", "1.0.0")),
        (reported(SSD, quarantined=(NANO.digest,)), wants(NANO), ("ssd", "1.0.0", "1.0.0")),
    ],
)
def test_an_update_is_there_when_the_rollout_wants_another_model_that_did_no_harm(says, desired, shows):
    model = look(DeviceRows(record(reported=says), desired=desired)).model
    assert model is not None
    assert (model.title, model.installed, model.latest) == shows


def test_the_last_answer_is_told_in_a_few_words():
    refused = command(outcome=Outcome.REFUSED, reason="it is pinned")
    one = look(DeviceRows(record(), last_command=refused))
    assert one.answer == "ping: refused"
    assert one.answer_facts["reason"] == "it is pinned"
    assert look(DeviceRows(record(), last_command=command())).answer == "ping: queued"
