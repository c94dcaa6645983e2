"""Each lie is one: what our own codec would take is no lie, and an honest message beside it goes through."""

from __future__ import annotations

import pytest

from tests.workbench.sim.rig import Rig
from wire.codec import decode_on
from wire.errors import WireError
from wire.messages import Alert
from wire.topics import Channel, parse
from workbench.sim import mqtt
from workbench.sim.alerts import alert_of, seen
from workbench.sim.dice import Dice
from workbench.sim.lies import COUNTED_AS, Lie, tell
from workbench.sim.personality import Personality
from workbench.sim.speech import Envelope

RIG = Rig()
ALERT = alert_of(
    seen(Dice(1), "a" * 32, 1, RIG.clock.wall()),
    Envelope("sim-1", "b" * 32, "c" * 32, 1, RIG.clock.wall()),
    sequence=1,
    ends=False,
    model_digest="sha256:" + "0" * 64,
)
SAID = [lie for lie in Lie if lie is not Lie.OTHERS_ID]


def told(lie):
    return tell(lie, ALERT, "sim-2", "d" * 32, 7)


@pytest.mark.parametrize("lie", [lie for lie in SAID if COUNTED_AS.get(lie, "").startswith("ingest.refused.")])
def test_the_codec_refuses_it_under_the_name_that_is_counted(lie):
    (packet,) = told(lie).packets
    if lie is Lie.OTHERS_ALERT:
        assert decode_on(packet.topic, packet.payload)[1].id == "d" * 32
        return
    with pytest.raises(WireError) as refused:
        decode_on(packet.topic, packet.payload)
    assert COUNTED_AS[lie] == f"ingest.refused.{refused.value.name}"


@pytest.mark.parametrize("lie", [Lie.OTHERS_TOPIC, Lie.FORGED_ACK, Lie.FORGED_COMMAND])
def test_what_goes_to_another_s_topic_would_be_believed_there(lie):
    """Only the broker stands between: a forgery that the codec refuses as well would show nothing."""
    (packet,) = told(lie).packets
    where, message = decode_on(packet.topic, packet.payload)
    assert where.device == message.device == "sim-2"


def test_the_flood_is_over_what_the_broker_takes_and_the_spy_wants_another_s_messages():
    (flood,) = told(Lie.FLOOD).packets
    assert len(flood.payload) > 32 * 1024
    (spying,) = told(Lie.EAVESDROPPING).packets
    assert isinstance(spying, mqtt.Subscribe)
    assert spying.topics[0][0].startswith("vedette/v1/sim-2/down")


def test_a_wrong_sequence_is_a_good_message_of_a_camera_with_a_gap():
    (packet,) = told(Lie.WRONG_SEQUENCE).packets
    _, message = decode_on(packet.topic, packet.payload)
    assert isinstance(message, Alert)
    assert message.sequence > 1


def test_a_liar_tells_all_kinds_and_its_honest_alerts_go_on():
    rig = Rig(Personality.LYING, alerts_every_s=1.0)
    rig.tally.acked("sim-2", "d" * 32, 0.1, cut=False)
    stolen = 0
    for _ in range(60):
        if not rig.connected:
            rig.connect()
            first = (
                rig.said[-1] if len(rig.said) == 1 else next(p for p in rig.said[::-1] if isinstance(p, mqtt.Connect))
            )
            stolen += first.client_id != "sim-1"
        rig.turn(10.0, step=0.5)
    assert set(rig.tally.lies) == set(Lie)
    assert stolen > 0
    assert sum(alert.id == "d" * 32 for alert in rig.alerts) == rig.tally.lies[Lie.OTHERS_ALERT]
    honest = [alert for alert in rig.stored.values() if alert.camera == "camera-1"]
    assert [alert.sequence for alert in honest] == list(range(1, len(honest) + 1))
    assert {bytes.fromhex(alert.message_id) for alert in honest} <= rig.tally.messages
    assert not rig.tally.messages & rig.tally.lie_ids
    assert set(rig.refused) >= {"NotOurs", "NewerProtocol", "MessageInvalid", "MessageTooLarge"}


def test_a_liar_claims_a_model_that_it_does_not_run():
    rig = Rig(Personality.LYING)
    rig.connect()
    rig.desire(1)
    said = rig.messages[-1]
    assert (said.state, said.desired_version) == ("committed", 1)
    assert said.running.digest != said.target.digest


def test_liars_write_on_their_own_topics_but_for_what_is_forged():
    for lie in SAID:
        for packet in told(lie).packets:
            if isinstance(packet, mqtt.Publish):
                own = parse(packet.topic).device == "sim-1" and parse(packet.topic).channel is Channel.ALERTS
                assert own == (lie not in {Lie.OTHERS_TOPIC, Lie.FORGED_ACK, Lie.FORGED_COMMAND})
