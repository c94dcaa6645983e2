"""Whatever a document tells a person to type exists, and somebody types it; each command explains itself."""

import argparse
import re

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from agent.__main__ import COMMANDS
from agent.command_line import argument_parser
from cloud.cli.later import Later
from tests.docs.elsewhere import ELSEWHERE, NOT_HERE, typed_elsewhere
from tests.docs.prose import DOCUMENTS, ROOT, blocks, commands, commands_under, name_of, typed
from workbench.__main__ import app

TARGETS = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8")))


def itself(command):
    return command.real if isinstance(command, Later) else command


SERVICE = typer.main.get_command(app)
AGENT = argument_parser(COMMANDS)
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
        command = itself(command.commands[rest.pop(0)])
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


def below(command, path=()):
    """Every command of the service, by the words that lead to it."""
    yield path, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from below(itself(inner), (*path, name))


@pytest.mark.parametrize(("path", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in below(SERVICE)])
def test_each_command_of_the_service_explains_itself_and_its_options(path, command):
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert command.help
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []
    # Taken for markup, and not shown.
    assert "[" not in command.help + "".join(one.help for one in command.params)
    assert not re.search(r"[^\n]\n[^\n ]", command.help), "a line ends where the source's does"


@pytest.mark.parametrize("command", [pytest.param(one, id=name) for name, one in SERVICE.commands.items()])
def test_the_list_says_of_a_command_what_it_says_of_itself(command):
    assert isinstance(command, Later)
    assert command.help == " ".join(command.real.help.partition("\n\n")[0].split())
    assert command.name == command.real.name


@pytest.mark.parametrize(
    ("typist", "document", "one"),
    [
        (typist, document, one)
        for typist, told in ELSEWHERE.items()
        for document, found in told.items()
        for one in found
    ],
)
def test_who_types_a_command_elsewhere_takes_it_from_the_document(typist, document, one):
    path, _, function = typist.partition("::")
    source = (ROOT / path).read_text("utf-8")
    assert not function or f"def {function}(" in source
    if one.startswith("# "):
        assert commands_under(ROOT / document, one[2:])
        assert f'"{one[2:]}"' in source
    else:
        assert one in commands(ROOT / document)
        assert one in source


def test_what_nobody_types_stands_in_its_document_and_has_a_reason():
    for document, reasons in NOT_HERE.items():
        assert reasons.keys() <= set(commands(ROOT / document))
        assert all(reasons.values())


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_document_s_commands_are_typed(path):
    """That all of them were is what the last test of that file says, once it has typed them."""
    left = [command for command in commands(path) if (name_of(path), command) not in typed_elsewhere()]
    assert not left or f'"{name_of(path)}"' in (ROOT / "tests/system/test_documents.py").read_text("utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_block_hides_what_it_is(path):
    """Commands are looked for in blocks that say `sh`."""
    assert blocks(path, "") == []
