"""The update worker: each failure at each step, and what others may ask meanwhile."""

from __future__ import annotations

import logging

import pytest

from agent.errors import (
    CandidateRejected,
    ClockImplausible,
    DownloadFailed,
    MetadataExpired,
    MetadataInvalid,
    ModelStoreBroken,
    NoModelOpens,
    NoRoom,
    ProofOutOfMemory,
    ProofPostponed,
    ReleaseNotAllowed,
    RepositoryUnreachable,
    UpdateMoveRefused,
)
from agent.update.settings import UpdateSettings
from tests.agent.update.worker.bench import BORN, FIGURES, NEW, NEWER, OLD, Device, named, on, wanted
from wire.updates import Gates, UpdateState, Window

S = UpdateState
WAY = [S.QUEUED, S.DOWNLOADING, S.VERIFYING, S.PROVING, S.SHADOWING, S.INSTALLING, S.PROBATION, S.COMMITTED]


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    on(device, OLD)
    return device


def test_the_whole_way(device):
    facts = device.update(wanted(version=2, deployment_id="d" * 32))
    assert device.states() == [S.COMMITTED, *WAY]
    assert (facts.running, facts.previous, facts.target) == (NEW, OLD, NEW)
    assert facts.trial == FIGURES
    assert facts.trust == "ok"
    assert (facts.desired_version, facts.deployment_id) == (2, "d" * 32)
    assert device.works() == NEW
    assert device.live.running.ref == NEW
    held = {path.name for path in (device.folder / "data/models/objects").iterdir()}
    assert held == {OLD.digest[7:], NEW.digest[7:]}


def test_its_lines_in_the_log_name_the_rollout(device, caplog):
    with caplog.at_level(logging.INFO):
        device.update(wanted(version=2, deployment_id="d" * 32))
    said = {
        one.getMessage().partition(":")[0] for one in caplog.records if vars(one).get("deployment_id") == "d" * 32
    }
    assert {"update is queued", "update is installing", "update is committed"} <= said


def test_only_two_models_are_kept_besides_the_built_in(device):
    on(device, NEW, 2)
    on(device, NEWER, 3)
    held = {path.name for path in (device.folder / "data/models/objects").iterdir()}
    assert held == {NEW.digest[7:], NEWER.digest[7:]}
    assert not (device.folder / "data/models/staging").exists()


def test_no_trial_where_the_gates_ask_for_none(device):
    device.update(wanted(version=2, gates=Gates(shadow_frames=0)))
    assert S.SHADOWING not in device.states()
    assert "trial" not in device.script.calls


def test_where_there_is_no_memory_for_two_the_trial_is_left_out_and_the_report_says_why(device):
    device.live.untried = "no trial on live frames: 43 MiB are available where a second model may take 122 MiB"
    facts = device.update(wanted(version=2))
    assert facts.state is S.COMMITTED
    assert S.SHADOWING not in device.states()
    assert "trial" not in device.script.calls
    assert facts.trial is None
    told = {report.state: report.reason for report in device.reports}
    assert told[S.INSTALLING] == told[S.PROBATION] == device.live.untried
    assert facts.reason == (
        f"opened in place; 12 ms from the last answer of that one to its first; {device.live.untried}"
    )


def test_the_gap_of_the_switch_is_reported(device):
    reason = device.update(wanted(version=2)).reason
    assert reason == "opened beside the model before; 12 ms from the last answer of that one to its first"


@pytest.mark.parametrize("step", ["switch:new", "switch:old"])
def test_where_no_model_opens_any_more_the_next_start_returns_to_the_one_before(device, step):
    """Whether on the way to the new one or back; it is not the new one's fault unless that did harm before."""
    device.script.plan["watch"] = [named(CandidateRejected)]
    device.script.plan[step] = [named(NoModelOpens)]
    facts = device.update(wanted(version=2))
    assert facts.state is S.ROLLING_BACK
    assert [error.name for error in device.errors][-1] == "NoModelOpens"
    device.restart()
    assert (device.booted.state, device.live.running.ref, device.works()) == (S.ROLLED_BACK, OLD, OLD)
    assert device.booted.quarantined == ((NEW.digest,) if step == "switch:old" else ())


def test_each_state_is_on_disk_before_its_act(device):
    on_disk = {}
    for step in ("fetch", "prove", "trial", "switch:new", "watch"):
        device.script.plan[step] = [lambda step=step: on_disk.setdefault(step, device.records.load().state)]
    device.update(wanted(version=2))
    assert on_disk == {
        "fetch": S.DOWNLOADING,
        "prove": S.PROVING,
        "trial": S.SHADOWING,
        "switch:new": S.INSTALLING,
        "watch": S.PROBATION,
    }


