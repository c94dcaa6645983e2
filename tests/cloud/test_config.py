"""Where settings come from, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.config import load_settings
from cloud.errors import BindRefused, SettingsInvalid


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vedette.toml"
    path.write_text(text)
    return path


def test_command_line_wins_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, 'http_port = 1001\nmqtt_port = 1002\nlog_level = "error"\n[offload]\nat_once = 2\n')
    monkeypatch.setenv("VEDETTE_MQTT_PORT", "2002")
    monkeypatch.setenv("VEDETTE_HTTP_PORT", "2001")
    monkeypatch.setenv("VEDETTE_OFFLOAD__MAX_OPEN", "9")
    settings = load_settings(path, {"http_port": 3001, "mqtt_port": None, "data_dir": tmp_path})
    assert (settings.http_port, settings.mqtt_port, settings.log_level) == (3001, 2002, "error")
    assert (settings.offload.at_once, settings.offload.max_open) == (2, 9)
    assert settings.data_dir == tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http_prot = 1", "http_prot: unknown key; did you mean 'http_port'"),
        ("[offload]\nat_onc = 1", "offload.at_onc: unknown key; did you mean 'at_once'"),
        ("qqq = 1", "qqq: unknown key; remove it"),
        ("http_port = 70000", "http_port: "),
        ('mqtt_port = "x"', "mqtt_port: "),
        ("not toml", "is not TOML"),
    ],
)
def test_mistake_names_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(file(tmp_path, text), {})
    assert said in str(refused.value)


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(file(tmp_path, "http_port = -1\nmqtt_prot = 2"), {})
    assert "http_port" in str(refused.value)
    assert "mqtt_prot" in str(refused.value)


def test_missing_unreadable_and_absurd_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"#" * (1 << 20) + b"#")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "nothing", tmp_path, tmp_path / "big", tmp_path / "binary"):
        with pytest.raises(SettingsInvalid):
            load_settings(path, {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_free(host: str) -> None:
    assert load_settings(None, {"http_host": host, "mqtt_host": host}).check_binds()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "myhost", ""])  # noqa: S104 - refused
def test_other_addresses_must_be_allowed(host: str) -> None:
    with pytest.raises(BindRefused, match=r"who they are.+allow_plaintext"):
        load_settings(None, {"http_host": host}).check_binds()
    assert load_settings(None, {"http_host": host, "allow_plaintext": True}).check_binds()


def test_the_dashboard_is_open_on_loopback_and_asks_beyond(tmp_path: Path) -> None:
    def of(**given: object) -> tuple[bool, bool]:
        settings = load_settings(None, given).check_binds()
        return settings.https, settings.asks_login

    files = {"http_cert_file": tmp_path / "a.pem", "http_key_file": tmp_path / "a.key"}
    far: dict[str, object] = {"http_host": "192.0.2.7"}
    assert of() == of(tls=True) == (False, False)
    assert of(login={"always": True}) == (False, True)
    assert of(tls=True, **files) == (True, False)
    assert of(tls=True, **far) == of(tls=True, **far, **files) == (True, True)
    assert of(allow_plaintext=True, **far) == of(tls=True, allow_plaintext=True, **far) == (False, False)
    assert of(allow_plaintext=True, login={"always": True}, **far) == (False, True)
    assert of(tls=True, allow_plaintext=True, **far, **files) == (True, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('tls = true\nhttp_cert_file = "a.pem"', "give both"),
        ('http_cert_file = "a.pem"\nhttp_key_file = "a.key"', "tls = true"),
        ("[login]\nidle_minutes = 0", "login.idle_minutes"),
        ("[login]\nsession_hours = inf", "login.session_hours"),
        ("login = true", "login"),
    ],
)
def test_mistake_about_the_login_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        load_settings(file(tmp_path, text), {})
