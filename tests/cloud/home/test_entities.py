"""Whatever cameras, labels and devices are called: topics stay topics, ids are unique, templates are constants."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cloud.home.entities import _labelled
from cloud.home.naming import Topics, key
from cloud.home.settings import HomeAssistantSettings, HomeCommand
from tests.cloud.home import made
from tests.cloud.home.made import entities, settings, shown, stands
from wire.fields import DEVICE_ID_PATTERN, NAME_PATTERN, Label

DEVICES = st.from_regex(DEVICE_ID_PATTERN, fullmatch=True)
NAMES = st.from_regex(NAME_PATTERN, fullmatch=True)


def is_label(text: str) -> bool:
    try:
        TypeAdapter(Label).validate_python(text)
    except ValidationError:
        return False
    return True


LABELS = st.one_of(
    st.text(min_size=1, max_size=64).filter(is_label),
    st.sampled_from(["person", "a/b", "#", "+", "~", "{{ 1 }}", '"', "a_0123456789", "Person", "person "]),
)
FLEETS = st.builds(
    lambda device, cameras, labels: shown(device, tuple(cameras), tuple(labels)),
    DEVICES,
    st.lists(NAMES, max_size=4, unique=True),
    st.lists(LABELS, max_size=6, unique=True),
)
# Home Assistant's own pattern (components/mqtt/discovery.py), and the longest that a topic may be.
DISCOVERY = re.compile(r"homeassistant/(?:\w+)/(?:[a-zA-Z0-9_-]+)/(?:[a-zA-Z0-9_-]+)/config")
MAX_TOPIC_BYTES = 512


@examples(max_examples=60, deadline=None)
@given(FLEETS)
def test_topics_and_ids_are_harmless_and_unique(device):
    making = entities()
    documents = {topic: json.loads(text) for topic, text in making.discovery(device).items()}
    assert all(DISCOVERY.fullmatch(topic) for topic in documents)
    said = [text for one in documents.values() for name, text in one.items() if name.endswith("_topic")]
    said += [one["topic"] for document in documents.values() for one in document["availability"]]
    for topic in (*documents, *said, *making.states(device)):
        assert re.fullmatch(r"[a-z0-9_-]+(/[a-z0-9_-]+)+", topic), topic
        assert len(topic) < MAX_TOPIC_BYTES
    ids = [one["unique_id"] for one in documents.values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z0-9_-]+", one) for one in ids)


@examples(max_examples=60, deadline=None)
@given(FLEETS)
def test_templates_say_the_same_whatever_things_are_called(device):
    """A name that reached a template would be a program that Home Assistant runs."""

    def templates(of):
        found = [json.loads(text) for text in entities().discovery(of).values()]
        return {text for one in found for name, text in one.items() if name.endswith("template")}

    plain = shown("a", ("b",) * len(device.cameras[:1]), ("c",) if device.cameras[:1] else ())
    assert templates(device) <= templates(plain) | templates(shown("a", ("b",), ("c",)))


@examples(max_examples=60, deadline=None)
@given(FLEETS)
def test_each_state_that_a_document_names_is_said(device):
    making = entities(pictures=False)
    said = making.states(device)
    for text in making.discovery(device).values():
        document = json.loads(text)
        wanted = {document[name] for name in ("state_topic", "json_attributes_topic") if name in document}
        assert wanted <= set(said)


@examples(max_examples=60, deadline=None)
@given(st.lists(LABELS, min_size=2, max_size=2, unique=True))
def test_two_names_never_share_a_key(names):
    assert key(names[0]) != key(names[1])


@examples(max_examples=60, deadline=None)
@given(LABELS)
def test_a_name_that_looks_like_another_s_key_has_a_key_of_its_own(label):
    if key(label) != label:
        assert key(key(label)) != key(label)


@examples(max_examples=60, deadline=None)
@given(FLEETS)
def test_labels_that_were_published_are_known_again(device):
    learnt = entities().learn(entities().discovery(device))
    there = {camera.name: {one.label for one in camera.labels} for camera in device.cameras if camera.labels}
    assert {camera: set(labels) for camera, labels in learnt.get(device.id, {}).items()} == there


@examples(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_foreign_documents_teach_nothing_and_break_nothing(payload):
    topic = "homeassistant/binary_sensor/vedette_gate-1/camera_yard_label_person_on/config"
    assert entities().learn({topic: payload}) == {}


@pytest.mark.parametrize(("label", "learnt"), [("x" * 64, True), ("x" * 65, False)])
def test_names_longer_than_there_can_be_teach_nothing(label, learnt):
    camera = "y" * 63
    documents = entities().discovery(shown(cameras=(camera,), labels=(label,)))
    assert entities().learn(documents) == ({"gate-1": {camera: (label,)}} if learnt else {})


def test_a_document_under_another_s_topic_teaches_nothing():
    documents = entities().discovery(shown(labels=("person",)))
    (text,) = [text for topic, text in documents.items() if topic.endswith("label_person_on/config")]
    moved = {"homeassistant/binary_sensor/vedette_gate-2/camera_yard_label_person_on/config": text}
    assert _labelled(text) == ("gate-1", "yard", "person")
    assert entities().learn(moved) == {}


def test_services_under_topics_of_their_own_leave_each_other_alone():
    other = shown("a", labels=("person",))
    topics = Topics("vedette", "homeassistant")
    for base in ("vedette-2", "v"):
        making = entities(topic=base)
        assert not any(topics.is_own(topic) for topic in (*making.discovery(other), *making.states(other)))
    own = entities()
    assert all(topics.is_own(topic) for topic in (*own.discovery(other), *own.states(other), topics.bridge))
    assert not topics.is_own(topics.command("a", "ping"))


def test_what_may_not_be_asked_is_not_offered():
    def components(**changes):
        documents = entities(**changes).discovery(shown())
        return {(topic.split("/")[1], "command_topic" in json.loads(text)) for topic, text in documents.items()}

    assert {("button", True), ("switch", True), ("update", True)} <= components()
    quiet = components(commands=[])
    assert not {("button", True), ("switch", True), ("update", True)} & quiet
    assert ("update", False) in quiet
    assert {one for one, _ in components(pictures=False)} == {one for one, _ in components()} - {"image"}


def test_a_sensor_has_its_delay_and_is_not_believed_without_its_device():
    documents = entities(off_delay_s=7).discovery(shown(labels=("person",)))
    (text,) = [text for topic, text in documents.items() if topic.endswith("label_person_on/config")]
    document = json.loads(text)
    assert document["off_delay"] == 7
    assert [one["topic"] for one in document["availability"]] == ["vedette/bridge", "vedette/gate-1/presence"]


def test_attributes_of_an_alert_leave_home_assistant_s_own_words_alone():
    camera = made.CameraFacts("yard", live=True, last=stands(label="person"))
    device = made.DeviceFacts(id="gate-1", online=True, cameras=(camera,))
    said = json.loads(entities().states(device)["vedette/gate-1/camera/yard/alert"])
    assert said["label"] == "person"
    assert said["alert_state"] == "confirmed"
    # components/mqtt/mixins.py drops these from attributes.
    assert not {"state", "name", "icon", "available", "device_class", "unique_id"} & set(said)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "http://somewhere"}, "url must be mqtt://"),
        ({"url": "mqtt://user:word@somewhere"}, "password_file"),
        ({"url": "mqtt://somewhere/path"}, "url must be mqtt://"),
        ({"url": "mqtt://somewhere:99999"}, "Port out of range"),
        ({"topic": "a_b"}, "pattern"),
        ({"topic": "vedette/#"}, "pattern"),
        ({"discovery_prefix": "home+"}, "pattern"),
        ({"commands": ["set-config"]}, "ping"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(ValidationError, match=re.escape(says)):
        settings(**changes)


def test_settings_say_where_the_broker_is():
    assert (settings(url="mqtts://home.example").port, settings(url="mqtts://home.example").tls) == (8883, True)
    assert (settings(url="mqtt://[::1]:1884").host, settings(url="mqtt://[::1]:1884").port) == ("::1", 1884)
    assert settings().commands == tuple(HomeCommand)
    assert settings(devices=["a"]).shows("a")
    assert not settings(devices=["a"]).shows("b")
    assert isinstance(settings(), HomeAssistantSettings)