@pytest.mark.parametrize("step", ["group_release", "fetch", "prove", "trial"])
@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ReleaseNotAllowed, S.REJECTED),
        (CandidateRejected, S.REJECTED),
        (MetadataInvalid, S.FAILED),
        (MetadataExpired, S.FAILED),
        (ClockImplausible, S.FAILED),
        (DownloadFailed, S.FAILED),
        (NoRoom, S.FAILED),
        (ModelStoreBroken, S.FAILED),
        (ProofOutOfMemory, S.FAILED),
        (RepositoryUnreachable, S.TIMED_OUT),
        (ProofPostponed, S.TIMED_OUT),
    ],
)
def test_a_failure_before_the_switch_changes_nothing(device, step, error, end):
    device.script.plan[step] = [named(error) for _ in range(1000)]
    facts = device.update(wanted(version=2))
    assert facts.state is end
    assert error.__name__ in facts.reason
    assert (facts.running, facts.previous, facts.quarantined) == (OLD, BORN, ())
    assert device.works() == OLD
    assert device.live.running.ref == OLD
    assert not any(call.startswith("switch") for call in device.script.calls)


@pytest.mark.parametrize("step", ["group_release", "fetch", "prove", "trial"])
@pytest.mark.parametrize(
    "error",
    [
        MetadataExpired,
        DownloadFailed,
        NoRoom,
        ModelStoreBroken,
        RepositoryUnreachable,
        ProofPostponed,
        ProofOutOfMemory,
    ],
)
def test_what_passes_is_tried_again(device, step, error):
    device.script.plan[step] = [named(error)] * 3
    assert device.update(wanted(version=2)).state is S.COMMITTED
    assert device.script.calls.count(step) == 4
    assert device.works() == NEW


def test_a_shortage_of_memory_is_waited_out_with_growing_pauses_and_told(device):
    device.script.plan["prove"] = [named(ProofPostponed)] * 9
    facts = device.update(wanted(version=2))
    assert facts.state is S.COMMITTED
    assert facts.quarantined == ()
    told = [report for report in device.reports if report.state is S.QUEUED and "ProofPostponed" in report.reason]
    assert len({report.reason for report in told}) == 1
    assert device.script.calls.count("fetch") == 10, (
        "the repository is asked each time, and goes on from what lies there"
    )
    assert [error.name for error in device.errors] == ["ProofPostponed"] * 9


def test_trust_is_told_by_name_and_again_when_it_is_well(device):
    device.script.plan["group_release"] = [named(MetadataExpired)]
    device.update(wanted(version=2))
    told = [report.trust for report in device.reports]
    assert "MetadataExpired" in told
    assert told[-1] == "ok"


def test_expired_metadata_raises_the_alarm_while_nothing_is_desired(device):
    device.script.plan["group_release"] = [named(MetadataExpired)]
    device.at_rest = [lambda: None]
    facts = device.update()
    assert facts.trust == "MetadataExpired"
    assert facts.running == OLD


def test_what_was_downloaded_is_not_what_was_signed(device):
    device.repository.spoil = True
    facts = device.update(wanted(version=2))
    assert facts.state is S.FAILED
    assert "DownloadFailed" in facts.reason
    assert "prove" not in device.script.calls


def test_a_release_that_is_held_is_not_fetched_again(device):
    on(device, NEW, 2)
    assert device.update(wanted(OLD, 3)).state is S.COMMITTED
    assert "fetch" not in device.script.calls


def test_already_installed(device):
    assert device.update(wanted(OLD, 2)).state is S.ALREADY_INSTALLED
    assert "fetch" not in device.script.calls


@pytest.mark.parametrize(("minimum", "end"), [(2, S.COMMITTED), (3, S.REJECTED)])
def test_nothing_below_the_signed_minimum(device, minimum, end):
    device.repository.min_release = {"detector": minimum}
    facts = device.update(wanted(version=2))
    assert facts.state is end
    assert ("ReleaseTooOld" in facts.reason) == (end is S.REJECTED)


def test_a_release_that_is_not_allowed(device):
    device.repository.allowed = (OLD,)
    facts = device.update(wanted(version=2))
    assert facts.state is S.REJECTED
    assert "ReleaseNotAllowed" in facts.reason


def test_harm_in_probation_brings_the_model_before_back_and_is_not_tried_again(device):
    device.script.plan["watch"] = [CandidateRejected("it sees nothing any more", "")]
    facts = device.update(wanted(version=2))
    assert device.states()[-3:] == [S.PROBATION, S.ROLLING_BACK, S.ROLLED_BACK]
    assert facts.running == OLD
    assert facts.reason == "it sees nothing any more"
    assert facts.quarantined == (NEW.digest,)
    assert device.works() == OLD
    device.restart()
    facts = device.update(wanted(version=3))
    assert facts.state is S.REJECTED
    assert "quarantined" in facts.reason


