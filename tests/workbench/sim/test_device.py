"""The device keeps the protocol as the agent does; held against a broker in memory, on a clock turned by hand."""

from __future__ import annotations

import pytest

from tests.workbench.sim.rig import BORN_WITH, RELEASE, Rig
from wire.commands import Outcome, Phase
from wire.messages import Acks, AlertEvent, Presence
from wire.topics import Channel, topic
from wire.updates import Reported, UpdateState
from workbench.sim import mqtt, updating
from workbench.sim.delivery import ACK_TIMEOUT_S, WINDOW
from workbench.sim.personality import Personality


def test_birth_comes_first_and_the_will_says_offline():
    rig = Rig()
    rig.connect()
    connect = rig.said[0]
    assert isinstance(connect, mqtt.Connect)
    assert (connect.client_id, connect.username, connect.password, connect.clean) == (
        "sim-1",
        "sim-1",
        b"token",
        False,
    )
    assert connect.will is not None
    assert (connect.will.topic, connect.will.retain) == (topic("sim-1", Channel.STATUS), True)
    assert isinstance(rig.said[1], mqtt.Subscribe)
    births = [packet for packet in rig.said if isinstance(packet, mqtt.Publish)]
    assert (births[0].topic, births[0].retain, births[0].qos) == (topic("sim-1", Channel.STATUS), True, 1)
    assert rig.presences[0].presence is Presence.ONLINE
    assert rig.device.online
    assert rig.tally.online == 1


def test_a_refused_connection_is_tried_again_later_and_later():
    rig = Rig()
    rig.welcome = 5
    for _ in range(8):
        rig.connect()
    assert not rig.device.online
    assert rig.reconnect_after[0] <= 0.5
    assert 15.0 <= rig.reconnect_after[-1] <= 30.0
    rig.welcome = 0
    rig.connect()
    assert rig.device.online


def test_a_broker_that_says_nothing_is_given_up():
    rig = Rig()
    rig.device.opened()
    rig.device.take()
    rig.clock.now += 31.0
    rig.device.tick()
    assert rig.device.hangs_up


def test_alerts_count_up_without_gaps_and_end():
    rig = Rig(alerts_every_s=2.0)
    rig.connect()
    rig.turn(60.0)
    assert [alert.sequence for alert in rig.alerts] == list(range(1, len(rig.alerts) + 1))
    new = [alert.id for alert in rig.alerts if alert.event is AlertEvent.NEW]
    assert len(new) == len(set(new)) == rig.tally.alerts > 10
    ends = [alert.id for alert in rig.alerts if alert.event is AlertEvent.END]
    assert set(ends) < set(new)
    assert rig.device.waiting == 0
    assert len(rig.tally.delays) == len(rig.alerts)


def test_an_end_in_good_order_leaves_nothing_open():
    rig = Rig(alerts_every_s=1.0)
    rig.connect()
    rig.turn(20.0)
    rig.device.calm_down()
    assert not rig.device.at_rest
    rig.turn(5.0)
    assert rig.device.at_rest
    raised = len(rig.alerts)
    assert raised == 2 * rig.tally.alerts
    rig.turn(60.0)
    assert len(rig.alerts) == raised
    rig.device.say_goodbye()
    rig.turn(0.1)
    assert rig.presences[-1].presence is Presence.OFFLINE
    assert rig.said[-1] == mqtt.Disconnect()


def test_what_was_not_acked_goes_out_again_from_the_oldest_under_the_same_ids():
    rig = Rig(alerts_every_s=1.0, acks=False)
    rig.connect()
    rig.turn(10.0)
    first = [alert.message_id for alert in rig.alerts]
    rig.cut()
    rig.turn(5.0)  # Raised while away.
    raised = len(rig.tally.messages)
    assert raised > len(first)
    rig.messages.clear()
    rig.acks = True
    rig.connect()
    again = rig.alerts
    assert [alert.message_id for alert in again][: len(first)] == first
    assert [alert.sequence for alert in again] == list(range(1, len(again) + 1))
    assert rig.device.waiting == 0
    assert not rig.tally.delays
    assert len(rig.tally.delays_cut) == len(again) == raised


def test_a_silent_cloud_gets_no_more_than_a_window_and_then_all_of_it_again():
    rig = Rig(alerts_every_s=0.05, acks=False)
    rig.connect()
    rig.turn(ACK_TIMEOUT_S - 1.0)
    assert len(rig.alerts) == WINDOW
    rig.turn(4.0)
    assert [alert.sequence for alert in rig.alerts] == [*range(1, WINDOW + 1)] * 2
    rig.acks = True
    rig.turn(2 * ACK_TIMEOUT_S)
    stored = [alert.sequence for alert in rig.stored.values()]
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) > WINDOW


