"""The commands, as a person or a program calls them; no service runs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.cli import app
from cloud.cli.rollout_options import seconds, stages, window
from cloud.errors import SettingsInvalid
from cloud.registry import service as registry
from tests.cloud.rollout.fleets import NEW, OLD
from tests.cloud.rollout.signers import FakeSigner, Release


class Person:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--data-dir", str(self.data_dir)])


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    fake = FakeSigner([Release(OLD), Release(NEW)])
    for name in ("releases", "group", "set_group"):
        method = getattr(fake, name)
        monkeypatch.setattr(registry.Registry, name, lambda _self, *args, call=method: call(*args))
    person = Person(tmp_path / "data")
    person.types("device", "enroll", "cam-1")
    return person


def test_started_rollout_is_listed_with_its_policy_and_can_be_paused(person: Person) -> None:
    begun = person.types(
        *("rollout", "start", "nanodet@2.0.0", "--canary", "cam-1", "--soak", "5m", "--stages", "20,100"),
        *("--window", "fri-mon/22:00-04:00", "--jitter", "30s", "--min-agreement", "0.5", "--json"),
        *("--ask-disagreements", "25"),
    )
    assert begun.exit_code == 0, begun.output
    (listed,) = json.loads(person.types("rollout", "list", "--json").stdout)
    assert listed == json.loads(begun.stdout)
    policy = listed["policy"]
    assert (policy["soak_s"], policy["stages"], policy["jitter_s"]) == (300, [20, 100], 30)
    assert policy["gates"]["min_agreement"] == 0.5
    assert policy["gates"]["ask_disagreements"] == 25
    assert policy["windows"] == [{"days": ["fri", "sat", "sun", "mon"], "from_minute": 1320, "to_minute": 240}]
    assert "nanodet 2.0.0" in person.types("rollout", "list").stdout
    assert person.types("rollout", "pause", listed["id"][:5]).exit_code == 0


def test_next_one_can_be_started_as_soon_as_the_first_is_told_to_end(person: Person) -> None:
    assert person.types("rollout", "start", "nanodet").exit_code == 0
    (first,) = json.loads(person.types("rollout", "list", "--json").stdout)
    assert person.types("rollout", "start", "nanodet").exit_code == 8
    assert person.types("rollout", "abort", first["id"]).exit_code == 0
    again = person.types("rollout", "start", "nanodet")
    assert again.exit_code == 0, again.output
    assert person.types("rollout", "rollback", first["id"]).exit_code == 8


def test_pause_and_resume_right_after_each_other_are_both_taken(person: Person) -> None:
    assert person.types("rollout", "start", "nanodet").exit_code == 0
    (begun,) = json.loads(person.types("rollout", "list", "--json").stdout)
    assert person.types("rollout", "pause", begun["id"]).exit_code == 0
    resumed = person.types("rollout", "resume", begun["id"])
    assert resumed.exit_code == 0, resumed.output
    assert resumed.stdout == f"Rollout {begun['id'][:8]} stays running: nothing has come of the pause yet.\n"


def test_watched_rollout_fits_a_narrow_terminal(person: Person) -> None:
    begun = json.loads(person.types("rollout", "start", "nanodet", "--json").stdout)
    rolled_back = {"phase": "rolled_back", "reason": "1 returned"}
    with sqlite3.connect(person.data_dir / "vedette.db") as database:
        (record,) = database.execute("SELECT record FROM rollouts").fetchone()
        database.execute(
            "UPDATE rollouts SET phase = 'rolled_back', record = ?", (json.dumps(json.loads(record) | rolled_back),)
        )
    watched = person.types("rollout", "watch", begun["id"])
    assert watched.exit_code == 0, watched.output
    assert "\n0 of 1 returned, 0 at work, 0 failed, 0 away\n" in watched.stdout
    assert watched.stdout.endswith("\n1 returned\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("abort", ""), 2, "no rollout is named"),
        (("start", "nanodet@9"), 8, "no release nanodet@9"),
        (("start", "nanodet", "--soak", "soon"), 2, "no length of time"),
        (("start", "nanodet", "--stages", "50,10"), 2, "count up"),
        (("start", "nanodet", "--window", "someday/01:00-02:00"), 2, "no window"),
        (("start", "nanodet", "--min-agreement", "7"), 2, "min-agreement"),
        (("start", "nanodet", "--ask-disagreements", "-1"), 2, "ask-disagreements"),
        (("start", "nanodet", "--group", "../x"), 2, "can't be a group"),
        (("start", "nanodet", "--group", "yard"), 8, "no device in the group yard"),
        (("start", "nanodet", "--canary", "cam-9"), 8, "can't be canaries"),
        (("watch",), 4, "there is no rollout"),
        (("pause", "abc"), 4, "there is no rollout abc"),
        (("place", "cam-9", "--pin"), 4, "no device called cam-9"),
        (("place", "cam-1", "--label", "site"), 2, "no label"),
        (("place", "cam-1", "--label", "a key=x"), 2, "--label 'a key=x' is no label"),
        (("place", "cam-1", "--label", "site=über"), 2, "--label 'site=über' is no label"),
        (("start", "nanodet", "--stages", "50,10"), 2, "error: stages: stages must count up"),
    ],
)
def test_what_can_t_be_done_is_said_in_plain_words(
    person: Person, words: tuple[str, ...], code: int, said: str
) -> None:
    result = person.types("rollout", *words)
    assert said in result.stderr
    assert result.exit_code == code


def test_placed_device_is_left_out_where_it_is_pinned(person: Person) -> None:
    placed = person.types("rollout", "place", "cam-1", "--pin", "--label", "site=north", "--json")
    assert json.loads(placed.stdout) == {
        "device": "cam-1", "group": "default", "labels": {"site": "north"}, "pinned": True,
    }  # fmt: skip
    assert person.types("rollout", "start", "nanodet").exit_code == 8
    unpinned = person.types("rollout", "place", "cam-1", "--unpin", "--label", "site=")
    assert "cam-1: group default\n" in unpinned.stdout
    assert person.types("rollout", "start", "nanodet").exit_code == 0
    assert person.types("rollout", "start", "nanodet").exit_code == 8


@pytest.mark.parametrize("text", ["24:30-25:00", "01:60-02:00", "mon-/01:00-02:00", "", "mon/1-2"])
def test_windows_that_are_none(text: str) -> None:
    with pytest.raises(SettingsInvalid):
        window(text)


def test_lengths_of_time_and_stages() -> None:
    assert [seconds(text, "--soak") for text in ("90", "1.5s", "2m", "1h", "1d")] == [90, 1.5, 120, 3600, 86_400]
    assert stages("1, 10%,100") == (1, 10, 100)
    with pytest.raises(SettingsInvalid):
        stages("a few")