def test_a_candidate_that_cannot_be_switched_to(device):
    device.script.plan["switch:new"] = [named(CandidateRejected)]
    facts = device.update(wanted(version=2))
    assert facts.state is S.ROLLED_BACK
    assert (facts.running, device.live.running.ref, device.works()) == (OLD, OLD, OLD)
    assert facts.quarantined == (NEW.digest,)


def test_the_built_in_model_where_the_one_before_cannot_be_opened(device):
    device.script.plan["watch"] = [named(CandidateRejected)]
    device.script.plan["switch:old"] = [named(CandidateRejected)]
    facts = device.update(wanted(version=2))
    assert facts.state is S.ROLLED_BACK
    assert (facts.running, device.works()) == (BORN, BORN)


def test_the_built_in_model_where_the_one_before_has_become_too_old(device):
    device.repository.min_release = {"detector": 2}
    device.script.plan["watch"] = [named(CandidateRejected)]
    assert device.update(wanted(version=2)).running == BORN


def test_a_rollback_that_fails_is_tried_again_at_the_next_start(device):
    device.script.plan["watch"] = [named(CandidateRejected)]
    device.script.plan["switch:old"] = [named(CandidateRejected)]
    device.script.plan["switch:born"] = [named(CandidateRejected)]
    assert device.update(wanted(version=2)).state is S.ROLLBACK_FAILED
    device.restart()
    assert device.booted.state is S.ROLLED_BACK
    assert device.live.running.ref == OLD
    assert device.works() == OLD


def test_rollback_on_request_holds_until_something_new_is_desired(device):
    on(device, NEW, 2)
    device.worker.rollback("it misses dogs")
    facts = device.update()
    assert (facts.state, facts.running, facts.reason) == (S.ROLLED_BACK, OLD, "it misses dogs")
    assert facts.quarantined == ()
    device.restart()
    assert not device.worker.desired(wanted(version=2)), "the retained message again"
    assert device.update().running == OLD
    device.restart()
    assert device.update(wanted(version=3)).running == NEW


def test_rollback_on_request_in_probation(device):
    device.script.plan["watch"] = [lambda: device.worker.rollback("enough")]
    facts = device.update(wanted(version=2))
    assert (facts.state, facts.running) == (S.ROLLED_BACK, OLD)


def test_rollback_on_request_drops_an_update_under_way(device):
    device.script.plan["fetch"] = [lambda: device.worker.rollback("enough")]
    facts = device.update(wanted(version=2))
    assert device.states()[-3:] == [S.CANCELED, S.ROLLING_BACK, S.ROLLED_BACK]
    assert facts.running == BORN


def test_there_is_nothing_behind_the_model_a_device_was_born_with(tmp_path):
    with pytest.raises(UpdateMoveRefused, match="born"):
        Device(tmp_path).worker.rollback("")


@pytest.mark.parametrize("step", ["group_release", "fetch", "prove", "trial"])
def test_cancel_before_the_switch(device, step):
    device.script.plan[step] = [device.worker.cancel]
    assert device.update(wanted(version=2)).state is S.CANCELED
    assert device.works() == OLD


def test_cancel_comes_too_late_after_the_switch(device):
    refused = []

    def cancel():
        with pytest.raises(UpdateMoveRefused):
            device.worker.cancel()
        refused.append(True)

    device.script.plan["watch"] = [cancel]
    assert device.update(wanted(version=2)).state is S.COMMITTED
    assert refused


@pytest.mark.parametrize("step", ["fetch", "prove", "trial"])
def test_pause_and_resume(device, step):
    device.script.plan[step] = [device.worker.pause]
    assert device.update(wanted(version=2)).state is S.PAUSED
    device.restart()
    device.worker.resume()
    assert device.update().state is S.COMMITTED


def test_a_paused_rollout_waits_and_goes_on(device):
    assert device.update(wanted(version=2, paused=True)).state is S.PAUSED
    device.restart()
    assert device.update(wanted(version=3)).state is S.COMMITTED
    device.restart()
    facts = device.update(wanted(version=4, paused=True))
    assert (facts.state, facts.desired_version) == (S.COMMITTED, 4), "what is done stays done"


@pytest.mark.parametrize("step", ["group_release", "fetch", "prove", "trial"])
def test_what_is_desired_next_replaces_what_is_not_switched_yet(device, step):
    device.script.plan[step] = [lambda: device.worker.desired(wanted(NEWER, 3))]
    facts = device.update(wanted(version=2))
    assert (facts.state, facts.running) == (S.COMMITTED, NEWER)
    assert "switch:new" not in device.script.calls


