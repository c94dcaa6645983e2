"""`vedette export coco`: pictures of which devices were unsure or wrong, as a data set to learn from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, folder_of, settings_of
from cloud.cli.telling import bar, output, told
from cloud.errors import SettingsInvalid
from cloud.examples.coco import NOTICE, Example, Reason, Selection, of_audit, of_question
from cloud.examples.export import Exported, export
from cloud.store.blobs import LocalBlobs
from cloud.store.database import open_database
from cloud.store.received import ReceivedStore

_SHOWN: Final = 40

export_app: Final = typer.Typer(help="What devices sent, for other programs: coco.", no_args_is_help=True)


@export_app.command()
def coco(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one of an earlier export.")],
    *,
    since: Annotated[str | None, typer.Option(help="A date or time, or how long ago: 24h, 7d.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="Of this device; repeat for several.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Of cameras of this name; repeat for several.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="About this label; repeat for several.")] = None,
    reason: Annotated[list[Reason] | None, typer.Option(help="For this reason; repeat for several.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write hard examples as a COCO data set: pictures, the cloud's boxes, and what the device said.

    Interrupted, it goes on with the same command. What it wrote can be taken in as an evaluation set:

      vedette model evalset add NAME --pictures DIR --labels DIR/annotations.json
    """
    with told():
        data = folder_of(settings_of(config, data_dir))
        wanted = Selection(
            frozenset(device or ()), frozenset(camera or ()), frozenset(label or ()), frozenset(reason or ())
        )
        with bar("exporting") as progress:
            done = asyncio.run(_export(data, folder, _moment(since), wanted, progress))
    if as_json:
        typer.echo(json.dumps(asdict(done) | {"folder": str(done.folder)}))
        return
    by_reason = ", ".join(f"{count} {name}" for name, count in done.reasons.items() if count)
    output.print(f"{done.images} pictures in {done.folder} ({by_reason or 'none'}), {done.written} of them new")
    output.print(f"{done.annotations} objects, {done.crowds} parts that are neither right nor wrong to find")
    if done.missing:
        output.print(f"{done.missing} pictures are no longer in the store, or can't be read, and were left out")
    output.print(NOTICE)


async def _export(
    data: DataDir,
    folder: Path,
    since: datetime | None,
    wanted: Selection,
    progress: Callable[[int, int | None], None],
) -> Exported:
    async with open_database(data.database_url) as database:
        store = ReceivedStore(database)
        found: list[Example] = [of_question(one) for one in await store.answered(since)]
        found += [example for one in await store.audited(since) if (example := of_audit(one)) is not None]
    chosen = [one for one in found if wanted.takes(one)]
    return await export(chosen, LocalBlobs(data.blobs), folder, version("vedette"), progress)


def _moment(said: str | None) -> datetime | None:
    if said is None:
        return None
    unit = {"h": "hours", "d": "days"}.get(said[-1:])
    try:
        if unit is not None and said[:-1].isdecimal():
            return SystemClock().wall() - timedelta(**{unit: int(said[:-1])})
        at = datetime.fromisoformat(said)
    except (ValueError, OverflowError):
        shown = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
        raise SettingsInvalid(
            f"--since: {shown!r} is no time", "Write 2026-11-26, 2026-11-26T08:00, 24h or 7d."
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
