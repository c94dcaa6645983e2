"""`vedette devices` and `vedette device`: the fleet, and who belongs to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli.claims import claims_for, taken_in
from cloud.cli.names import read_names
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.snippet import (
    agent_snippet,
    claim_text,
    claimed_snippet,
    device_addresses,
    external_snippet,
    external_text,
)
from cloud.cli.telling import output, told
from cloud.config import Settings
from cloud.errors import SettingsInvalid
from cloud.fleet.enrolment import Enrolment
from cloud.store.devices import DeviceStore
from cloud.web.views import DeviceView, device_view
from wire.messages import BudgetLeft, CameraTelemetry, TunedBand

T = TypeVar("T")
KB: Final = 1000.0

device_app: Final = typer.Typer(help="One device: show, enroll, revoke.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The device's id.")]


def devices(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The fleet: who is there, with which model and cameras."""
    with told():
        views = _run(_list(settings_of(config, data_dir)))
        if as_json:
            typer.echo(json.dumps([view.model_dump(mode="json") for view in views]))
        elif views:
            output.print(_table(views))
        else:
            output.print("No device is enrolled yet: vedette device enroll NAME")


@device_app.command()
def show(
    name: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is known of one device."""
    with told():
        view = _run(_show(settings_of(config, data_dir), name))
        if as_json:
            typer.echo(view.model_dump_json())
        else:
            output.print(_details(view))


@device_app.command()
def enroll(
    name: Annotated[str | None, typer.Argument(help="The device's id.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    names: Annotated[
        Path | None, typer.Option("--from", help="Instead of one: a file with an id on each line; - is the input.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="How long the claim can be used; else as `identity.claim_minutes` says.", min=1, max=60 * 24 * 30
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take a device in, and print what makes it one, this once: with TLS a claim, or else a token.

    With TLS a device that is known already gets a new claim; what it had ends once that is used. With an authority
    of your own there is no claim: it certifies the device. With --from, all of them are taken in or none, and each is
    printed as one line of JSON.
    """
    with told():
        settings = settings_of(config, data_dir)
        if (name is None) == (names is None):
            raise SettingsInvalid("which device is not said, or twice", "Say one name, or --from FILE.")
        several = [name] if name is not None else read_names(names)
        if settings.tls and settings.identity.authority == "external":
            _run(taken_in(settings, several))
            running = DataDir(settings.data_dir).announced_addresses()
            http, mqtt = device_addresses(settings, running)
            if as_json or name is None:
                for device in several:
                    typer.echo(json.dumps({"device": device, "http": http, "mqtt": mqtt}))
            else:
                output.print(external_text(name))
                output.print(external_snippet(name, settings, running))
            return
        if settings.tls:
            claims = _run(claims_for(settings, several, minutes))
            if as_json or name is None:
                for claim in claims:
                    facts = {
                        "device": claim.device,
                        "claim": claim.spell(),
                        "expires_at": claim.expires_at.isoformat(),
                    }
                    typer.echo(json.dumps(facts))
            else:
                output.print(claim_text(claims[0]))
                output.print(claimed_snippet(settings))
            return
        tokens = _run(_enroll(settings, several))
        if as_json or name is None:
            for device, token in tokens.items():
                typer.echo(json.dumps({"device": device, "token": token}))
            return
        output.print(f"{name} is enrolled with the service whose data is in {settings.data_dir}.")
        output.print("Its token, shown this once:\n")
        output.print(tokens[name])
        output.print("\nPut it into a file that only the agent can read, and this into the agent's settings:\n")
        output.print(agent_snippet(name, settings, DataDir(settings.data_dir).announced_addresses()))


@device_app.command()
def revoke(name: NameArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Turn a device away: refused from now on, and cut off within a second if it is connected."""
    with told():
        _run(_revoke(settings_of(config, data_dir), name))
        output.print(f"{name} is revoked.")


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def _list(settings: Settings) -> list[DeviceView]:
    now = SystemClock().wall()
    async with database_of(settings) as database:
        return [device_view(device, now) for device in await DeviceStore(database).all()]


async def _show(settings: Settings, name: str) -> DeviceView:
    async with database_of(settings) as database:
        return device_view(await DeviceStore(database).find(name), SystemClock().wall())


async def _enroll(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    async with database_of(settings) as database:
        return await Enrolment(DeviceStore(database), SystemClock()).enroll_all(names)


async def _revoke(settings: Settings, name: str) -> None:
    async with database_of(settings) as database:
        await Enrolment(DeviceStore(database), SystemClock()).revoke(name)


def _table(views: list[DeviceView]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("device", "presence", "last seen", "model", "cameras"):
        table.add_column(heading, overflow="fold")
    for view in views:
        table.add_row(view.device, _presence(view), _seen(view), _model(view), _cameras(view))
    return table


def _details(view: DeviceView) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    rows = {
        "device": view.device,
        "presence": _presence(view),
        "last seen": _seen(view),
        "enrolled": f"{view.enrolled_at:%Y-%m-%d %H:%M:%S %Z}",
        "agent": view.agent_version or "–",
        "model": _model(view),
        "cameras": _cameras(view),
    }
    if view.telemetry is not None:
        rows |= {f"frames, {camera.name}": _frames(camera) for camera in view.telemetry.cameras}
        rows["memory"] = f"{view.telemetry.rss_mib:.0f} MiB"
        rows["waiting to be sent"] = str(view.telemetry.outbox_depth)
        rows |= {_budget_of(budget): _budget(budget) for budget in view.telemetry.budgets}
        rows |= {f"{band.camera}, {band.label}": _band(band) for band in view.telemetry.bands}
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _frames(camera: CameraTelemetry) -> str:
    pace = f"{camera.fps:.1f} a second, {camera.inference_ms:.0f} ms each"
    return f"{pace}; {camera.judged} judged, {camera.still} still, {camera.dropped} left out"


def _budget_of(budget: BudgetLeft) -> str:
    return "budget" if budget.camera is None else f"budget, {budget.camera}"


def _budget(budget: BudgetLeft) -> str:
    said = [f"{budget.allowance}, {budget.spent / KB:.1f} kB spent since the start"]
    if budget.left is not None and budget.most is not None:
        said.append(f"{budget.left / KB:.1f} of {budget.most / KB:.1f} kB left")
    if budget.borrowed:
        said.append(f"{budget.borrowed / KB:.1f} kB borrowed")
    if budget.questions_left is not None:
        said.append(f"{budget.questions_left} questions left this minute")
    return ", ".join(said) + f"\nasks from a gain of {budget.bar:.3g} for each kB on"


def _band(band: TunedBand) -> str:
    said = [f"uncertain from {band.lower:.2f} to {band.upper:.2f}, {band.state}: {band.reason}"]
    if band.miss_rate is not None and band.miss_rate_at_most is not None:
        said.append(f"misses {band.miss_rate:.0%}, at most {band.miss_rate_at_most:.0%}, on {band.frames} frames")
    if band.false_per_day is not None and band.false_per_day_at_most is not None:
        wrong = f"{band.false_per_day:.1f} false alerts a day, at most {band.false_per_day_at_most:.1f}"
        said.append(f"{wrong}, on {band.objects} objects")
    if band.asked_share is not None:
        said.append(f"{band.asked_share:.0%} of objects are uncertain")
    return "\n".join(said)


def _presence(view: DeviceView) -> str:
    return f"{view.presence} ({view.reason})" if view.reason else str(view.presence)


def _seen(view: DeviceView) -> str:
    return "never" if view.last_seen_at is None else f"{view.last_seen_at:%Y-%m-%d %H:%M:%S %Z}"


def _model(view: DeviceView) -> str:
    return "–" if view.model is None else f"{view.model.name} {view.model.version}"


def _cameras(view: DeviceView) -> str:
    return ", ".join(f"{camera.name} {camera.state}" for camera in view.cameras) or "–"
