"""Lines of the log: the same on both sides, and without secrets."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.log_lines import JsonLines, TextLines, is_json, without_secrets


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("agent.x", logging.WARNING, __file__, 1, message, arguments, None)
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    ("form", "for_people", "as_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
def test_auto_is_text_where_people_read(form: str, for_people: bool, as_json: bool) -> None:
    assert is_json(form, for_people=for_people) is as_json  # type: ignore[arg-type]


def test_a_json_line_names_the_device_its_boot_and_what_the_line_is_about() -> None:
    lines = JsonLines()
    lines.always = {"device": "gate-1", "boot_id": "ab" * 16}
    line = json.loads(lines.format(record("alert %s", "new", alert_id="cd" * 16)))
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "from": "agent.x",
        "message": "alert new",
        "device": "gate-1",
        "boot_id": "ab" * 16,
        "alert_id": "cd" * 16,
    }


def test_a_line_for_people_holds_the_ids_too() -> None:
    line = TextLines().format(record("alert new", alert_id="cd" * 16))
    assert line.endswith(f"Z WARNING agent.x: alert new alert_id={'cd' * 16}")


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("rtsp://admin:hunter2@10.0.0.3/live failed", "hunter2"),
        ("rtsp://admin:p@ss:w/rd@10.0.0.3:554/live failed", "w/rd"),
        ("rtsp://:hunter2@10.0.0.3 failed", "hunter2"),
        ("rtsp://10.0.0.3/live?user=a&password=hunter2&x=1 failed", "hunter2"),
        ("the token vdt_abc-DEF_1 was refused", "abc-DEF_1"),
        ("claimed by vdc1.eyJ1cmwiOiJ4In0", "eyJ1cmwi"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----", "MHcCAQEE"),
        ("Authorization: Bearer abc.def-1", "abc.def-1"),
        ("authorization: basic YWRtaW46eA==", "YWRtaW46eA"),
    ],
)
@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_secrets_are_blotted_out_wherever_they_stand(said: str, secret: str, lines: logging.Formatter) -> None:
    try:
        raise OSError(said)  # noqa: TRY301 - for its traceback
    except OSError as failed:
        made = record("opening: %s", said, why=said, also=[said], error=failed)
        made.exc_info = (type(failed), failed, failed.__traceback__)
    text = lines.format(made)
    assert secret not in text
    assert "opening: " in text


@pytest.mark.parametrize(
    "said",
    [
        "connected to mqtt://127.0.0.1:1883 as gate-1",
        "status page at http://[::1]:9180/",
        "a key = 3",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert without_secrets(said) == said


@given(st.text(), st.text())
def test_any_line_is_one_object(message: str, extra: str) -> None:
    line = JsonLines().format(record("%s", message, extra=extra))
    assert "\n" not in line
    assert isinstance(json.loads(line), dict)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"], exclude_characters="/@?#"), min_size=4, max_size=40)
)
def test_no_password_of_an_address_stays(password: str) -> None:
    shown = without_secrets(f"opening rtsp://admin:{password}@10.0.0.3/live")
    assert shown == "opening rtsp://admin:…@10.0.0.3/live"
