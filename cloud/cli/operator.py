"""`vedette operator`: the people who may log in to the dashboard.

Like enrolling, this works on the service's database, whether or not the service runs: it needs a shell there (ADR 7).
What ends a session counts from the next request on, and within a second for a dashboard that is open.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.telling import errors, output, told
from cloud.config import Settings
from cloud.operators.accounts import Accounts
from cloud.operators.errors import OperatorExists, PasswordRefused
from cloud.operators.passwords import MAX_LENGTH, check, checked_name, generated
from cloud.store.operators import OperatorRecord, OperatorStore

T = TypeVar("T")

operator_app: Final = typer.Typer(help="The people who may log in to the dashboard.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="As they log in.")]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the input's first line.")]
GenerateOption = Annotated[bool, typer.Option("--generate", help="Make a password, and print it this once.")]


@operator_app.command()
def add(
    name: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
) -> None:
    """Take an operator in; the password is asked for twice."""
    with told():
        settings = settings_of(config, data_dir)
        checked_name(name)
        if name in (one.name for one in _run(settings, lambda accounts: accounts.all())):
            raise OperatorExists(
                f"there is an operator {name} already", f"Set another password: `vedette operator password {name}`."
            )
        password = _password(stdin=password_stdin, generate=generate)
        _run(settings, lambda accounts: accounts.add(name, password))
        errors.print(f"{name} may log in.")
        _show(password if generate else None)


@operator_app.command("list")
def list_operators(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who may log in, when they did last, and their programs' tokens."""
    with told():
        found = _run(settings_of(config, data_dir), lambda accounts: accounts.all())
        if as_json:
            typer.echo(json.dumps([_facts(one) for one in found]))
        elif found:
            output.print(_table(found))
        else:
            output.print("There is no operator yet: vedette operator add NAME")


@operator_app.command()
def remove(name: NameArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Let an operator go: sessions and tokens end at once."""
    with told():
        settings = settings_of(config, data_dir)
        _run(settings, lambda accounts: accounts.remove(name))
        output.print(f"{name} may not log in any more.")
        if settings.asks_login and not _run(settings, lambda accounts: accounts.all()):
            output.print("Nobody may, now: the service will not start again before another is added.")


@operator_app.command()
def password(
    name: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
) -> None:
    """Set another password: the operator's sessions end at once, tokens go on."""
    with told():
        settings = settings_of(config, data_dir)
        _run(settings, lambda accounts: accounts.need(name))
        chosen = _password(stdin=password_stdin, generate=generate)
        _run(settings, lambda accounts: accounts.change_password(name, chosen))
        errors.print(f"{name} has another password, and has to log in anew.")
        _show(chosen if generate else None)


@operator_app.command()
def token(
    name: NameArgument,
    purpose: Annotated[str, typer.Argument(help="What it is for, such as `prometheus`.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="End the one that there is.")] = False,
) -> None:
    """Make a token for a program that reads the API or the figures, and print it this once; the one before ends."""
    with told():
        settings = settings_of(config, data_dir)
        if revoke:
            _run(settings, lambda accounts: accounts.remove_token(name, purpose))
            output.print(f"{name}'s token {purpose} is revoked.")
            return
        made = _run(settings, lambda accounts: accounts.new_token(name, purpose))
        errors.print("To be sent as `Authorization: Bearer …`; shown this once:")
        typer.echo(made)


def _run(settings: Settings, work: Callable[[Accounts], Coroutine[Any, Any, T]]) -> T:
    async def on_database() -> T:
        async with database_of(settings) as database:
            return await work(Accounts(OperatorStore(database), SystemClock()))

    return asyncio.run(on_database())


def _password(*, stdin: bool, generate: bool) -> str:
    """From wherever it was said to come; never from the command line, which anybody on the machine may read.

    Raises:
        PasswordRefused: It can't be had, was not typed the same twice, or there is nobody to ask.
    """
    if stdin and generate:
        raise PasswordRefused("the password is to be read, and to be made", "Say one of both.")
    if generate:
        return generated()
    if stdin:
        line = sys.stdin.buffer.readline(4 * MAX_LENGTH + 2)  # a character has at most four bytes
        try:
            said = line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise PasswordRefused("the password is not text in UTF-8", "Write it so.") from None
        check(said)
        return said
    if not _asked_of_a_person():
        raise PasswordRefused("there is no terminal to ask on", "Give --password-stdin, or --generate.")
    said = getpass.getpass("Password: ")
    check(said)
    if getpass.getpass("Once more: ") != said:
        raise PasswordRefused("the two are not the same", "Try again.")
    return said


def _asked_of_a_person() -> bool:
    return sys.stdin.isatty()


def _show(made: str | None) -> None:
    if made is not None:
        errors.print("The password, shown this once:")
        typer.echo(made)


def _facts(one: OperatorRecord) -> dict[str, object]:
    return {
        "name": one.name,
        "added_at": one.added_at.isoformat(),
        "password_changed_at": one.changed_at.isoformat(),
        "logged_in_at": _iso(one.seen_at),
        "tokens": [
            {"purpose": of.purpose, "made_at": of.made_at.isoformat(), "used_at": _iso(of.used_at)}
            for of in one.tokens
        ],
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _table(found: list[OperatorRecord]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("operator", "added", "logged in last", "tokens"):
        table.add_column(heading, overflow="fold")
    for one in found:
        tokens = ", ".join(f"{of.purpose} (used {_when(of.used_at)})" for of in one.tokens)
        table.add_row(one.name, _when(one.added_at), _when(one.seen_at), tokens or "–")
    return table


def _when(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M %Z}"
