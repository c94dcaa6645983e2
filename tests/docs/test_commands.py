"""Whatever a document tells a person to type exists."""

import argparse
import re

import pytest
import typer
from typer.core import TyperGroup

from agent.__main__ import _parser
from tests.docs.prose import ROOT, typed
from workbench.__main__ import app

TARGETS = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8")))
SERVICE = typer.main.get_command(app)
AGENT = _parser()
TYPED = typed()


def of(program):
    return [pytest.param(one, id=str(one)) for one in TYPED if one.words[0] == program]


def test_the_readme_s_two_commands_are_found():
    assert {("make", "demo"), ("make", "test")} <= {
        one.words for one in TYPED if one.whole and one.where == "README.md"
    }


@pytest.mark.parametrize("one", of("make"))
def test_make_targets_exist(one):
    wanted = {word for word in one.words[1:] if "=" not in word}
    assert wanted <= TARGETS


@pytest.mark.parametrize("one", of("vedette"))
def test_commands_of_the_service_exist(one):
    command, rest = SERVICE, list(one.words[1:])
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        command = command.commands[rest.pop(0)]
    if one.whole:
        command.make_context(one.words[0], rest)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known | {"--help"}


@pytest.mark.parametrize("one", of("vedette-agent"))
def test_commands_of_the_agent_exist(one):
    if one.whole:
        AGENT.parse_args(one.words[1:])
    (commands,) = [action for action in AGENT._actions if isinstance(action, argparse._SubParsersAction)]
    command = commands.choices[one.words[1]]
    assert {word for word in one.words[2:] if word.startswith("-")} <= set(command._option_string_actions)
