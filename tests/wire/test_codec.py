import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.samples import SAMPLES
from wire.channels import ON_CHANNEL
from wire.codec import decode, decode_on, encode
from wire.errors import MessageInvalid, MessageTooLarge, NewerProtocol, NotOurs, WireError
from wire.messages import Acks, Alert, Question, Status
from wire.protocol import HISTORY, PROTOCOL
from wire.topics import Channel, topic

ALERT = json.loads(encode(SAMPLES["alert"]))


def alert_with(**changes):
    return json.dumps({**ALERT, **changes}).encode()


def test_an_unknown_field_is_ignored():
    assert decode(Alert, alert_with(added_later={"deep": [1]})) == SAMPLES["alert"]


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff", b"[]", b"3", b"{}", b'{"protocol": "1"}', b"{" * 3000, b"[" * 3000]
)
def test_foreign_bytes_are_not_ours(data):
    with pytest.raises(NotOurs):
        decode(Alert, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"box": [0.5, 0.5, 0.25, 0.75]},
        {"box": [0.0, 0.0, 1.5, 1.0]},
        {"score": "NaN"},
        {"label": "a\u202eb"},
        {"label": "x" * 65},
        {"label": ""},
        {"message_id": "../../etc/passwd"},
        {"camera": "a/b"},
        {"sequence": 0},
        {"sequence": 2**63},
        {"revision": 0},
        {"made_at": "2026-11-23T09:30:00"},
        {"picture": "https://elsewhere.example/x.jpg"},
        {"model_digest": "md5:00"},
    ],
)
def test_a_broken_field_is_named(changes):
    with pytest.raises(MessageInvalid) as refused:
        decode(Alert, alert_with(**changes))
    assert next(iter(changes)) in str(refused.value)


def test_a_newer_protocol_is_told_from_a_broken_message():
    with pytest.raises(NewerProtocol, match="Update this program"):
        decode(Alert, alert_with(protocol=PROTOCOL + 1))
    with pytest.raises(NewerProtocol):
        decode(Alert, json.dumps({"protocol": PROTOCOL + 1, "all": "else differs"}).encode())


def test_a_message_over_its_limit_is_not_even_parsed():
    with pytest.raises(MessageTooLarge):
        decode(Alert, b"x" * (Alert.MAX_BYTES + 1))


def test_encoding_holds_the_limit_too():
    ids = tuple(f"{i:032x}" for i in range(500))
    assert len(encode(SAMPLES["acks"].model_copy(update={"message_ids": ids}))) <= Acks.MAX_BYTES
    cameras = SAMPLES["status"].cameras[0].model_copy(update={"detail": "x" * 500})
    with pytest.raises(MessageTooLarge):
        encode(SAMPLES["status"].model_copy(update={"cameras": (cameras,) * 64}))


def test_the_topics_device_must_be_the_messages():
    with pytest.raises(MessageInvalid, match="gate-2"):
        decode_on(topic("gate-2", Channel.ALERTS), encode(SAMPLES["alert"]))
    where, message = decode_on(topic("gate-1", Channel.ALERTS), encode(SAMPLES["alert"]))
    assert (where.device, message) == ("gate-1", SAMPLES["alert"])


@given(st.sampled_from([Alert, Acks, Status, Question]), st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(kind, data):
    with pytest.raises(WireError):
        decode(kind, data)


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_bent_message_is_read_or_refused_by_name(name, data):
    original = encode(SAMPLES[name])
    at = data.draw(st.integers(0, len(original) - 1))
    bent = original[:at] + data.draw(st.binary(max_size=4)) + original[at + data.draw(st.integers(0, 4)) :]
    kind = type(SAMPLES[name])
    try:
        message = decode(kind, bent)
    except WireError:
        return
    assert decode(kind, encode(message)) == message


def test_every_channel_has_a_message_and_the_history_ends_with_todays_number():
    assert set(ON_CHANNEL) == set(Channel)
    assert HISTORY[-1].number == PROTOCOL
    assert [c.number for c in HISTORY] == sorted(c.number for c in HISTORY)
