"""Only what is offered can be asked, in the words that the entities say."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cloud.errors import OrderRefused
from cloud.home.orders import MAX_OPEN, read_order
from tests.cloud.home.made import settings, shown

DEVICES = {"gate-1": shown(cameras=("yard", "Back yard"))}


def order(topic, payload=b"PRESS", *, retained=False, open_of_device=0, **changes):
    return read_order(topic, payload, DEVICES, settings(**changes), retained=retained, open_of_device=open_of_device)


@pytest.mark.parametrize(
    ("name", "payload", "arguments"),
    [
        ("ping", b"PRESS", {}),
        ("restart", b"PRESS", {}),
        ("update-model", b"PRESS", {}),
        ("mute", b"ON", {"for_s": 3600}),
        ("mute", b"OFF", {"for_s": 0}),
        ("snapshot", b"Back yard", {"camera": "Back yard"}),
    ],
)
def test_what_the_entities_say_is_understood(name, payload, arguments):
    found = order(f"vedette/gate-1/command/{name}", payload)
    assert (found.device, found.name, found.arguments) == ("gate-1", name, arguments)


@pytest.mark.parametrize(
    ("topic", "payload", "more", "says"),
    [
        ("vedette/gate-9/command/ping", b"PRESS", {}, "no device"),
        ("other/gate-1/command/ping", b"PRESS", {}, "no device"),
        ("vedette/gate-1/state/ping", b"PRESS", {}, "no device"),
        ("vedette/gate-1/command/set-config", b"PRESS", {}, "may not be asked"),
        ("vedette/gate-1/command/rollback-model", b"PRESS", {}, "may not be asked"),
        ("vedette/gate-1/command/restart", b"PRESS", {"commands": ["ping"]}, "may not be asked"),
        ("vedette/gate-1/command/ping", b"PRESS", {"retained": True}, "had kept"),
        ("vedette/gate-1/command/ping", b"PRESS", {"open_of_device": MAX_OPEN}, "to answer already"),
        ("vedette/gate-1/command/ping", b"", {}, "says nothing"),
        ("vedette/gate-1/command/mute", b"86400", {}, "says nothing"),
        ("vedette/gate-1/command/snapshot", b"elsewhere", {}, "says nothing"),
        ("vedette/gate-1/command/snapshot", b"\xff\xfe", {}, "says nothing"),
    ],
)
def test_anything_else_is_refused(topic, payload, more, says):
    with pytest.raises(OrderRefused, match=says):
        order(topic, payload, **more)


@examples(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.binary(max_size=300))
def test_no_topic_and_no_payload_breaks_it(topic, payload):
    for where in (topic, f"vedette/gate-1/command/{topic}"):
        with contextlib.suppress(OrderRefused):
            order(where, payload)
