"""`vedette audit`: how good the devices are, from frames that they drew at random."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.telling import output, told
from cloud.config import Settings
from cloud.store.audits import AuditStore
from cloud.web.audits import DAYS, AccuracyView, AuditReport, EstimateView, narrowed, read_report


def audit(
    device: Annotated[str | None, typer.Option(help="Of this device only.")] = None,
    camera: Annotated[str | None, typer.Option(help="Of cameras of this name only.")] = None,
    label: Annotated[str | None, typer.Option(help="Of this label only; else all together, and each.")] = None,
    model: Annotated[str | None, typer.Option(help="The beginning of a model's name or digest.")] = None,
    days: Annotated[float, typer.Option(min=0.01, max=3650, help="What arrived in so many last days.")] = DAYS,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """How good the devices are, from frames that they drew at random: recall and precision with 95 % intervals."""
    with told():
        settings = settings_of(config, data_dir)
        whole = asyncio.run(_read(settings, days))
        report = narrowed(whole, device=device, camera=camera, label=label, model=model)
    if as_json:
        typer.echo(report.model_dump_json())
        return
    if not report.estimates:
        if whole.estimates:
            output.print("No frame of what was named was audited. Leave out --device, --camera, --label or --model.")
        else:
            output.print(
                f"No frame was audited in the last {days:g} days. Devices draw them as the table [audit] of their"
                " settings says."
            )
    else:
        output.print(_table(report))
        output.print(
            "\nIn brackets, 95 % intervals and frames with something to count. Reference: the cloud's own model."
        )
    for line in _incomplete(report):
        output.print(line)


async def _read(settings: Settings, days: float) -> AuditReport:
    clock = SystemClock()
    async with database_of(settings) as database:
        return await read_report(AuditStore(database, clock), clock, days)


def _table(report: AuditReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("device", "camera", "model", "label", "audits", "recall", "precision", "F1"):
        table.add_column(heading, overflow="fold")
    for one in report.estimates:
        table.add_row(
            one.device or "all",
            one.camera or "all",
            _model(one),
            one.label or "all",
            str(one.audits),
            _share(one.recall),
            _share(one.precision),
            _share(one.f1),
        )
    return table


def _model(one: AccuracyView) -> str:
    return one.model or one.model_digest.removeprefix("sha256:")[:12]


def _share(one: EstimateView | None) -> str:
    return "–" if one is None else f"{one.value:.2f} ({one.low:.2f}–{one.high:.2f}, {one.frames})"


def _incomplete(report: AuditReport) -> list[str]:
    """What the estimates do not know of."""
    return [
        f"{one.device} {one.camera}: " + ", ".join(parts)
        for one in report.cameras
        if (
            parts := ([f"{one.lost} of {one.lost + one.kept} drawn frames never arrived"] if one.lost else [])
            + ([f"{one.waiting} wait to be looked at"] if one.waiting else [])
        )
    ]
