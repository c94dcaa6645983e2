"""`vedette broker`: a broker that somebody else runs."""

from __future__ import annotations

import shlex
from typing import Final

import typer

from cloud.adapters.clock import SystemClock
from cloud.brokers import prepare_broker
from cloud.cli.service import ConfigOption, DataDirOption, folder_of, settings_of
from cloud.cli.telling import output, told

broker_app: Final = typer.Typer(help="A broker that is run elsewhere.", no_args_is_help=True)


@broker_app.callback()
def broker() -> None:
    """A broker that is run elsewhere."""


@broker_app.command()
def prepare(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write what the broker that the table `broker` names is started with; harmless twice."""
    with told():
        settings = settings_of(config, data_dir)
        output.print(shlex.join(prepare_broker(settings, folder_of(settings), SystemClock())), soft_wrap=True)
