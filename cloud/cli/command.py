"""`vedette command`: asks something of devices, waits for what comes of it, and shows what was asked before.

It writes into the database, like enrolling does; the service sends it, and keeps trying until it expires. Who asked
is the user of this machine.

| code | meaning |
|---|---|
| 0 | every device did it; without `--wait`: it is queued |
| 6 | a device refused, or failed |
| 7 | it expired, or was not done within `--timeout` |
"""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import JsonValue, ValidationError
from rich.live import Live
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli.telling import output, told
from cloud.config import Settings, load_settings
from cloud.errors import DeviceUnknown, SettingsInvalid
from cloud.log import configure
from cloud.store.commands import CommandRecord, CommandStore, State
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.web.commands import command_view
from wire.codec import encode
from wire.commands import Command, CommandName, Outcome
from wire.errors import MessageTooLarge

REFUSED: Final = 6
OVERDUE: Final = 7
LOOK_EVERY_S: Final = 0.2
MAX_LIFE: Final = timedelta(days=7)
"""The broker keeps a session for so long; what is wanted for longer is a setting, not a command."""
LISTED: Final = 50
_SPAN: Final = re.compile(r"^(\d{1,6}(?:\.\d{1,3})?)\s*(s|m|h|d|)$")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="DEVICE NAME [KEY=VALUE]…",
            help="`list`, or a device (several with commas; none with --all), the command, and its arguments;"
            " KEY=@FILE takes a file's text.",
        ),
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome, and show progress.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait.")] = "30s",
    expires: Annotated[str, typer.Option(help="When it must not be done any more: 30s, 5m, 2h, 1d.")] = "5m",
    every_device: Annotated[bool, typer.Option("--all", help="Every device that is not revoked.")] = False,
    group: Annotated[str | None, typer.Option(help="The devices of a rollout group.")] = None,
    device: Annotated[str | None, typer.Option(help="With `list`: of this device only.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="The service's TOML file.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Where the service keeps its data.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of text.")] = False,
) -> None:
    """Ask something of devices: ping, snapshot, diagnose, restart, mute, set-config … `command list` shows what was.

    Exit codes: 0 done (or queued, without --wait), 6 refused or failed, 7 expired or timed out.
    """
    with told():
        settings = load_settings(config, {"data_dir": data_dir})
        configure("warning", settings.log_format)
        if words == ["list"]:
            _show(asyncio.run(_latest(settings, device)), as_json=as_json)
            return
        many = every_device or group is not None
        if every_device and group is not None:
            raise SettingsInvalid("--all and --group are both there", "Say one of them.")
        named = [] if many else words[0].split(",")
        rest = words if many else words[1:]
        if not rest:
            raise SettingsInvalid("no command is named", f"They are {', '.join(CommandName)}.")
        issued = _Issuing(
            devices=named,
            group=group,
            name=_name(rest[0]),
            arguments=read_arguments(rest[1:]),
            life=span(expires, "--expires"),
            wait=span(timeout, "--timeout") if wait else None,
        )
        records = asyncio.run(issued.run(settings, quiet=as_json))
        _show(records, as_json=as_json, issued=True)
    raise typer.Exit(exit_code(records) if wait else 0)


def exit_code(commands: Sequence[CommandRecord]) -> int:
    """What the outcomes come to: refused or failed weighs most, then expired or not done in time."""
    outcomes = {command.outcome for command in commands}
    if outcomes & {Outcome.REFUSED, Outcome.FAILED}:
        return REFUSED
    return OVERDUE if outcomes & {Outcome.EXPIRED, None} else 0


def span(text: str, option: str) -> timedelta:
    """A time span like `30s`, `5m`, `2h` or `1d`; seconds where no unit is named.

    Raises:
        SettingsInvalid: It is none, is 0, or is over a week.
    """
    found = _SPAN.match(text.strip())
    length = timedelta(seconds=float(found[1]) * _SECONDS[found[2]]) if found else timedelta()
    if not timedelta() < length <= MAX_LIFE:
        raise SettingsInvalid(f"{option} {text!r} is no time span up to 7 days", "Write 30s, 5m, 2h or 1d.")
    return length


def read_arguments(words: Sequence[str]) -> dict[str, JsonValue]:
    """`key=value` pairs. A value is JSON where it reads as such, otherwise text; `@file` is the file's text.

    Raises:
        SettingsInvalid: A word is no pair, a key comes twice, or a file can't be read.
    """
    arguments: dict[str, JsonValue] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or key in arguments:
            raise SettingsInvalid(f"{word!r} is no argument, or comes twice", "Write KEY=VALUE.")
        if value.startswith("@"):
            try:
                arguments[key] = Path(value[1:]).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as refused:
                raise SettingsInvalid(f"{value[1:]} can't be read: {refused}", "Name a text file.") from None
            continue
        try:
            arguments[key] = json.loads(value, parse_constant=_no_number)
        except (ValueError, RecursionError):
            arguments[key] = value
    return arguments


def _no_number(text: str) -> JsonValue:
    """JSON has no NaN and no infinity; the word is text then."""
    raise ValueError(text)


def _name(word: str) -> str:
    if word not in set(CommandName):
        raise SettingsInvalid(f"{word!r} is no command", f"They are {', '.join(CommandName)}.")
    return word


class _Issuing:
    """One call of the command line."""

    def __init__(
        self,
        *,
        devices: list[str],
        group: str | None,
        name: str,
        arguments: dict[str, JsonValue],
        life: timedelta,
        wait: timedelta | None,
    ) -> None:
        self._devices = devices
        self._group = group
        self._name = name
        self._arguments = arguments
        self._life = life
        self._wait = wait

    async def run(self, settings: Settings, *, quiet: bool) -> list[CommandRecord]:
        """Queue it, and wait where that was asked."""
        data = DataDir(settings.data_dir)
        data.make()
        async with open_database(data.database_url) as database:
            devices = await self._chosen(database)
            if not devices:
                where = "" if self._group is None else f" in the group {self._group}"
                raise DeviceUnknown(f"there is no device{where}", "`vedette devices` lists them.")
            store = CommandStore(database)
            issued = self._records(devices, SystemClock().wall())
            await store.add(issued)
            batch = issued[0].batch
            if self._wait is None:
                return await store.of_batch(batch)
            return await self._until_done(store, batch, quiet=quiet)

    async def _chosen(self, database: Database) -> list[str]:
        store = DeviceStore(database)
        if self._group is not None:
            return await CommandStore(database).devices_of(self._group)
        if not self._devices:
            return [found.id for found in await store.all() if found.revoked_at is None]
        for device in self._devices:
            if (await store.find(device)).revoked_at is not None:
                raise DeviceUnknown(f"{device} is revoked", "It is sent nothing any more.")
        return list(dict.fromkeys(self._devices))

    def _records(self, devices: Sequence[str], now: datetime) -> list[CommandRecord]:
        batch, who = uuid.uuid4().hex, issuer()
        records = [
            CommandRecord(
                id=uuid.uuid4().hex,
                batch=batch,
                device=device,
                name=self._name,
                arguments=self._arguments,
                issued_by=who,
                issued_at=now,
                expires_at=now + self._life,
            )
            for device in devices
        ]
        _check(records[0])
        return records

    async def _until_done(self, store: CommandStore, batch: str, *, quiet: bool) -> list[CommandRecord]:
        records = await store.of_batch(batch)
        live = Live(_progress(records), console=output, transient=True, auto_refresh=False)
        show: Callable[[Sequence[CommandRecord]], None] = lambda _: None  # noqa: E731 - nothing to show
        if output.is_terminal and not quiet:
            live.start()
            show = lambda found: live.update(_progress(found), refresh=True)  # noqa: E731 - the other case
        try:
            async with asyncio.timeout((self._wait or timedelta()).total_seconds()):
                while any(record.is_open for record in records):
                    await asyncio.sleep(LOOK_EVERY_S)  # The service is another process: only the database tells.
                    records = await store.of_batch(batch)
                    show(records)
        except TimeoutError:
            return await store.of_batch(batch)
        finally:
            live.stop()
        return records


def issuer() -> str:
    """Who types, for the audit trail."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown user"
    return "".join(character for character in name if character.isprintable())[:200] or "unknown user"


def _check(record: CommandRecord) -> None:
    """Hold the command against the wire before it is queued.

    Raises:
        SettingsInvalid: It breaks the contract.
    """
    try:
        encode(
            Command(
                message_id=record.id,
                device=record.device,
                made_at=record.issued_at,
                name=record.name,
                expires_at=record.expires_at,
                arguments=dict(record.arguments),
                issued_by=record.issued_by,
            )
        )
    except (ValidationError, MessageTooLarge, ValueError) as refused:
        first = str(refused).splitlines()[0]
        raise SettingsInvalid(f"the command can't be sent: {first}", "Shorten its arguments.") from None


async def _latest(settings: Settings, device: str | None) -> list[CommandRecord]:
    data = DataDir(settings.data_dir)
    data.make()
    async with open_database(data.database_url) as database:
        return await CommandStore(database).page(device, LISTED)


def _show(records: Sequence[CommandRecord], *, as_json: bool, issued: bool = False) -> None:
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