def test_what_is_desired_in_probation_waits_for_its_end(device):
    device.script.plan["watch"] = [lambda: device.worker.desired(wanted(NEWER, 3))]
    facts = device.update(wanted(version=2))
    assert (facts.running, facts.previous) == (NEWER, NEW)


def test_nothing_is_desired_any_more(device):
    device.script.plan["fetch"] = [lambda: device.worker.desired(wanted(None, 3))]
    facts = device.update(wanted(version=2))
    assert (facts.state, facts.desired_version) == (S.CANCELED, 3)


@pytest.mark.parametrize("version", [1, 0])
def test_old_news_is_ignored(device, version):
    assert not device.worker.desired(wanted(version=1))
    assert device.update().state is S.COMMITTED


@pytest.mark.parametrize("step", ["fetch", "prove", "trial"])
def test_a_step_that_takes_too_long(device, step):
    def dawdle():
        device.clock.now += 4000

    device.script.plan[step] = [dawdle]
    facts = device.update(wanted(version=2, timeout_s=3600))
    assert facts.state is S.TIMED_OUT
    assert device.works() == OLD


def test_the_time_taken_adds_up_over_restarts(device):
    def off():
        device.clock.now += 2000
        device.worker.stop()

    device.script.plan["fetch"] = [off, off]
    device.update(wanted(version=2, timeout_s=3600))
    device.restart()
    assert device.booted.state is S.QUEUED
    assert device.booted.attempts == 0, "an orderly end is no failed attempt"
    assert device.update().state is S.QUEUED
    device.restart()
    assert device.update().state is S.TIMED_OUT


def test_it_waits_for_the_window_and_the_jitter_and_counts_neither(device):
    device.chance = 0.5
    at = []
    device.script.plan["fetch"] = [lambda: at.append(device.clock.wall())]
    window = Window(from_minute=120, to_minute=240)
    facts = device.update(wanted(version=2, windows=(window,), start_jitter_s=1200, timeout_s=60))
    assert facts.state is S.COMMITTED
    assert at[0].strftime("%a %H:%M") == "Tue 02:10"


def test_a_window_that_never_opens_is_said(device):
    facts = device.update(wanted(version=2, windows=(Window(from_minute=60, to_minute=60),)))
    assert facts.state is S.FAILED
    assert "window" in facts.reason


def test_progress_is_told_but_not_too_often(device):
    device.update(wanted(version=2))
    told = [report.progress for report in device.reports if report.progress is not None]
    assert told == [0.0]


def test_a_start_after_crashes_in_probation(device):
    device.script.plan["watch"] = [lambda: (_ for _ in ()).throw(KeyboardInterrupt)]
    with pytest.raises(KeyboardInterrupt):
        device.update(wanted(version=2))
    device.restart()
    assert (device.booted.state, device.booted.crashes, device.live.running.ref) == (S.PROBATION, 1, NEW)
    device.restart()
    assert (device.booted.state, device.live.running.ref) == (S.ROLLED_BACK, OLD)
    assert device.booted.quarantined == (NEW.digest,)


def test_an_orderly_end_in_probation_is_no_crash(device):
    for _ in range(4):
        device.script.plan["watch"] = [device.worker.stop]
        device.update(wanted(version=2))
        device.restart()
        assert (device.booted.state, device.booted.crashes) == (S.PROBATION, 0)
    assert device.update().state is S.COMMITTED


def test_crashes_before_the_switch_are_bounded(tmp_path):
    device = Device(tmp_path, UpdateSettings(min_free_mib=0, max_model_mib=1, max_attempts=3))
    for _ in range(3):
        device.script.plan["prove"] = [lambda: (_ for _ in ()).throw(KeyboardInterrupt)]
        device.worker.desired(wanted())
        with pytest.raises(KeyboardInterrupt):
            device.worker.run()
        device.restart()
    assert device.booted.state is S.QUEUED
    device.script.plan["prove"] = [lambda: (_ for _ in ()).throw(KeyboardInterrupt)]
    with pytest.raises(KeyboardInterrupt):
        device.worker.run()
    device.restart()
    assert device.booted.state is S.FAILED
    assert device.live.running.ref == BORN


def test_no_room(tmp_path):
    device = Device(tmp_path, UpdateSettings(min_free_mib=100_000, max_model_mib=100_000, max_attempts=2))
    facts = device.update(wanted())
    if "NoRoom" not in facts.reason:
        pytest.skip("this machine has 200 GB to spare")
    assert (facts.state, facts.running) == (S.FAILED, BORN)


def test_it_runs_in_a_thread_of_its_own_and_ends_when_told(device):
    device.at_rest = [lambda: None] * 3
    device.worker.start()
    assert device.worker.join(10)
