from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.adapters.token import token_source
from agent.deliver.link import Address, LinkSettings
from agent.errors import ConfigInvalid


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", Address("broker", 1883, tls=False)),
        ("mqtts://broker", Address("broker", 8883, tls=True)),
        ("mqtts://[::1]:9000", Address("::1", 9000, tls=True)),
        ("mqtt://10.0.0.1:1/", Address("10.0.0.1", 1, tls=False)),
    ],
)
def test_addresses(url, address):
    assert LinkSettings(url=url).address == address


@pytest.mark.parametrize(
    "url",
    ["", "broker:1883", "http://broker", "mqtt://", "mqtt://b:0", "mqtt://b:99999", "mqtt://b:x", "mqtt://b/path",
     "mqtt://me:secret@broker"],
)  # fmt: skip
def test_bad_addresses_are_refused_by_the_key(url):
    with pytest.raises(ValidationError) as refused:
        LinkSettings(url=url)
    assert refused.value.errors()[0]["loc"] == ("url",)


@pytest.mark.parametrize(
    "fields",
    [
        {"key_file": "k.pem", "url": "mqtts://b"},
        {"reconnect_min_s": 9.0, "reconnect_max_s": 1.0},
        {"ca_file": "ca.pem"},
        {"protocol": "4"},
        {"windw": 3},
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields):
    with pytest.raises(ValidationError):
        LinkSettings(**fields)


def test_a_token_comes_from_the_environment_or_is_missing():
    assert token_source(None, "T", {"T": "secret"})() == "secret"
    assert token_source(None, "T", {})() is None


def test_a_token_file_is_read_each_time(tmp_path: Path):
    file = tmp_path / "token"
    read = token_source(file, "T", {"T": "other"})
    file.write_text("one\n")
    assert read() == "one"
    file.write_text("two")
    assert read() == "two"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_token_file_that_holds_none_is_named(tmp_path: Path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigInvalid, match="token_file"):
        token_source(file, "T", {})()
