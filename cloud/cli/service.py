"""The service that a command works on: the options that say which, its settings, its folder and its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from cloud.adapters.data_dir import DataDir
from cloud.config import Settings, load_settings
from cloud.log import configure
from cloud.store.database import Database, open_database

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The service's TOML file.")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Where the service keeps its data.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of text.")]


def settings_of(config: Path | None, data_dir: Path | None) -> Settings:
    """Its settings; from here on only warnings are logged, in its form.

    Raises:
        SettingsInvalid: What is wrong with them.
    """
    settings = load_settings(config, {"data_dir": data_dir})
    configure("warning", settings.log_format)
    return settings


def folder_of(settings: Settings) -> DataDir:
    """Its folder, made where there is none yet.

    Raises:
        DataDirUnusable: The disk refused.
    """
    data = DataDir(settings.data_dir)
    data.make()
    return data


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncIterator[Database]:
    """Its database, brought up to date.

    Raises:
        DataDirUnusable: The disk refused.
        StoreError: It can't be opened.
    """
    async with open_database(folder_of(settings).database_url) as database:
        yield database
