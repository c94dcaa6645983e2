"""The `vedette sim` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from cloud.cli.telling import told
from vision.models import UPGRADE_MODEL, find_model
from workbench.errors import SimOptionsInvalid
from workbench.sim.options import Elsewhere, SimOptions
from workbench.sim.personality import DEFAULT_MIX, read_mix
from workbench.sim.run import run_sim
from workbench.sim.screen import Screen, summary

UNSOUND: Final = 13
MAX_DEVICES: Final = 100_000


def sim(
    *,
    devices: Annotated[int, typer.Option(help="How many.", min=1, max=MAX_DEVICES)] = 100,
    mix: Annotated[
        str,
        typer.Option(help="Parts of steady, flaky, slow, old and lying; or `all`, some of each."),
    ] = DEFAULT_MIX,
    seed: Annotated[int, typer.Option(help="The same seed gives the same devices the same chances.")] = 1,
    duration: Annotated[
        float, typer.Option(help="Seconds of alerts, from when all are online; 0 is until Ctrl-C.", min=0)
    ] = 60.0,
    alerts_per_minute: Annotated[
        float, typer.Option(help="Of each device, on average; each alert is two messages.", min=0, max=600)
    ] = 2.0,
    rollout: Annotated[
        bool, typer.Option("--rollout/--no-rollout", help="Publish a model, and roll it out over all devices.")
    ] = True,
    model: Annotated[
        str, typer.Option(help="What to roll out: a built model's name, or a .tflite file with a manifest.")
    ] = UPGRADE_MODEL,
    commands: Annotated[
        int | None, typer.Option(help="How many commands to give; one to each device unless said, 0 is none.", min=0)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data here; else a temporary folder, removed.")
    ] = None,
    http_port: Annotated[int, typer.Option(help="The dashboard's port; 0 is any free one.", min=0, max=65535)] = 0,
    service: Annotated[
        str | None, typer.Option(help="Use the service at this http://… instead of starting one.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="With --service: where devices connect, mqtt://…; claims say it themselves.")
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(help="With --service: what `vedette device enroll --from NAMES --json` printed."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="With --service: the root of trust that devices pin, root.json; without it no updates."),
    ] = None,
    service_data: Annotated[
        Path | None,
        typer.Option(help="With --service: its data directory, where that is here; else its HTTP API is asked."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON at the end, for programs.")
    ] = False,
) -> None:
    """A simulated fleet that speaks the real protocol to a service started for it, or to one that runs.

    Devices connect, raise alerts, answer commands, obey a rollout of a signed release; then what they raised is held
    against the service's store. Ctrl-C ends it early, and in good order.

      vedette sim --devices 1000              a rollout, and a command to each
      vedette sim --devices 100 --mix all     liars and old agents, too
      vedette sim --devices 50 --duration 0   until Ctrl-C, to look at on the dashboard

    Exit codes: 0 all was stored once, 13 something was lost, stored twice, or a lie was believed.
    """
    with told():
        options = SimOptions(
            devices=devices,
            mix=read_mix(mix),
            seed=seed,
            duration_s=duration or None,
            alerts_per_minute=alerts_per_minute,
            commands=devices if commands is None else commands,
            rollout=model if rollout and service is None else None,
            data_dir=data_dir,
            http_port=http_port,
            elsewhere=_elsewhere(service, broker, credentials, root, service_data),
        )
        if options.rollout == UPGRADE_MODEL:
            find_model(UPGRADE_MODEL)
        ours = options.elsewhere is None
        screen = Screen(Console(stderr=as_json), options.commands if ours else 0, rollout=options.rollout is not None)
        figures = run_sim(options, screen)
    typer.echo(json.dumps(figures.for_programs()) if as_json else f"\n{summary(figures)}")
    if not figures.sound:
        raise typer.Exit(UNSOUND)


def _elsewhere(
    service: str | None, broker: str | None, credentials: Path | None, root: Path | None, data: Path | None
) -> Elsewhere | None:
    if service is None:
        given = {"--broker": broker, "--credentials": credentials, "--root": root, "--service-data": data}
        wrong = [name for name, value in given.items() if value is not None]
        if wrong:
            raise SimOptionsInvalid(f"{wrong[0]} is about another service, and none is named", "Say --service URL.")
        return None
    if credentials is None:
        raise SimOptionsInvalid(
            "a service elsewhere knows its devices by credentials, and none are given",
            "Make them with `vedette device enroll --from NAMES --json > FILE`, and say --credentials FILE.",
        )
    return Elsewhere(service, broker, credentials, root, data)
