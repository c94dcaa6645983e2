"""What a request holds; no value can add to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cloud.config import load_settings
from cloud.errors import SettingsInvalid
from cloud.push.request import build, sign, values_of
from cloud.push.settings import PLACEHOLDERS, Moment
from tests.cloud.push.made import push
from tests.cloud.samples import NOW, alert, new_id
from wire.fields import Text

PICTURE = f"/v1/pictures/{new_id()}"


def is_text(text):
    try:
        TypeAdapter(Text).validate_python(text)
    except ValidationError:
        return False
    return True


TEXTS = st.text(min_size=1, max_size=60).filter(is_text) | st.sampled_from(
    ['", "admin": true, "x": "', "$device ${rule} $$", "{{ 7*7 }}", "\\u0022", "%s %(device)s", "<b>", "é – ü"]
)


@examples(max_examples=60, deadline=None)
@given(TEXTS)
def test_a_label_stays_a_value_in_json(label):
    settings = push(fields={"text": "$label at $camera", "title": "$$5"})
    body = json.loads(build(settings, alert(label=label), Moment.RAISED).body)
    assert body == {"text": f"{label} at yard", "title": "$5"}


@examples(max_examples=60, deadline=None)
@given(TEXTS)
def test_a_label_stays_a_value_in_text_and_headers(label):
    settings = push(body="$label!", headers={"Title": "$label at $camera", "Tags": "warning"})
    request = build(settings, alert(label=label), Moment.RAISED)
    assert request.body.decode() == f"{label}!"
    assert set(request.headers) == {"Content-Type", "Vedette-Delivery", "Title", "Tags"}
    assert not re.search(r"[\x00-\x1f\x7f]", request.headers["Title"])


def test_without_a_template_the_body_is_the_alert():
    seen = alert(picture=PICTURE, zone="door")
    request = build(push(base_url="https://cams.example/"), seen, Moment.CONFIRMED)
    body = json.loads(request.body)
    assert request.headers == {"Content-Type": "application/json", "Vedette-Delivery": seen.message_id}
    assert (body["version"], body["moment"], body["test"], body["push"]) == (1, "confirmed", False, "phone")
    assert body["picture_url"] == f"https://cams.example{PICTURE}"
    assert (body["alert"]["id"], body["alert"]["zone"]) == (seen.id, "door")


def test_every_placeholder_has_a_value():
    values = values_of(push(), alert(score=0.876), Moment.RAISED)
    assert tuple(values) == PLACEHOLDERS
    assert (values["score"], values["percent"], values["picture_url"]) == ("0.88", "88", "")


def test_a_signature_covers_time_and_body():
    request = sign(build(push(), alert(), Moment.RAISED), b"key", NOW)
    time, digest = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers["Vedette-Signature"]).groups()
    assert int(time) == int(NOW.timestamp())
    assert digest == hmac.new(b"key", time.encode() + b"." + request.body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"body": "$lable"}, "$lable is no placeholder"),
        ({"body": "100 $"}, "write $$ for a dollar"),
        ({"fields": {"text": "${label.upper}"}}, "fields.text: a $ that is no placeholder"),
        ({"headers": {"Title": "$nothing"}}, "headers.Title: $nothing"),
        ({"headers": {"Bad Header": "x"}}, "is no header that can be set"),
        ({"headers": {"Vedette-Signature": "x"}}, "is no header that can be set"),
        ({"headers": {"Host": "x"}}, "is no header that can be set"),
        ({"body": "x", "fields": {"a": "b"}}, "give one of body and fields"),
        ({"url": "ftp://somewhere"}, "an address must be http"),
        ({"url": "https://user:word@somewhere"}, "bearer_file"),
        ({"url": "https://some where"}, "an address must be http"),
        ({"url": "https://x", "url_file": "file"}, "give one of url and url_file"),
        ({"url": None}, "give one of url and url_file"),
        ({"on": []}, "at least 1 item"),
        ({"on": ["sometimes"]}, "raised"),
        ({"name": "My phone"}, "pattern"),
        ({"content_type": "text/plain\r\nX: y"}, "pattern"),
        ({"method": "GET"}, "POST"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(ValidationError, match=re.escape(says)):
        push(**changes)


def test_two_receivers_of_one_name_are_refused_where_the_file_is_read(tmp_path):
    file = tmp_path / "service.toml"
    file.write_text('[[push]]\nname = "a"\nurl = "https://x"\n' * 2)
    with pytest.raises(SettingsInvalid, match=r"push: .*'a' is used more than once"):
        load_settings(file, {})
    file.write_text('[[push]]\nname = "a"\nurl = "https://x"\nbodi = "x"\n')
    with pytest.raises(SettingsInvalid, match=r"push\.0\.bodi: unknown key"):
        load_settings(file, {})
