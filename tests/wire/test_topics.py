import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import NewerProtocol, NotOurs
from wire.fields import DEVICE_ID_PATTERN
from wire.topics import UPWARD, Channel, Topic, every_device, everything_up, parse, topic


@given(st.from_regex(DEVICE_ID_PATTERN.rstrip("$"), fullmatch=True), st.sampled_from(Channel))
def test_what_is_built_is_parsed(device, channel):
    assert parse(topic(device, channel)) == Topic(device, channel)


@given(st.text(max_size=80))
def test_any_text_is_parsed_back_or_refused_by_name(text):
    try:
        found = parse(text)
    except (NotOurs, NewerProtocol):
        return
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vedette/v1/gate-1/up",
        "vedette/v1/gate-1/up/alerts/",
        "/vedette/v1/gate-1/up/alerts",
        "vedette/v1/gate-1/down/alerts",
        "vedette/v1/gate-1/up/acks",
        "vedette/v1/Gate/up/alerts",
        "vedette/v1/a.b/up/alerts",
        "vedette/v1/+/up/alerts",
        "vedette/v01/gate-1/up/alerts",
        "vedette/v1/gate-1/up/unheard",
        "vedette/v1/gate-1\n/up/alerts",
    ],
)
def test_what_is_not_ours_is_refused(text):
    with pytest.raises(NotOurs):
        parse(text)


def test_a_higher_version_is_said_to_be_newer():
    with pytest.raises(NewerProtocol):
        parse("vedette/v2/gate-1/up/anything")


@pytest.mark.parametrize("device", ["", "-a", "A", "a/b", "a.b", "a+", "#", "a" * 64, "é", "a\n"])
def test_a_device_id_that_would_break_a_topic_is_refused(device):
    with pytest.raises(NotOurs):
        topic(device, Channel.STATUS)


def test_the_cloud_hears_all_devices():
    assert every_device(Channel.ALERTS) == "vedette/v1/+/up/alerts"
    assert everything_up() == "vedette/v1/+/up/+"
    assert [str(channel) for channel in UPWARD] == ["status", "telemetry", "alerts", "reported", "responses"]