def test_a_flaky_device_loses_nothing():
    rig = Rig(Personality.FLAKY, alerts_every_s=1.0)
    for _ in range(20):
        rig.connect()
        rig.turn(30.0, step=0.5)
        if rig.connected:
            rig.cut()
        rig.turn(2.0, step=0.5)
    rig.device.calm_down()
    rig.connect()
    rig.turn(10.0)
    assert rig.device.at_rest
    assert {bytes.fromhex(message_id) for message_id in rig.stored} == rig.tally.messages
    assert rig.tally.births == 21


@pytest.mark.parametrize("kind", [Personality.STEADY, Personality.OLD])
def test_a_ping_is_accepted_and_done(kind):
    rig = Rig(kind)
    rig.connect()
    command = rig.command("ping")
    assert [(one.command_id, one.phase) for one in rig.responses] == [
        (command.message_id, Phase.ACCEPTED),
        (command.message_id, Phase.DONE),
    ]
    assert rig.responses[-1].outcome is Outcome.OK


def test_a_command_is_done_once_and_answered_each_time():
    rig = Rig()
    rig.connect()
    command = rig.command("ping")
    rig.say(Channel.COMMANDS, command)
    assert [one.phase for one in rig.responses] == [Phase.ACCEPTED, Phase.DONE, Phase.DONE]
    assert rig.tally.endings == {Outcome.OK: 1}


def test_a_slow_device_does_not_do_what_expired_while_it_lay_there():
    rig = Rig(Personality.SLOW)
    rig.connect()
    rig.command("ping", life_s=0.5)
    rig.turn(5.0)
    assert [(one.phase, one.outcome) for one in rig.responses] == [(Phase.DONE, Outcome.EXPIRED)]


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [(Personality.OLD, "mute", "0.0.9"), (Personality.STEADY, "snapshot", "simulated")],
)
def test_what_a_device_can_t_do_is_refused_in_words(kind, name, why):
    rig = Rig(kind)
    rig.connect()
    rig.command(name)
    assert rig.responses[-1].outcome is Outcome.REFUSED
    assert why in rig.responses[-1].reason


def test_mute_silences_for_as_long_as_it_says():
    rig = Rig(alerts_every_s=1.0)
    rig.connect()
    rig.command("mute", for_s=50)
    rig.turn(50.0)
    assert rig.alerts == []
    rig.turn(20.0)
    assert rig.alerts


@pytest.mark.parametrize("for_s", [-1, "long", True, None])
def test_a_mute_that_says_nonsense_is_refused(for_s):
    rig = Rig()
    rig.connect()
    rig.command("mute", for_s=for_s)
    assert rig.responses[-1].outcome is Outcome.REFUSED


def test_answers_wait_for_their_ack_over_connections():
    rig = Rig(acks=False)
    rig.connect()
    rig.command("ping")
    said = [one.message_id for one in rig.responses]
    rig.cut()
    rig.messages.clear()
    rig.acks = True
    rig.connect()
    assert [one.message_id for one in rig.responses] == said
    assert rig.device.waiting == 0


def test_a_slow_device_acknowledges_late():
    rig = Rig(Personality.SLOW)
    rig.connect()
    mid = rig.say(Channel.ACKS, rig.made(Acks, message_ids=("f" * 32,)))
    rig.turn(0.5)
    assert mqtt.Puback(mid) not in rig.said
    rig.turn(0.5)
    assert mqtt.Puback(mid) in rig.said


def test_an_update_walks_through_the_agent_s_states():
    rig = Rig()
    rig.connect()
    rig.desire(1)
    rig.turn(0.1)
    assert rig.device.looks
    assert rig.device.update.state is UpdateState.DOWNLOADING
    rig.device.looked(rig.device.update.turn, lambda update: updating.fetched(update, 2.0))
    rig.turn(60.0)
    assert rig.states == [
        "idle", "queued", "downloading", "verifying", "proving", "shadowing", "installing", "probation", "committed",
    ]  # fmt: skip
    last = rig.of(Reported)[-1]
    assert (last.running, last.previous, last.desired_version) == (RELEASE, BORN_WITH, 1)


def test_what_the_signed_documents_forbid_is_rejected():
    rig = Rig()
    rig.connect()
    rig.desire(1)
    rig.turn(0.1)
    rig.device.looked(rig.device.update.turn, lambda update: updating.refused(update, "ReleaseNotAllowed: no"))
    rig.turn(60.0)
    last = rig.of(Reported)[-1]
    assert (last.state, last.running, last.reason) == (UpdateState.REJECTED, BORN_WITH, "ReleaseNotAllowed: no")


