"""`vedette cost`: what the fleet sent, why, and what streaming everything would have cost."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, database_of, settings_of
from cloud.cli.telling import output, told
from cloud.config import Settings
from cloud.domain import DeviceRecord
from cloud.errors import DeviceUnknown
from cloud.received import Received
from cloud.store.devices import DeviceStore
from cloud.store.received import ReceivedStore

GB: Final = 1e9
"""As those who sell traffic count."""


class By(StrEnum):
    """How the table is grouped."""

    DEVICE = "device"
    REASON = "reason"
    CAMERA = "camera"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Counted:
    """What a device counted itself, over all its runs.

    Attributes:
        sent: By reason, requests and messages whole.
        streamed: What sending every frame whole as JPEG q80 would have cost.
    """

    device: str
    sent: Mapping[str, int]
    streamed: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Both ledgers: what devices counted, and what arrived here.

    Attributes:
        per_gb: Price of 10⁹ bytes; None where none was given.
        days: What `received` is about; None: all that is stored.
    """

    counted: tuple[Counted, ...]
    received: tuple[Received, ...]
    per_gb: float | None
    days: float | None

    @property
    def sent(self) -> int:
        """All that devices counted, in bytes."""
        return sum(sum(one.sent.values()) for one in self.counted)

    @property
    def streamed(self) -> int:
        """What streaming everything would have cost, in bytes."""
        return sum(one.streamed for one in self.counted)

    def price(self, size: int) -> float | None:
        """Of so many bytes."""
        return None if self.per_gb is None else round(size / GB * self.per_gb, 6)

    def for_programs(self) -> dict[str, Any]:
        """As a JSON object."""

        def figures(sent: int, streamed: int) -> dict[str, Any]:
            return {
                "bytes_sent": sent,
                "bytes_if_streamed": streamed,
                "share": round(sent / streamed, 6) if streamed else None,
                "price": self.price(sent),
                "price_if_streamed": self.price(streamed),
            }

        return {
            "per_gb": self.per_gb,
            "days": self.days,
            "total": figures(self.sent, self.streamed),
            "devices": [
                {
                    "device": one.device,
                    "bytes_by_reason": dict(sorted(one.sent.items())),
                    **figures(sum(one.sent.values()), one.streamed),
                }
                for one in self.counted
            ],
            "received": [
                {
                    "device": one.device,
                    "camera": one.camera,
                    "reason": one.reason,
                    "day": one.day.isoformat(),
                    "pictures": one.count,
                    "bytes": one.size,
                    "price": self.price(one.size),
                }
                for one in self.received
            ],
        }


def cost(
    by: Annotated[By, typer.Option(help="device and reason: as devices counted; camera and day: what arrived.")] = (
        By.DEVICE
    ),
    device: Annotated[str | None, typer.Option(help="Of this device only.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0.01, max=3650, help="Of what arrived: in so many last days.")
    ] = None,
    per_gb: Annotated[float | None, typer.Option(min=0, help="Price of a gigabyte (10⁹ bytes).")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the fleet sent and why, against streaming everything; with a price, what that costs."""
    with told():
        settings = settings_of(config, data_dir)
        costs = asyncio.run(_read(settings, device, days, per_gb))
    if as_json:
        typer.echo(json.dumps(costs.for_programs()))
        return
    output.print(_table(costs, by))
    for line in _notes(costs, by):
        output.print(line)


async def _read(settings: Settings, device: str | None, days: float | None, per_gb: float | None) -> Costs:
    since = None if days is None else SystemClock().wall() - timedelta(days=days)
    async with database_of(settings) as database:
        records: Iterable[DeviceRecord] = await DeviceStore(database).all()
        received = await ReceivedStore(database).sums(since)
    if device is not None:
        records = [one for one in records if one.id == device]
        if not records:
            raise DeviceUnknown(f"there is no device called {device}", "`vedette devices` lists them.")
        received = [one for one in received if one.device == device]
    totals = ((one.id, one.totals) for one in records)
    counted = tuple(Counted(name, total.bytes_by_reason, total.stream_bytes) for name, total in totals)
    return Costs(counted, tuple(received), per_gb, days)


def _table(costs: Costs, by: By) -> Table:
    if by is By.DEVICE:
        rows = [(one.device, sum(one.sent.values()), one.streamed) for one in costs.counted]
        return _against(costs, "device", rows)
    if by is By.REASON:
        sums: defaultdict[str, int] = defaultdict(int)
        for one in costs.counted:
            for reason, size in one.sent.items():
                sums[reason] += size
        return _plain(costs, ("reason", "sent"), [((reason,), size) for reason, size in sorted(sums.items())])
    keyed: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for row in costs.received:
        first = (row.device, row.camera or "–") if by is By.CAMERA else (row.day.isoformat(),)
        keyed[*first, row.reason] += row.size
    headings = ("device", "camera") if by is By.CAMERA else ("day",)
    return _plain(costs, (*headings, "reason", "pictures received"), sorted(keyed.items()))


def _against(costs: Costs, heading: str, rows: Sequence[tuple[str, int, int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    headings = [heading, "sent", "if streamed", "share"]
    if costs.per_gb is not None:
        headings += ["price", "if streamed"]
    for place, name in enumerate(headings):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for name, sent, streamed in [*rows, ("all", costs.sent, costs.streamed)]:
        share = f"{sent / streamed:.2%}" if streamed else "–"
        prices = [_money(costs.price(sent)), _money(costs.price(streamed))] if costs.per_gb is not None else []
        table.add_row(name, _size(sent), _size(streamed), share, *prices)
    return table


def _plain(costs: Costs, headings: Sequence[str], rows: Sequence[tuple[tuple[str, ...], int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in headings:
        table.add_column(name, justify="right" if name == headings[-1] else "left", overflow="fold")
    if costs.per_gb is not None:
        table.add_column("price", justify="right")
    total = (("all", *("" for _ in headings[2:])), sum(size for _, size in rows))
    for key, size in [*rows, total]:
        table.add_row(*key, _size(size), *([_money(costs.price(size))] if costs.per_gb is not None else []))
    return table


def _notes(costs: Costs, by: By) -> list[str]:
    if by in {By.CAMERA, By.DAY}:
        what = "Pictures and clips as they lie here, without the requests around them"
        return ["", f"{what}; messages are not told by camera or day."]
    notes = ["", "As devices count: requests and messages whole, repeats included, since each was enrolled."]
    if not costs.sent:
        notes = ["", "No device has told its figures yet; they do so half a minute after they connect."]
    elif costs.days is not None:
        notes.append("--days narrows --by camera and --by day only.")
    return notes


def _size(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} B"


def _money(price: float | None) -> str:
    return "–" if price is None else f"{price:.4f}" if price < 1 else f"{price:,.2f}"
