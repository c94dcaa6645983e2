"""`vedette serve`: the service in the foreground, until a signal ends it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cloud.adapters.data_dir import Addresses
from cloud.adapters.interpreter import settle
from cloud.app import serve_until_signalled
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption
from cloud.cli.telling import output, told
from cloud.config import default_data_dir, load_settings
from cloud.log import configure


def serve(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    http_port: Annotated[int | None, typer.Option(help="0 is any free one.")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="0 is any free one.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the cloud service on this machine: broker, ingest, answers, dashboard. Ctrl-C stops it."""
    with told():
        settings = load_settings(
            config, {"data_dir": data_dir, "http_port": http_port, "mqtt_port": mqtt_port, "log_level": log_level}
        )
        configure(settings.log_level, settings.log_format)

        def ready(addresses: Addresses) -> None:
            settle()
            if as_json:
                typer.echo(addresses.to_json())
                return
            output.print(f"Dashboard  {addresses.dashboard}")
            where = "" if settings.data_dir == default_data_dir() else f" --data-dir {settings.data_dir}"
            output.print(f"Devices    {addresses.mqtt}  (enrol one: vedette device enroll NAME{where})")
            output.print("Ctrl-C stops it.")

        asyncio.run(serve_until_signalled(settings, on_ready=ready))
