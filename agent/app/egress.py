"""`vedette-agent egress`: what left this device, read from its own log, and whether that log is whole."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from agent.adapters.receipt_log import FOLDER, read_files
from agent.deliver.receipts import Mark, Reading, Record, RecordKind, read

By = Literal["reason", "camera", "day", "host"]
UNKNOWN: Final = "unknown: no end was written down"
MESSAGES: Final = "(messages)"
"""Stands for camera and host of what is only added up."""
LATEST: Final = 20
"""Uploads shown to a person; a program gets all of them."""


@dataclass(frozen=True, slots=True)
class UploadLine:
    """One upload.

    Attributes:
        sent: Bytes that left at most: all of them where no end was written down.
    """

    at: datetime
    reason: str
    camera: str
    host: str
    body: int
    sent: int
    sha256: str
    redaction: Mapping[str, Any] | None
    outcome: str
    what: str


@dataclass(slots=True)
class Sum:
    """Of a group."""

    uploads: int = 0
    bytes: int = 0
    pictures: int = 0
    """Bytes of pictures and clips themselves, without requests' heads."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What the log says."""

    reading: Reading
    uploads: tuple[UploadLine, ...]
    sums: Mapping[str, Sum]
    by: By
    notes: tuple[str, ...]
    dropped: Mapping[str, Any] | None = field(default=None)

    @property
    def whole(self) -> bool:
        """Nothing was changed or taken away."""
        return not self.reading.findings

    def for_programs(self) -> dict[str, Any]:
        """As a JSON object."""
        records = self.reading.records
        return {
            "whole": self.whole,
            "records": len(records),
            "mark": f"{self.reading.mark.n}:{self.reading.mark.hash}",
            "first_at": records[0].at.isoformat() if records else None,
            "findings": [finding._asdict() for finding in self.reading.findings],
            "notes": list(self.notes),
            "by": self.by,
            "sums": {
                name: {"uploads": one.uploads, "bytes": one.bytes, "pictures": one.pictures}
                for name, one in self.sums.items()
            },
            "dropped": self.dropped,
            "uploads": [
                {
                    "at": one.at.isoformat(),
                    "reason": one.reason,
                    "camera": one.camera,
                    "host": one.host,
                    "body": one.body,
                    "sent": one.sent,
                    "sha256": one.sha256,
                    "redaction": one.redaction,
                    "outcome": one.outcome,
                    "what": one.what,
                }
                for one in self.uploads
            ],
        }

    def for_people(self) -> str:
        """Latest uploads, sums, and what is to be known of the log."""
        return "\n".join([*map(_shown, [*self._latest(), *self._summed()]), "", *self.verdict(), ""])

    def verdict(self) -> list[str]:
        """Whether the log is whole, and what else is to be known of it."""
        reading = self.reading
        if self.whole:
            lines = [f"the log is whole: {len(reading.records)} records, up to {reading.mark.n}:{reading.mark.hash}"]
        else:
            lines = [f"TAMPERED {_where(file, line)}{what}" for file, line, what in reading.findings]
        return [_shown(line) for line in (*lines, *(f"note: {note}" for note in self.notes))]

    def _latest(self) -> list[str]:
        rows = [("time (UTC)", "reason", "camera", "bytes", "painted over", "host", "outcome")]
        for one in self.uploads[-LATEST:]:
            stamp = f"{one.at:%Y-%m-%d %H:%M:%S}"
            rows.append(
                (stamp, one.reason, one.camera, f"{one.sent:,}", _painted(one.redaction), one.host, one.outcome)
            )
        left_out = len(self.uploads) - LATEST
        more = [f"… and {left_out} earlier ones; --json lists all"] if left_out > 0 else []
        return [*_columns(rows), *more, ""] if self.uploads else ["no upload", ""]

    def _summed(self) -> list[str]:
        rows: list[tuple[str, ...]] = [(self.by, "uploads", "bytes")]
        rows += [(name, str(one.uploads) if one.uploads else "", f"{one.bytes:,}") for name, one in self.sums.items()]
        total = sum(one.bytes for one in self.sums.values())
        rows.append(("all", str(sum(one.uploads for one in self.sums.values())), f"{total:,}"))
        lines = _columns(rows)
        if self.dropped is not None:
            spent = self.dropped.get("bytes")
            size = sum(map(_number, spent.values())) if isinstance(spent, dict) else 0
            lines.append(
                f"and before record {_number(self.dropped.get('last')) + 1}, dropped to make room:"
                f" {self.dropped.get('uploads')} uploads, {size:,} bytes"
            )
        return lines


def egress(
    data_dir: Path, *, since: datetime | None = None, by: By = "reason", witness: Mark | None = None
) -> Egress:
    """Read the log in an agent's data folder; the agent may run.

    Args:
        data_dir: The agent's.
        since: What is listed and added up; the chain is held against itself whole.
        by: How sums are grouped.
        witness: A mark that somebody else has kept, which the log must hold.

    Raises:
        EgressUnreadable: There is no log, or it can't be read.
    """
    files, mark = read_files(data_dir / FOLDER)
    reading = read(files, mark, witness=witness)
    uploads = tuple(one for one in _uploads(reading.records) if since is None or one.at >= since)
    totals = [one for one in _totals(reading.records) if since is None or one[0] >= since]
    notes = (*reading.notes, *_unaccounted(reading.records))
    dropped = next((one for one in reversed(reading.records) if one.fields.get("dropped")), None)
    told = dropped.fields["dropped"] if dropped is not None and since is None else None
    return Egress(reading, uploads, _sums(uploads, totals, by), by, notes, told if isinstance(told, dict) else None)


