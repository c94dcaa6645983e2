"""Every byte that left the device, by why it left.

Counted is what the application protocols carry: MQTT packets from the fixed header on, and HTTP requests from the
request line to the end of the body, each time they are sent, so a repeat counts again. Not counted: the framing of
TCP, TLS and IP, what TCP repeats by itself, and MQTT's keep-alive pings (2 bytes in each idle interval).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum


class Why(StrEnum):
    """Why bytes left the device."""

    ALERTS = "alerts"
    STATUS = "status"
    TELEMETRY = "telemetry"
    QUESTIONS = "questions"
    PICTURES = "pictures"
    AUDITS = "audits"
    """Whole frames, drawn at random."""
    UPDATES = "updates"
    """Asking for signed metadata and models."""
    RESPONSES = "responses"
    SNAPSHOTS = "snapshots"
    """Pictures that a person asked for by a command."""
    CLIPS = "clips"
    """Videos that a person asked for by a command."""
    PROTOCOL = "protocol"
    """Connecting, subscribing and acknowledging."""


class Ledger:
    """Byte counters by reason; safe to use from any thread."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def spend(self, why: Why, size: int) -> None:
        """Add `size` bytes."""
        with self._lock:
            self._bytes[why.value] += size

    def bytes_by_reason(self) -> dict[str, int]:
        """The sums since the agent started."""
        with self._lock:
            return dict(self._bytes)


def mqtt_publish_size(topic: str, payload: bytes, *, qos: int, mqtt5: bool) -> int:
    """Bytes of an MQTT PUBLISH without properties (MQTT 3.1.1 and 5, section 3.3)."""
    body = _text_size(topic) + (2 if qos else 0) + (1 if mqtt5 else 0) + len(payload)
    return _with_header(body)


def mqtt_connect_size(*texts: str, will_payload: bytes, properties: int, mqtt5: bool) -> int:
    """Bytes of an MQTT CONNECT (section 3.1).

    Args:
        texts: Client id, will topic, user name and, where there is one, the password.
        will_payload: The last will.
        properties: Bytes of the MQTT 5 properties.
        mqtt5: MQTT 5 adds the lengths of two sets of properties.
    """
    variable_header = 10  # protocol name (6), level, flags, keep-alive (2)
    body = variable_header + sum(map(_text_size, texts)) + 2 + len(will_payload)
    return _with_header(body + (properties + 2 if mqtt5 else 0))


def mqtt_subscribe_size(topics: Iterable[str], *, mqtt5: bool) -> int:
    """Bytes of an MQTT SUBSCRIBE (section 3.8)."""
    return _with_header(2 + sum(_text_size(topic) + 1 for topic in topics) + (1 if mqtt5 else 0))


MQTT_PUBACK_SIZE = 4


def http_request_size(method: str, target: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> int:
    """Bytes of an HTTP/1.1 request as built: request line, headers, blank line, body."""
    line = len(method) + len(target) + len("  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + 4 for name, value in headers) + 2 + len(body)


def _text_size(text: str) -> int:
    return 2 + len(text.encode())


def _with_header(body: int) -> int:
    length_bytes, rest = 1, body >> 7
    while rest:
        length_bytes, rest = length_bytes + 1, rest >> 7
    return 1 + length_bytes + body
