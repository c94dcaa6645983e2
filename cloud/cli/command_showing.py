"""Commands on the terminal, and for programs: while they are waited for, and when they are over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import typer
from rich.live import Live
from rich.table import Table

from cloud.cli.telling import output
from cloud.store.commands import CommandRecord, State
from cloud.web.commands import command_view

Told = Callable[[Sequence[CommandRecord]], None]
Shown = AbstractContextManager[Told]


def shown_while_waiting(*, as_json: bool, as_lines: bool) -> Callable[[], Shown]:
    """How the waiting is shown: as a table that moves, as lines for programs, or not at all."""
    if as_lines:
        return _in_lines
    return _in_a_table if output.is_terminal and not as_json else _not_at_all


@contextmanager
def _in_a_table() -> Iterator[Told]:
    with Live(_progress(()), console=output, transient=True, auto_refresh=False) as live:
        yield lambda records: live.update(_progress(records), refresh=True)


@contextmanager
def _in_lines() -> Iterator[Told]:
    said: dict[str, str] = {}

    def tell(records: Sequence[CommandRecord]) -> None:
        for record in records:
            line = command_view(record).model_dump_json()
            if said.get(record.id) != line:
                said[record.id] = line
                typer.echo(line)

    yield tell


@contextmanager
def _not_at_all() -> Iterator[Told]:
    yield lambda _: None


def show_commands(records: Sequence[CommandRecord], *, as_json: bool, issued: bool = False) -> None:
    """Print commands; one that was just issued with all that it gave."""
    if as_json:
        typer.echo(json.dumps([command_view(record).model_dump(mode="json") for record in records]))
    elif not records:
        output.print("No command was issued yet: vedette command DEVICE ping --wait")
    elif issued and len(records) == 1:
        _show_one(records[0])
    else:
        output.print(_table(records))


def _show_one(record: CommandRecord) -> None:
    if record.outcome is None:
        output.print(
            f"{record.name} to {record.device}: {_standing(record)}; it expires at {_time(record.expires_at)}."
        )
        return
    output.print(f"{record.name} to {record.device}: {_standing(record)}")
    for key, value in record.result.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        output.print(f"{key}:\n{text}" if "\n" in text else f"{key}: {text}")


def _table(records: Sequence[CommandRecord]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("issued", "by", "device", "command", "outcome"):
        table.add_column(heading, overflow="fold")
    for record in records:
        table.add_row(_time(record.issued_at), record.issued_by, record.device, record.name, _standing(record))
    return table


def _progress(records: Sequence[CommandRecord]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for record in [record for record in records if record.is_open][:20]:
        table.add_row(record.device, record.name, _standing(record))
    done = sum(not record.is_open for record in records)
    if len(records) > 1:
        table.add_row(f"{done} of {len(records)} done", "", "")
    return table


def _standing(record: CommandRecord) -> str:
    if record.outcome is not None:
        return f"{record.outcome}: {record.reason}" if record.reason else str(record.outcome)
    share = f" {record.progress:.0%}" if record.progress is not None else ""
    words = f" ({record.reason})" if record.reason else ""
    return f"{'waits for the device' if record.state is State.QUEUED else record.state}{share}{words}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
