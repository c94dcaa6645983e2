"""What a person types, without a service."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.adapters.data_dir import DataDir
from cloud.cli import app
from cloud.cli.command import exit_code, read_arguments, span
from cloud.cli.command_files import save
from cloud.errors import BlobMissing, SettingsInvalid
from cloud.store.blobs import LocalBlobs
from cloud.store.commands import CommandRecord, State
from tests.cloud.command.test_rounds import queued
from wire.commands import Outcome

pytestmark = pytest.mark.parts


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


def test_devices_are_chosen_by_group_and_labels(tmp_path: Path) -> None:
    for name, site in (("cam-1", "north"), ("cam-2", "south"), ("cam-3", "north")):
        types(tmp_path, "device", "enroll", name)
        types(tmp_path, "rollout", "place", name, "--label", f"site={site}")
    types(tmp_path, "rollout", "place", "cam-3", "--group", "yard")

    def asked(*words: str) -> list[str]:
        return [one["device"] for one in json.loads(types(tmp_path, "command", "ping", *words, "--json").stdout)]

    assert asked("--label", "site=north") == ["cam-1", "cam-3"]
    assert asked("--label", "site=north", "--group", "yard") == ["cam-3"]
    none = types(tmp_path, "command", "ping", "--label", "site=north", "--label", "floor=2")
    assert (none.exit_code, "that bears site=north, floor=2" in none.stderr) == (4, True)


def test_a_pinned_device_is_not_asked_to_update(tmp_path: Path) -> None:
    for name in ("cam-1", "cam-2"):
        types(tmp_path, "device", "enroll", name)
    types(tmp_path, "rollout", "place", "cam-1", "--pin")
    found = json.loads(types(tmp_path, "command", "update-model", "--all", "--json").stdout)
    assert [(one["device"], one["outcome"]) for one in found] == [("cam-1", "refused"), ("cam-2", None)]
    assert "it is pinned" in found[0]["reason"]
    assert types(tmp_path, "command", "cam-1", "update-model", "--wait").exit_code == 6


def test_lines_for_programs_are_one_for_each_change(tmp_path: Path) -> None:
    types(tmp_path, "device", "enroll", "cam-1")
    waited = types(tmp_path, "command", "cam-1", "ping", "--wait", "--timeout", "0.3s", "--jsonl")
    (line,) = waited.stdout.splitlines()
    assert (json.loads(line)["state"], waited.exit_code) == ("queued", 7)


def answered(**changes: object) -> CommandRecord:
    return queued(state=State.DONE, outcome=Outcome.OK, **changes)


async def test_what_a_command_left_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "cloud")
    blobs = LocalBlobs(data.blobs)
    one, other = answered(name="capture-clip", device="cam-1"), answered(name="capture-clip", device="cam-2")
    await blobs.put(f"clips/cam-1/{one.id}.webm", b"webm")
    await blobs.put(f"clips/cam-2/{other.id}.avi", b"avi")
    assert len(await save(data, [one], tmp_path / "gate.webm")) == 1
    assert (tmp_path / "gate.webm").read_bytes() == b"webm"
    assert "give it that ending" in (await save(data, [other], tmp_path / "gate.mp4"))[0]
    failed = queued(state=State.DONE, outcome=Outcome.FAILED, name="capture-clip", device="cam-3")
    await save(data, [one, other, failed], tmp_path / "clips")
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == ["cam-1.webm", "cam-2.avi"]
    with pytest.raises(SettingsInvalid, match="can't be written"):
        await save(data, [one], tmp_path)
    snapshot = answered(name="snapshot", device="cam-1")
    with pytest.raises(BlobMissing):
        await save(data, [snapshot], tmp_path / "gate.jpg")
    await blobs.put(f"snapshots/cam-1/{snapshot.id}.jpg", b"jpeg")
    await save(data, [snapshot], tmp_path / "gate.jpg")
    assert (tmp_path / "gate.jpg").read_bytes() == b"jpeg"


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
        (("ping", "--label", "a=b", "--all"), 2, "Say one of them"),
        (("ping", "--label", "a"), 2, "site=north"),
        (("cam-1", "capture-clip", "--out", "x.webm"), 2, "need --wait"),
        (("cam-1", "ping", "--wait", "--out", "x.webm"), 2, "ping gives no file"),
        (("cam-1", "snapshot", "--wait", "--timeout", "1s", "--out", "/"), 2, "/ can't be written: it is a folder"),
        (("--all", "snapshot", "--wait", "--timeout", "1s", "--out", f"{__file__}/x.jpg"), 2, "is no folder"),
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
