"""MQTT 3.1.1 as bytes: packets to bytes and back, without a socket. Both directions, so that tests can be the broker.

Numbers in brackets are sections of the OASIS standard. QoS 2 is left out: nobody here speaks it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from workbench.errors import MqttBroken

MAX_PACKET_BYTES: Final = 128 * 1024
"""The largest that the cloud says is 64 KiB of acks; whoever announces more is no broker of ours."""
_LEVEL: Final = 4
_PROTOCOL: Final = b"\x00\x04MQTT"
_MAX_LENGTH_BYTES: Final = 4
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK = 1, 2, 3, 4, 8, 9
_PINGREQ, _PINGRESP, _DISCONNECT = 12, 13, 14
REFUSED_SUBSCRIPTION: Final = 0x80


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says where the connection ends without a goodbye."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Connect:
    """The first packet [3.1]."""

    client_id: str
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    keepalive_s: int = 60
    clean: bool = False

    def __repr__(self) -> str:
        return f"Connect({self.client_id!r})"


@dataclass(frozen=True, slots=True)
class Connack:
    """The broker's answer; `code` 0 is welcome [3.2]."""

    code: int
    session_present: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """A message; `mid` is 0 with QoS 0 [3.3]."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    mid: int = 0
    dup: bool = False


@dataclass(frozen=True, slots=True)
class Puback:
    """A message of QoS 1 was taken [3.4]."""

    mid: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """What is to be heard [3.8]."""

    mid: int
    topics: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Suback:
    """The granted QoS of each, or `REFUSED_SUBSCRIPTION` [3.9]."""

    mid: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pingreq:
    """Are you there [3.12]."""


@dataclass(frozen=True, slots=True)
class Pingresp:
    """I am [3.13]."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Goodbye: the will is not to be said [3.14]."""


Packet = Connect | Connack | Publish | Puback | Subscribe | Suback | Pingreq | Pingresp | Disconnect


def encode(packet: Packet) -> bytes:  # noqa: PLR0911 - one return a type of packet
    """The packet's bytes."""
    match packet:
        case Connect():
            return _frame(_CONNECT, 0, _connect(packet))
        case Connack():
            return _frame(_CONNACK, 0, bytes((packet.session_present, packet.code)))
        case Publish():
            flags = packet.dup << 3 | packet.qos << 1 | packet.retain
            number = struct.pack(">H", packet.mid) if packet.qos else b""
            return _frame(_PUBLISH, flags, _text(packet.topic) + number + packet.payload)
        case Puback():
            return _frame(_PUBACK, 0, struct.pack(">H", packet.mid))
        case Subscribe():
            wanted = b"".join(_text(topic) + bytes((qos,)) for topic, qos in packet.topics)
            return _frame(_SUBSCRIBE, 2, struct.pack(">H", packet.mid) + wanted)
        case Suback():
            return _frame(_SUBACK, 0, struct.pack(">H", packet.mid) + bytes(packet.codes))
        case Pingreq():
            return _frame(_PINGREQ, 0, b"")
        case Pingresp():
            return _frame(_PINGRESP, 0, b"")
        case Disconnect():
            return _frame(_DISCONNECT, 0, b"")


class Reader:
    """Cuts a stream into packets; holds no more than one that is not whole yet."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that `data` completes.

        Raises:
            MqttBroken: What comes is no MQTT 3.1.1.
        """
        data = self._rest + data if self._rest else data
        found: list[Packet] = []
        at = 0
        while (end := _end(data, at)) is not None:
            start, stop = end
            found.append(_decoded(data[at], data[start:stop]))
            at = stop
        self._rest = data[at:]
        return found


def _frame(kind: int, flags: int, body: bytes) -> bytes:
    return bytes((kind << 4 | flags,)) + _length(len(body)) + body


def _length(size: int) -> bytes:
    """[2.2.3]."""
    spelt = bytearray()
    while True:
        size, digit = divmod(size, 128)
        spelt.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(spelt)


