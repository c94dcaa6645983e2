"""What a person types, without a service."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.cli import app
from cloud.cli.command import exit_code, read_arguments, span
from cloud.errors import SettingsInvalid
from tests.cloud.command.test_rounds import queued
from wire.commands import Outcome


def types(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(folder)])


def test_commands_are_queued_listed_and_waited_for(tmp_path: Path) -> None:
    for name in ("cam-1", "cam-2", "cam-3"):
        types(tmp_path, "device", "enroll", name)
    types(tmp_path, "device", "revoke", "cam-3")
    one = json.loads(types(tmp_path, "command", "cam-1", "mute", "for_s=60", "rule=people", "--json").stdout)
    assert [(found["device"], found["arguments"]) for found in one] == [("cam-1", {"for_s": 60, "rule": "people"})]
    for words in (("--all",), ("--group", "default")):
        many = json.loads(types(tmp_path, "command", "ping", *words, "--json").stdout)
        assert [found["device"] for found in many] == ["cam-1", "cam-2"]
    assert "waits for the device" in types(tmp_path, "command", "list").stdout
    assert len(json.loads(types(tmp_path, "command", "list", "--device", "cam-2", "--json").stdout)) == 2
    assert types(tmp_path, "command", "cam-1", "ping", "--wait", "--timeout", "0.1s").exit_code == 7


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nobody", "ping"), 4, "no device called nobody"),
        (("cam-1",), 2, "no command is named"),
        (("cam-1", "explode"), 2, "is no command"),
        (("cam-1", "mute", "for_s"), 2, "KEY=VALUE"),
        (("cam-1", "ping", "--expires", "8d"), 2, "up to 7 days"),
        (("cam-1", "set-config", "toml=" + "x" * 20_000), 2, "can't be sent"),
        (("ping", "--group", "nowhere"), 4, "in the group nowhere"),
        (("ping", "--group", "a", "--all"), 2, "Say one of them"),
    ],
)
def test_wrong_usage_is_told_with_its_code(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    types(tmp_path, "device", "enroll", "cam-1")
    result = types(tmp_path, "command", *words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output
    assert json.loads(types(tmp_path, "command", "list", "--json").stdout) == []


def test_values_are_json_text_or_a_files(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("[[rules]]\n")
    read = read_arguments(["a=1", "b=true", "c=yard", f"toml=@{file}", "d=NaN", 'e={"x": [1]}', "f=a=b"])
    assert read == {"a": 1, "b": True, "c": "yard", "toml": "[[rules]]\n", "d": "NaN", "e": {"x": [1]}, "f": "a=b"}
    with pytest.raises(SettingsInvalid, match="can't be read"):
        read_arguments(["toml=@/nonexistent"])


def test_time_spans() -> None:
    assert [span(text, "--x") for text in ("90", "1.5m", "2h")] == [
        timedelta(seconds=90),
        timedelta(seconds=90),
        timedelta(hours=2),
    ]
    for wrong in ("", "0", "-1s", "soon", "1e9", "999999d"):
        with pytest.raises(SettingsInvalid):
            span(wrong, "--x")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.OK], 0),
        ([Outcome.OK, Outcome.REFUSED, Outcome.EXPIRED], 6),
        ([Outcome.FAILED], 6),
        ([Outcome.OK, Outcome.EXPIRED], 7),
        ([Outcome.OK, None], 7),
    ],
)
def test_exit_codes(outcomes: list[Outcome | None], code: int) -> None:
    assert exit_code([queued(outcome=outcome) for outcome in outcomes]) == code
