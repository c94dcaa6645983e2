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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import JsonValue, ValidationError

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli.command_files import KEPT, demand_place, save
from cloud.cli.command_showing import Shown, show_commands, shown_while_waiting
from cloud.cli.rollout_options import labels
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.telling import errors, told
from cloud.config import Settings
from cloud.errors import DeviceUnknown, SettingsInvalid
from cloud.store.commands import CommandRecord, CommandStore, refused
from cloud.store.database import Database
from cloud.store.devices import DeviceStore
from wire.codec import encode
from wire.commands import Command, CommandName, Outcome
from wire.errors import MessageTooLarge

REFUSED: Final = 6
OVERDUE: Final = 7
LOOK_EVERY_S: Final = 0.2
WAIT: Final = "30s"
WAITS: Final[dict[str, str]] = {CommandName.UPDATE_MODEL: "15m", CommandName.CAPTURE_CLIP: "15m"}
"""As long as a device works on them at most."""
MAX_LIFE: Final = timedelta(days=7)
"""The broker keeps a session for so long; what is wanted for longer is a setting, not a command."""
LISTED: Final = 50
PINNED: Final = "it is pinned: what it runs stays. `vedette rollout place DEVICE --unpin` frees it"
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
    timeout: Annotated[
        str | None, typer.Option(help="How long to wait; 30s, or 15m for update-model and capture-clip.")
    ] = None,
    expires: Annotated[str, typer.Option(help="When it must not be done any more: 30s, 5m, 2h, 1d.")] = "5m",
    every_device: Annotated[bool, typer.Option("--all", help="Every device that is not revoked.")] = False,
    group: Annotated[str | None, typer.Option(help="The devices of a rollout group.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE: the devices that bear it (of --group, where both); several.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --wait: where the picture or clip goes; a folder where there are several devices."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="With `list`: of this device only.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
    as_lines: Annotated[
        bool, typer.Option("--jsonl", help="For programs, with --wait: a line for each change, as it happens.")
    ] = False,
) -> None:
    """Ask something of devices: ping, snapshot, capture-clip, update-model, mute … `command list` shows what was.

    Exit codes: 0 done (or queued, without --wait), 6 refused or failed, 7 expired or timed out.
    """
    with told():
        settings = settings_of(config, data_dir)
        if words == ["list"]:
            show_commands(asyncio.run(_latest(settings, device)), as_json=as_json)
            return
        chosen, rest = _chosen(words, every_device=every_device, group=group, label=label)
        if not rest:
            raise SettingsInvalid("no command is named", f"They are {', '.join(CommandName)}.")
        if (out is not None or as_lines) and not wait:
            raise SettingsInvalid("--out and --jsonl need --wait", "Without it nothing has come back yet.")
        name = _name(rest[0])
        if out is not None and name not in KEPT:
            raise SettingsInvalid(f"{name} gives no file for --out", f"These do: {', '.join(KEPT)}.")
        issued = _Issuing(
            chosen=chosen,
            name=name,
            arguments=read_arguments(rest[1:]),
            life=span(expires, "--expires"),
            wait=span(timeout or WAITS.get(name, WAIT), "--timeout") if wait else None,
            out=out,
        )
        records = asyncio.run(issued.run(settings, shown_while_waiting(as_json=as_json, as_lines=as_lines)))
        if not as_lines:
            show_commands(records, as_json=as_json, issued=True)
        if out is not None:
            for line in asyncio.run(save(DataDir(settings.data_dir), records, out)):
                errors.print(line)
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


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which devices: those named, or with none, all of the group that bear the labels; None is any group."""

    named: tuple[str, ...] = ()
    group: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> str:
        """Where it was looked for, for an error."""
        group = "" if self.group is None else f" in the group {self.group}"
        labels = ", ".join(f"{key}={value}" for key, value in self.labels.items())
        return f"{group}{f' that bears {labels}' if labels else ''}"


def _chosen(
    words: Sequence[str], *, every_device: bool, group: str | None, label: Sequence[str] | None
) -> tuple[Chosen, Sequence[str]]:
    """The devices, and the words after them."""
    if every_device and (group is not None or label):
        raise SettingsInvalid("--all and --group or --label are both there", "Say one of them.")
    if every_device or group is not None or label:
        return Chosen((), group, labels(label or ())), words
    return Chosen(tuple(dict.fromkeys(words[0].split(",")))), words[1:]


def _name(word: str) -> str:
    if word not in set(CommandName):
        raise SettingsInvalid(f"{word!r} is no command", f"They are {', '.join(CommandName)}.")
    return word


class _Issuing:
    """One call of the command line."""

    def __init__(
        self,
        *,
        chosen: Chosen,
        name: str,
        arguments: dict[str, JsonValue],
        life: timedelta,
        wait: timedelta | None,
        out: Path | None,
    ) -> None:
        self._chosen = chosen
        self._name = name
        self._arguments = arguments
        self._life = life
        self._wait = wait
        self._out = out

    async def run(self, settings: Settings, show: Callable[[], Shown]) -> list[CommandRecord]:
        """Queue it, and wait where that was asked."""
        async with database_of(settings) as database:
            devices = await self._found(database)
            if not devices:
                raise DeviceUnknown(f"there is no device{self._chosen.words()}", "`vedette devices` lists them.")
            if self._out is not None:
                demand_place(self._out, several=len(devices) > 1)
            store = CommandStore(database)
            pinned = await store.pinned(devices) if self._name == CommandName.UPDATE_MODEL else frozenset()
            issued = self._records(devices, pinned, SystemClock().wall())
            await store.add(issued)
            batch = issued[0].batch
            if self._wait is None:
                return await store.of_batch(batch)
            return await self._until_done(store, batch, show)

    async def _found(self, database: Database) -> list[str]:
        store = DeviceStore(database)
        if not self._chosen.named:
            return await CommandStore(database).devices_of(self._chosen.group, self._chosen.labels)
        for device in self._chosen.named:
            if (await store.find(device)).revoked_at is not None:
                raise DeviceUnknown(f"{device} is revoked", "It is sent nothing any more.")
        return list(self._chosen.named)

    def _records(self, devices: Sequence[str], pinned: Collection[str], now: datetime) -> list[CommandRecord]:
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
        return [refused(one, PINNED, now) if one.device in pinned else one for one in records]

    async def _until_done(self, store: CommandStore, batch: str, show: Callable[[], Shown]) -> list[CommandRecord]:
        records = await store.of_batch(batch)
        with show() as shown:
            shown(records)
            try:
                async with asyncio.timeout((self._wait or timedelta()).total_seconds()):
                    while any(record.is_open for record in records):
                        await asyncio.sleep(LOOK_EVERY_S)  # The service is another process: only the database tells.
                        records = await store.of_batch(batch)
                        shown(records)
            except TimeoutError:
                records = await store.of_batch(batch)
                shown(records)
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
    async with database_of(settings) as database:
        return await CommandStore(database).page(device, LISTED)
