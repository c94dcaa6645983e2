"""`vedette push …`: how receivers of alerts stand, and whether one takes a test.

| code | meaning |
|---|---|
| 0 | done; for `test`: it was taken |
| 2 | wrong usage, or wrong settings |
| 4 | the settings name no such receiver |
| 11 | the receiver did not take the test |
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.adapters.http_push import HttpSender
from cloud.cli.service import DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.telling import output, told
from cloud.config import Settings
from cloud.errors import NotFound, PushRefused
from cloud.push.decide import Answer, answer_of
from cloud.push.request import build
from cloud.push.settings import Moment, PushSettings
from cloud.store.push import Progress, PushStore
from wire.messages import Alert, AlertEvent, AlertState

push_app: Final = typer.Typer(help="Alerts to webhooks, ntfy and the like: list, test.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The service's TOML file, which names them.")]


@push_app.command(name="list")
def list_(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The receivers: what was delivered, what waits, and why the next is not taken."""
    with told():
        settings = settings_of(config, data_dir)
        found = asyncio.run(_progress(settings))
        if as_json:
            typer.echo(json.dumps([asdict(one) for one in found], default=str))
        elif found:
            output.print(_table(settings.push, found))
        else:
            output.print("The settings name no receiver: [[push]] makes one.")


@push_app.command(name="test")
def try_(
    name: Annotated[str, typer.Argument(help="The receiver's name in the settings.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a made-up alert to a receiver now, whatever it is otherwise told of."""
    with told():
        settings = settings_of(config, data_dir)
        push = next((one for one in settings.push if one.name == name), None)
        if push is None:
            known = ", ".join(one.name for one in settings.push) or "none"
            raise NotFound(f"there is no receiver {name}", f"The settings name {known}; --config says which file.")
        clock = SystemClock()
        request = build(push, made_up(clock.wall()), push.on[0], test=True)
        status = asyncio.run(HttpSender(clock).send(push, request))
        if answer_of(status) is not Answer.TAKEN:
            raise PushRefused(f"{name} answers {status}", _mend(status))
        if as_json:
            typer.echo(json.dumps({"push": name, "status": status}))
        else:
            output.print(f"{name} took it ({status}).")


def made_up(now: datetime) -> Alert:
    """An alert of a device that does not exist."""
    return Alert(
        message_id=uuid.uuid4().hex,
        device="test",
        made_at=now,
        boot_id=uuid.uuid4().hex,
        boot_seq=1,
        id=uuid.uuid4().hex,
        event=AlertEvent.NEW,
        revision=0,
        state=AlertState.CONFIRMED,
        camera="test",
        sequence=1,
        rule="test",
        label="person",
        track=1,
        score=0.9,
        box=(0.25, 0.25, 0.5, 0.75),
        seen_first_at=now,
        seen_last_at=now,
        decided_at=now,
        reason="a test of this push",
        model_digest=f"sha256:{'0' * 64}",
    )


def _mend(status: int) -> str:
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        return "It redirects, which is not followed: give the address that it leads to."
    if status in {401, 403}:
        return "Look at bearer_file, secret_file, or the address."
    return "Look at its address and the template."


async def _progress(settings: Settings) -> list[Progress]:
    async with database_of(settings) as database:
        return await PushStore(database).progress([push.name for push in settings.push])


def _table(pushes: tuple[PushSettings, ...], found: list[Progress]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "on", "delivered", "dropped", "waiting", "not taken, because"):
        table.add_column(heading, overflow="fold")
    for push, one in zip(pushes, found, strict=True):
        moments = ", ".join(Moment(moment) for moment in push.on)
        table.add_row(one.name, moments, str(one.delivered), str(one.dropped), str(one.waiting), one.failing or "–")
    return table
