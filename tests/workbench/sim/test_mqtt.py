"""The codec: whatever is written is read again, however the bytes are cut, and rubbish has a name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import MqttBroken
from workbench.sim import mqtt

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
MIDS = st.integers(1, 0xFFFF)
BYTES = st.binary(max_size=400)
WILLS = st.builds(mqtt.Will, TEXTS, BYTES, st.integers(0, 1), st.booleans())
PUBLISHES = st.one_of(
    st.builds(mqtt.Publish, TEXTS, BYTES, st.just(0), st.booleans()),
    st.builds(mqtt.Publish, TEXTS, BYTES, st.just(1), st.booleans(), MIDS, st.booleans()),
)
PACKETS = st.one_of(
    st.builds(
        mqtt.Connect,
        TEXTS,
        st.none() | TEXTS,
        st.none() | BYTES,
        st.none() | WILLS,
        st.integers(0, 0xFFFF),
        st.booleans(),
    ),
    st.builds(mqtt.Connack, st.integers(0, 5), st.booleans()),
    PUBLISHES,
    st.builds(mqtt.Puback, MIDS),
    st.builds(mqtt.Subscribe, MIDS, st.lists(st.tuples(TEXTS, st.integers(0, 1)), max_size=5).map(tuple)),
    st.builds(mqtt.Suback, MIDS, st.lists(st.sampled_from([0, 1, 0x80]), max_size=5).map(tuple)),
    st.sampled_from([mqtt.Pingreq(), mqtt.Pingresp(), mqtt.Disconnect()]),
)


@given(st.lists(PACKETS, max_size=8), st.lists(st.integers(1, 60), max_size=40))
def test_what_is_written_is_read_again_however_it_is_cut(packets, cuts):
    stream = b"".join(map(mqtt.encode, packets))
    reader, read = mqtt.Reader(), []
    for size in cuts:
        read += reader.feed(stream[:size])
        stream = stream[size:]
    assert read + reader.feed(stream) == packets


@given(st.binary(max_size=300))
def test_rubbish_is_refused_by_name_or_waits_for_more(data):
    with contextlib.suppress(MqttBroken):
        mqtt.Reader().feed(data)


@given(PUBLISHES, st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_packet_is_read_as_something_or_refused_by_name(packet, at, byte):
    data = bytearray(mqtt.encode(packet))
    data[at % len(data)] = byte
    with contextlib.suppress(MqttBroken):
        mqtt.Reader().feed(bytes(data))


def test_bytes_are_those_of_the_standard():
    """[3.3.1] to [3.3.3], spelt by hand; a codec that is wrong both ways would pass all of the above."""
    assert mqtt.encode(mqtt.Publish("a/b", b"hi", 1, mid=10)) == b"\x32\x09\x00\x03a/b\x00\x0ahi"
    assert mqtt.encode(mqtt.Subscribe(10, (("c/d", 1),))) == b"\x82\x08\x00\x0a\x00\x03c/d\x01"
    connect = mqtt.Connect("d", "u", b"p", mqtt.Will("w", b"x"), 60)
    assert (
        mqtt.encode(connect) == b"\x10\x19\x00\x04MQTT\x04\xec\x00\x3c\x00\x01d\x00\x01w\x00\x01x\x00\x01u\x00\x01p"
    )
    assert mqtt.encode(mqtt.Publish("a", b"x" * 321))[:3] == b"\x30\xc4\x02"  # 324 bytes as in [2.2.3]


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\x7f",  # announces 256 MB
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
        b"\x40\x01\x00",  # a PUBACK of one byte
        b"\xf0\x00",  # a type that is reserved
        b"\x41\x02\x00\x01",  # flags where none may be
        b"\x30\x02\x00\x09",  # a topic longer than its packet
    ],
)
def test_broken_packets_have_a_name(data):
    with pytest.raises(MqttBroken):
        mqtt.Reader().feed(data)


def test_a_password_is_not_in_what_is_printed():
    assert "secret" not in repr(mqtt.Connect("d", "u", b"secret"))