def _end(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet that begins at `at` starts and stops; None where that is not all there."""
    size = 0
    for place in range(_MAX_LENGTH_BYTES):
        if at + 1 + place >= len(data):
            return None
        digit = data[at + 1 + place]
        size |= (digit & 0x7F) << (7 * place)
        if size > MAX_PACKET_BYTES:
            raise MqttBroken(f"a packet of {size} bytes was announced")
        if not digit & 0x80:
            start = at + 2 + place
            return (start, start + size) if start + size <= len(data) else None
    raise MqttBroken("a packet's length has more than four bytes")


def _decoded(head: int, body: bytes) -> Packet:
    kind, flags = head >> 4, head & 0x0F
    if kind != _PUBLISH and flags != (2 if kind == _SUBSCRIBE else 0):
        raise MqttBroken(f"a packet of type {kind} has the flags {flags}")
    try:
        return _read(kind, flags, body)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise MqttBroken(f"a packet of type {kind} can't be read") from None


def _read(kind: int, flags: int, body: bytes) -> Packet:  # noqa: PLR0911 - one return a type of packet
    match kind:
        case 3:
            return _publish(flags, body)
        case 4:
            return Puback(_number(body))
        case 2:
            return Connack(body[1], bool(body[0] & 1))
        case 9:
            return Suback(struct.unpack_from(">H", body)[0], tuple(body[2:]))
        case 13:
            return Pingresp()
        case 1:
            return _read_connect(body)
        case 8:
            return _read_subscribe(body)
        case 12:
            return Pingreq()
        case 14:
            return Disconnect()
        case _:
            raise MqttBroken(f"a packet of type {kind} came, which is not spoken here")


def _publish(flags: int, body: bytes) -> Publish:
    qos = flags >> 1 & 3
    if qos > 1:
        raise MqttBroken(f"a message of QoS {qos} came")
    topic, at = _read_text(body, 0)
    mid = 0
    if qos:
        mid, at = struct.unpack_from(">H", body, at)[0], at + 2
    return Publish(topic, body[at:], qos, bool(flags & 1), mid, bool(flags & 8))


def _number(body: bytes) -> int:
    return int(struct.unpack(">H", body)[0])


def _connect(packet: Connect) -> bytes:
    flags, rest = packet.clean << 1, _text(packet.client_id)
    if packet.will is not None:
        flags |= 4 | packet.will.qos << 3 | packet.will.retain << 5
        rest += _text(packet.will.topic) + _bytes(packet.will.payload)
    if packet.username is not None:
        flags |= 0x80
        rest += _text(packet.username)
    if packet.password is not None:
        flags |= 0x40
        rest += _bytes(packet.password)
    return _PROTOCOL + bytes((_LEVEL, flags)) + struct.pack(">H", packet.keepalive_s) + rest


def _read_connect(body: bytes) -> Connect:
    if not body.startswith(_PROTOCOL) or body[6] != _LEVEL:
        raise MqttBroken("a CONNECT is not of MQTT 3.1.1")
    flags, keepalive_s = body[7], struct.unpack_from(">H", body, 8)[0]
    client_id, at = _read_text(body, 10)
    will = username = password = None
    if flags & 4:
        topic, at = _read_text(body, at)
        payload, at = _read_bytes(body, at)
        will = Will(topic, payload, flags >> 3 & 3, bool(flags & 0x20))
    if flags & 0x80:
        username, at = _read_text(body, at)
    if flags & 0x40:
        password, at = _read_bytes(body, at)
    return Connect(client_id, username, password, will, keepalive_s, bool(flags & 2))


def _read_subscribe(body: bytes) -> Subscribe:
    mid, at = struct.unpack_from(">H", body)[0], 2
    topics: list[tuple[str, int]] = []
    while at < len(body):
        topic, at = _read_text(body, at)
        topics.append((topic, body[at]))
        at += 1
    return Subscribe(mid, tuple(topics))


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _read_text(body: bytes, at: int) -> tuple[str, int]:
    data, at = _read_bytes(body, at)
    return data.decode(), at


def _read_bytes(body: bytes, at: int) -> tuple[bytes, int]:
    size, start = struct.unpack_from(">H", body, at)[0], at + 2
    if start + size > len(body):
        raise IndexError
    return body[start : start + size], start + size