def moment(text: str, now: datetime) -> datetime:
    """A time as a person says it: `2026-11-26`, `2026-11-26T08:00`, or how long ago: `90m`, `24h`, `7d`.

    Raises:
        ValueError: It is none of these.
    """
    unit = {"m": "minutes", "h": "hours", "d": "days"}.get(text[-1:])
    if unit is not None and text[:-1].isdecimal():
        return now - timedelta(**{unit: int(text[:-1])})
    said = datetime.fromisoformat(text)
    return said if said.tzinfo is not None else said.replace(tzinfo=now.tzinfo)


def _uploads(records: Iterable[Record]) -> Iterator[UploadLine]:
    records = tuple(records)
    ends = {_number(one.fields.get("of")): one for one in records if one.kind == RecordKind.DONE}
    for one in records:
        if one.kind != RecordKind.SEND:
            continue
        fields, end = one.fields, ends.get(one.n)
        size = _number(fields.get("size"))
        redaction = fields.get("redaction")
        yield UploadLine(
            at=one.at,
            reason=str(fields.get("why")),
            camera=str(fields.get("camera") or "–"),
            host=str(fields.get("host")),
            body=_number(fields.get("body")),
            sent=size if end is None else _number(end.fields.get("sent")),
            sha256=str(fields.get("sha256")),
            redaction=redaction if isinstance(redaction, dict) else None,
            outcome=UNKNOWN if end is None else str(end.fields.get("outcome")),
            what=str(fields.get("what")),
        )


def _totals(records: Iterable[Record]) -> Iterator[tuple[datetime, str, int]]:
    for one in records:
        added = one.fields.get("bytes")
        if one.kind in {RecordKind.TOTALS, RecordKind.STOP} and isinstance(added, dict):
            for why, size in added.items():
                yield one.at, why, _number(size)


def _sums(uploads: Iterable[UploadLine], totals: Iterable[tuple[datetime, str, int]], by: By) -> dict[str, Sum]:
    sums: defaultdict[str, Sum] = defaultdict(Sum)
    for one in uploads:
        key = {"reason": one.reason, "camera": one.camera, "day": f"{one.at:%Y-%m-%d}", "host": one.host}[by]
        of = sums[key]
        of.uploads += 1
        of.bytes += one.sent
        of.pictures += one.body if one.sent else 0
    for at, why, size in totals:
        sums[{"reason": why, "day": f"{at:%Y-%m-%d}"}.get(by, MESSAGES)].bytes += size
    return dict(sorted(sums.items()))


def _unaccounted(records: Sequence[Record]) -> Iterator[str]:
    """Where a run of the agent ended in no order, or its lines don't add up to what its ledger counted."""
    began: Record | None = None
    spent: defaultdict[str, int] = defaultdict(int)
    for one in records:
        if one.kind == RecordKind.START and "boot" in one.fields:
            if began is not None:
                yield (
                    f"the run of {began.at:%Y-%m-%d %H:%M:%S} ended without a word (a crash, or a power cut): what it"
                    " sent in messages since its last totals is in no sum"
                )
            began, spent = one, defaultdict(int)
        elif one.kind == RecordKind.DONE:
            spent[str(one.fields.get("why"))] += _number(one.fields.get("sent"))
        for _, why, size in _totals((one,)):
            spent[why] += size
        if one.kind == RecordKind.STOP:
            if began is not None:
                yield from _differences(began, one, spent)
            began = None


def _differences(began: Record, stop: Record, spent: Mapping[str, int]) -> Iterator[str]:
    counted = stop.fields.get("ledger")
    for why, size in counted.items() if isinstance(counted, dict) else ():
        if spent.get(why, 0) != size:
            yield (
                f"the run of {began.at:%Y-%m-%d %H:%M:%S} counted {size} bytes of {why};"
                f" its lines add up to {spent.get(why, 0)}"
            )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _share(value: object) -> float:
    return float(value) if isinstance(value, float) and math.isfinite(value) else 0.0


def _shown(line: str) -> str:
    """What a terminal takes for nothing but text: who wrote the log anew may have put its own verdict into it."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _where(file: str, line: int) -> str:
    return f"{file}, line {line}: " if line else (f"{file}: " if file else "")


def _painted(redaction: Mapping[str, Any] | None) -> str:
    if redaction is None:
        return "–"
    hidden, masked = _share(redaction.get("hidden")), _share(redaction.get("masked"))
    parts = [f"{redaction.get('hide')} {hidden:.0%}"] if redaction.get("hide") != "nothing" else []
    return ", ".join(parts + ([f"masks {masked:.0%}"] if masked else [])) or "–"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
