from __future__ import annotations

import httpx
import pytest

from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger, Why, http_request_size, mqtt_publish_size, mqtt_subscribe_size
from agent.errors import LinkLost


def test_bytes_add_up_by_reason():
    ledger = Ledger()
    ledger.spend(Why.ALERTS, 10)
    ledger.spend(Why.ALERTS, 5)
    ledger.spend(Why.STATUS, 1)
    assert ledger.bytes_by_reason() == {"alerts": 15, "status": 1}


@pytest.mark.parametrize(
    ("payload", "size"),
    # Section 2.2.3 of MQTT 3.1.1: one length byte up to 127, two up to 16,383, three up to 2,097,151.
    [(0, 2 + 5), (122, 2 + 127), (123, 3 + 128), (16_378, 3 + 16_383), (16_379, 4 + 16_384)],
)
def test_a_publish_is_as_long_as_the_standard_says(payload, size):
    assert mqtt_publish_size("abc", b"x" * payload, qos=0, mqtt5=False) == size


def test_qos_and_version_add_their_bytes():
    plain = mqtt_publish_size("abc", b"", qos=0, mqtt5=False)
    assert mqtt_publish_size("abc", b"", qos=1, mqtt5=False) == plain + 2
    assert mqtt_publish_size("abc", b"", qos=1, mqtt5=True) == plain + 3
    assert mqtt_subscribe_size(["abc"], mqtt5=False) == 2 + 2 + 2 + 3 + 1


def test_an_http_request_is_counted_as_it_is_written():
    request = httpx.Request("POST", "http://host/v1/questions", headers={"A": "b"}, content=b"12345")
    head = (
        b"POST /v1/questions HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in request.headers.raw) + b"\r\n"
    )
    size = http_request_size("POST", "/v1/questions", request.headers.raw, b"12345")
    assert size == len(head) + 5


def test_faults_are_counted_by_name():
    faults = Faults()
    for _ in range(3):
        faults.note(LinkLost("gone"))
    assert faults.counts() == {"LinkLost": 3}
