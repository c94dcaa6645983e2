"""`vedette broker`: a broker that somebody else runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.brokers import prepare_broker
from cloud.cli.telling import output, told
from cloud.config import load_settings

broker_app: Final = typer.Typer(help="A broker that is run elsewhere.", no_args_is_help=True)


@broker_app.callback()
def broker() -> None:
    """A broker that is run elsewhere."""


@broker_app.command()
def prepare(
    config: Annotated[Path | None, typer.Option("--config", help="The service's TOML file.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Where the service keeps its data.")] = None,
) -> None:
    """Write what the broker that the table `broker` names is started with; harmless twice."""
    with told():
        settings = load_settings(config, {"data_dir": data_dir})
        data = DataDir(settings.data_dir)
        data.make()
        output.print(shlex.join(prepare_broker(settings, data, SystemClock())), soft_wrap=True)