def test_an_unreachable_repository_is_asked_again():
    rig = Rig()
    rig.connect()
    rig.desire(1)
    rig.turn(0.1)
    rig.device.looks = False
    rig.device.looked(rig.device.update.turn, lambda update: updating.unreachable(update, "lost", 5.0))
    rig.turn(4.0)
    assert not rig.device.looks
    rig.turn(2.0)
    assert rig.device.looks


def test_an_unreachable_repository_is_waited_for_as_long_as_the_rollout_allows():
    rig = Rig()
    rig.connect()
    rig.desire(1, timeout_s=12.0)
    rig.turn(0.1)
    for _ in range(3):
        assert rig.device.looks
        rig.device.looks = False
        rig.device.looked(rig.device.update.turn, lambda update: updating.unreachable(update, "lost", 5.0))
        rig.turn(5.1)
    assert not rig.device.looks
    last = rig.of(Reported)[-1]
    assert (last.state, last.running, last.reason) == (UpdateState.TIMED_OUT, BORN_WITH, "lost")
    rig.desire(2)
    rig.turn(0.1)
    assert rig.device.looks
    assert rig.device.update.waited_s == 0.0


def test_what_fails_on_the_device_fails_for_good_after_as_many_attempts_as_the_agent_s():
    rig = Rig()
    rig.connect()
    rig.desire(1)
    rig.turn(0.1)
    for _ in range(updating.MAX_ATTEMPTS):
        assert rig.device.looks
        rig.device.looks = False
        rig.device.looked(rig.device.update.turn, lambda update: updating.failed(update, "NoRoom: full", 5.0))
        rig.turn(5.1)
    assert not rig.device.looks
    last = rig.of(Reported)[-1]
    assert (last.state, last.running, last.reason) == (UpdateState.FAILED, BORN_WITH, "NoRoom: full")
    rig.desire(2)
    rig.turn(0.1)
    assert rig.device.looks
    assert rig.device.update.attempts == 0


def test_an_answer_to_what_is_no_longer_wanted_changes_nothing():
    rig = Rig()
    rig.connect()
    rig.desire(1)
    rig.turn(0.1)
    old = rig.device.update.turn
    rig.desire(2, None)
    assert rig.device.update.state is UpdateState.CANCELED
    rig.device.looked(old, lambda update: updating.fetched(update, 0.0))
    rig.turn(30.0)
    assert rig.device.update.state is UpdateState.CANCELED


def test_a_paused_update_waits_and_an_older_version_is_old_news():
    rig = Rig()
    rig.connect()
    rig.desire(3)
    rig.desire(4, paused=True)
    assert rig.device.update.state is UpdateState.PAUSED
    rig.desire(2)
    rig.turn(10.0)
    assert rig.device.update.state is UpdateState.PAUSED
    rig.desire(5)
    rig.turn(0.1)
    assert rig.device.update.state is UpdateState.DOWNLOADING


def test_another_release_is_taken_up_after_probation():
    other = RELEASE.model_copy(update={"digest": "sha256:" + "b" * 64, "version": "2.0.0"})
    rig = Rig()
    rig.connect()
    rig.desire(1)
    rig.turn(0.1)
    rig.device.looked(rig.device.update.turn, lambda update: updating.fetched(update, 0.0))
    while rig.device.update.state is not UpdateState.PROBATION:
        rig.turn(0.1)
    rig.device.looks = False
    rig.desire(2, other)
    rig.turn(60.0)
    assert rig.device.looks
    rig.device.looked(rig.device.update.turn, lambda update: updating.fetched(update, 0.0))
    rig.turn(60.0)
    assert (rig.device.update.state, rig.device.update.running) == (UpdateState.COMMITTED, other)


def test_an_old_agent_refuses_a_release_instead_of_hanging():
    rig = Rig(Personality.OLD)
    rig.connect()
    rig.desire(1)
    rig.turn(1.0)
    last = rig.of(Reported)[-1]
    assert (last.state, last.desired_version) == (UpdateState.REJECTED, 1)
    assert "0.0.9" in last.reason
    assert rig.presences[0].cameras == ()


def test_telemetry_counts_the_alerts():
    rig = Rig(alerts_every_s=1.0)
    rig.connect()
    rig.turn(45.0)
    assert len(rig.telemetry) == 2
    assert sum(rig.telemetry[-1].alerts.values()) > 20
    assert all(
        packet.qos == 0 for packet in rig.said if isinstance(packet, mqtt.Publish) and "telemetry" in packet.topic
    )


def test_a_message_for_another_device_is_counted_and_not_understood():
    rig = Rig()
    rig.connect()
    strange = rig.made(Acks, message_ids=("f" * 32,)).model_copy(update={"device": "sim-2"})
    rig.device.heard(mqtt.Publish(topic("sim-2", Channel.ACKS), strange.model_dump_json().encode(), 1, mid=9))
    assert rig.tally.refusals == {"NotOurs": 1}
