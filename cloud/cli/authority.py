"""`vedette authority`: replacing the embedded authority while the fleet goes on.

1. `replace` makes the next one. From its next start the service tells devices of it, whenever one renews.
2. `switch` has it sign, once every device knows it. The service's own certificate, claims and devices' are by it.
3. `finish` drops the old one, once no device has a certificate by it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from cloud.adapters.clock import SystemClock
from cloud.adapters.identity_files import IdentityFolder, Replacement
from cloud.cli.service import ConfigOption, DataDirOption, database_of, folder_of, settings_of
from cloud.cli.telling import output, told
from cloud.config import Settings
from cloud.identity.errors import AuthorityUnusable
from cloud.store.identities import IdentityStore

_SHOWN: Final = 20

authority_app: Final = typer.Typer(
    help="The authority that certifies devices, and replacing it.", no_args_is_help=True
)

BehindOption = Annotated[
    bool, typer.Option("--leave-behind", help="Although devices would have to be enrolled anew.")
]


@authority_app.command()
def show(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Which authority it is, and how far it is replaced."""
    with told():
        settings, folder = _opened(config, data_dir)
        output.print(folder.authority(SystemClock().wall()).digest)
        match folder.replacement():
            case None:
                output.print("It is not being replaced.")
            case found:
                behind = _behind(settings, found)
                output.print(_STANDING[found.phase] if found.served_at else "The service has to be restarted now.")
                output.print(f"Still to come: {_names(behind)}" if behind else "Every device is done.")


@authority_app.command()
def replace(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Make the next one."""
    with told():
        _, folder = _opened(config, data_dir)
        folder.authority(SystemClock().wall())
        folder.begin_replacement(SystemClock().wall())
        output.print("Made. Restart the service: from then on devices learn of it when they renew.")


@authority_app.command()
def switch(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    leave_behind: BehindOption = False,
) -> None:
    """Let the next one sign, once every device knows it."""
    with told():
        settings, folder = _opened(config, data_dir)
        _check(settings, folder, "coming", leave_behind=leave_behind)
        folder.switch()
        output.print("Switched. Restart the service now: the old authority's certificates run out by themselves.")


@authority_app.command()
def finish(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    leave_behind: BehindOption = False,
) -> None:
    """Drop the old one, once no device has a certificate by it."""
    with told():
        settings, folder = _opened(config, data_dir)
        _check(settings, folder, "retiring", leave_behind=leave_behind)
        folder.finish_replacement()
        output.print("The old authority is gone. Restart the service.")


_STANDING: Final = {
    "coming": "The next one is made, and devices learn of it when they renew; then: vedette authority switch",
    "retiring": "It has replaced another, whose certificates run out; then: vedette authority finish",
}


def _opened(config: Path | None, data_dir: Path | None) -> tuple[Settings, IdentityFolder]:
    settings = settings_of(config, data_dir)
    if settings.identity.authority == "external":
        raise AuthorityUnusable("the authority is an external one", "Replace it where it is.")
    return settings, IdentityFolder(folder_of(settings).identity)


def _check(settings: Settings, folder: IdentityFolder, phase: str, *, leave_behind: bool) -> None:
    found = folder.replacement()
    if found is None or found.phase != phase:
        raise AuthorityUnusable(
            "this is not the next step of replacing the authority", "`vedette authority show` says how far it is."
        )
    if found.served_at is None:
        raise AuthorityUnusable(
            "the service was not restarted since the last step", "Restart it, and give devices time to renew."
        )
    behind = _behind(settings, found)
    if behind and not leave_behind:
        raise AuthorityUnusable(
            f"devices that have not renewed since would have to be enrolled anew: {_names(behind)}",
            "Wait for them, or give --leave-behind.",
        )


def _behind(settings: Settings, found: Replacement) -> list[str]:
    async def look() -> list[str]:
        now = SystemClock().wall()
        async with database_of(settings) as database:
            return await IdentityStore(database).issued_before(found.served_at or now, now)

    return asyncio.run(look())


def _names(devices: list[str]) -> str:
    more = len(devices) - _SHOWN
    return ", ".join(devices[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
