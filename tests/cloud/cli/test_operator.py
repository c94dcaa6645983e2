"""`vedette operator`, as a person or a program calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.cli import app
from cloud.cli import operator as operator_module
from cloud.operators import passwords
from tests.cloud.operators.site import PASSWORD, WRONG


class Person:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def types(self, *words: str, given: str | bytes = "") -> Result:
        return CliRunner().invoke(app, ["operator", *words, "--data-dir", str(self.data_dir)], input=given)

    def kept(self) -> str:
        return "".join(file.read_bytes().decode("latin-1") for file in self.data_dir.glob("vedette.db*"))


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    return Person(tmp_path / "data")


def test_operators_are_added_listed_given_tokens_and_removed(person: Person) -> None:
    assert "operator add" in person.types("list").stdout
    assert person.types("add", "anna", "--password-stdin", given=f"{PASSWORD}\n").exit_code == 0
    made = person.types("token", "anna", "prometheus")
    assert made.stdout.startswith("vdo_")
    (anna,) = json.loads(person.types("list", "--json").stdout)
    assert (anna["name"], anna["logged_in_at"]) == ("anna", None)
    assert [(one["purpose"], one["used_at"]) for one in anna["tokens"]] == [("prometheus", None)]
    assert "prometheus (used never)" in person.types("list").stdout
    for secret in (PASSWORD, made.stdout.strip()):
        assert secret not in person.kept()
    assert person.types("token", "anna", "prometheus", "--revoke").exit_code == 0
    assert person.types("token", "anna", "prometheus", "--revoke").exit_code == 4
    assert person.types("remove", "anna").exit_code == 0
    assert json.loads(person.types("list", "--json").stdout) == []


def test_a_generated_password_is_all_that_is_printed(person: Person) -> None:
    for words in (("add", "anna"), ("password", "anna")):
        made = person.types(*words, "--generate")
        assert len(made.stdout.strip()) == 24
        assert made.stdout.strip() not in made.stderr


@pytest.mark.parametrize(
    ("words", "given", "code", "said"),
    [
        (("add", "Anna", "--generate"), "", 2, "can't be an operator's name"),
        (("add", "ben", "--password-stdin"), "short\n", 2, "needs 15 or more"),
        (("add", "ben", "--password-stdin"), "", 2, "0 characters"),
        (("add", "ben", "--password-stdin"), b"\xff" * 20 + b"\n", 2, "UTF-8"),
        (("add", "ben", "--password-stdin"), "x" * 2000 + "\n", 2, "over 256"),
        (("add", "ben", "--password-stdin", "--generate"), "", 2, "one of both"),
        (("add", "ben"), "", 2, "--password-stdin"),
        (("add", "anna", "--generate"), "", 5, "operator password anna"),
        (("password", "ben", "--generate"), "", 4, "operator list"),
        (("password", "anna", "--password-stdin"), "short\n", 2, "needs 15 or more"),
        (("remove", "ben"), "", 4, "operator list"),
        (("token", "ben", "prometheus"), "", 4, "operator list"),
        (("token", "anna", "For Prometheus"), "", 2, "can't be a token's name"),
    ],
)
def test_what_can_not_be_done_says_why_and_leaves_all_as_it_was(
    person: Person, words: tuple[str, ...], given: str | bytes, code: int, said: str
) -> None:
    person.types("add", "anna", "--password-stdin", given=f"{PASSWORD}\n")
    before = person.types("list", "--json").stdout
    refused = person.types(*words, given=given)
    assert (refused.exit_code, said in refused.stderr) == (code, True), refused.stderr
    assert person.types("list", "--json").stdout == before


def test_on_a_terminal_it_is_asked_for_twice(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter((PASSWORD, WRONG, "short", PASSWORD, PASSWORD))
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    monkeypatch.setattr(operator_module, "_asked_of_a_person", lambda: True)
    monkeypatch.setattr(operator_module.getpass, "getpass", ask)
    assert "not the same" in person.types("add", "anna").stderr
    assert "needs 15" in person.types("add", "anna").stderr
    assert person.types("add", "anna").exit_code == 0
    assert asked == ["Password: ", "Once more: ", "Password: ", "Password: ", "Once more: "]


def test_the_last_one_to_go_is_told_what_follows(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_LOGIN__ALWAYS", "true")
    person.types("add", "anna", "--generate")
    assert "will not start again" in person.types("remove", "anna").stdout
