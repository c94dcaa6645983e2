from hypothesis import given
from hypothesis import strategies as st

from bench.ack_tap import published

PUBACK = bytes([0x40, 2, 0, 1])
PINGRESP = bytes([0xD0, 0])


def publish(topic: str, payload: bytes, qos: int) -> bytes:
    name = topic.encode()
    body = len(name).to_bytes(2) + name + (b"\0\x07" if qos else b"") + payload
    length, remaining = b"", len(body)
    while True:
        length += bytes([remaining % 128 | (0x80 if remaining > 127 else 0)])
        remaining //= 128
        if not remaining:
            return bytes([0x30 | qos << 1]) + length + body


packets = st.lists(
    st.one_of(
        st.sampled_from([PUBACK, PINGRESP]),
        st.tuples(st.text(max_size=40), st.binary(max_size=400), st.integers(0, 2)),
    ),
    max_size=8,
)


@given(packets, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_every_publish_is_heard_once_however_the_stream_is_cut(said, cuts):
    stream = b"".join(one if isinstance(one, bytes) else publish(*one) for one in said)
    heard, waiting, at, turn = [], bytearray(), 0, 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        waiting += stream[at : at + step]
        heard += list(published(waiting))
        at, turn = at + step, turn + 1
    assert heard == [(topic, payload) for topic, payload, _ in (one for one in said if not isinstance(one, bytes))]
    assert not waiting


def test_an_unfinished_packet_stays_for_later():
    whole = publish("vedette/v1/d/down/acks", b"x" * 300, 1)
    waiting = bytearray(whole[:-1])
    assert list(published(waiting)) == []
    assert waiting == whole[:-1]
