"""The `vedette demo` command."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cloud.cli.telling import told
from vision.models import UPGRADE_MODEL
from workbench.demo.plan import DEVICES, FLEET
from workbench.demo.run import DemoOptions, run_demo
from workbench.demo.screen import Screen, size


def demo(
    model: Annotated[
        str | None, typer.Argument(help=f"With --rollout: the built model to roll out; else {UPGRADE_MODEL}.")
    ] = None,
    *,
    source: Annotated[
        str | None,
        typer.Option(help="A webcam's number, a video file, a folder of pictures or a URL; else the demo clip."),
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds; without it until Ctrl-C.", min=1)] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data here; else a temporary folder, removed.")
    ] = None,
    http_port: Annotated[int, typer.Option(help="The dashboard's port; 0 is any free one.", min=0, max=65535)] = 0,
    devices: Annotated[
        int, typer.Option(help="How many agents, each with a camera and zone of its own.", min=1, max=len(FLEET))
    ] = len(DEVICES),
    rollout: Annotated[
        bool, typer.Option("--rollout", help="Roll a better model out to all devices, some seconds after the start.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON at the end, for programs.")
    ] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the dashboard.")] = True,
) -> None:
    """Everything on this machine, on real video: the service, agents, the dashboard. Ctrl-C stops it all."""
    if model is not None and not rollout:
        raise typer.BadParameter("a model is named, but not --rollout")
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    made_at = os.environ.get("VEDETTE_MAKE_STARTED")
    with told():
        figures = run_demo(
            DemoOptions(
                source=source,
                duration_s=duration,
                data_dir=data_dir,
                http_port=http_port,
                open_browser=browser and has_screen and not as_json,
                started_at=float(made_at) if made_at else time.time(),
                devices=devices,
                rollout=(model or UPGRADE_MODEL) if rollout else None,
            ),
            Screen(Console(stderr=as_json)),
        )
    if as_json:
        typer.echo(json.dumps(figures.for_programs()))
        return
    first = "none" if figures.first_alert_s is None else f"after {figures.first_alert_s:.1f} s"
    saved = "" if figures.saved_share is None else f", {figures.saved_share:.1%} less than streaming"
    typer.echo(
        f"\nFirst alert on the dashboard {first}; {figures.alerts_raised} raised, {figures.alerts_stored} stored,"
        f" {figures.duplicates} twice; {figures.asks} questions; {size(figures.bytes_sent)} sent{saved}."
    )
    if figures.rollout is not None:
        typer.echo(f"{figures.updated} of {len(figures.devices)} devices run {figures.rollout.model} now.")
