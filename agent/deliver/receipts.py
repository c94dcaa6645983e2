r"""Egress receipts: a line for every upload before its first byte leaves and another for how it ended. Pure.

Each line is a JSON object that ends in the SHA-256 of everything before, and holds that of the line before it:
whoever changes, removes or moves a line breaks the chain there. `read` finds where.

    {"n":7,"at":"…","kind":"send",…,"prev":"<hash of line 6>","hash":"<SHA-256 of this line up to here, and a }>"}\n

What a chain without a secret can't tell is that somebody with the rights to the folder wrote all of it anew. The
mark, which is the number and hash of the last line, therefore also goes up with the telemetry, out of their reach.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Protocol

from pydantic import Field, JsonValue

from agent.settings import Settings

GENESIS: Final = "0" * 64
"""The hash before the first line."""
_LINE: Final = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)
_MARK: Final = re.compile(rb"([0-9]{20}) ([0-9a-f]{64})\n")


class ReceiptSettings(Settings):
    """The log of everything that leaves this device.

    Attributes:
        max_mib: What the log may take of the disk; then its oldest file goes. A MiB holds some 1,700 uploads.
        totals_every_s: How often the bytes of messages and updates are added up into a line.
    """

    max_mib: Annotated[int, Field(ge=2, le=4096)] = 16
    totals_every_s: Annotated[float, Field(ge=1, le=86_400)] = 3600.0


class RecordKind(StrEnum):
    """What a line says."""

    START = "start"
    """The agent began; what it found cut off, or missing."""
    SEND = "send"
    """An upload is about to leave."""
    DONE = "done"
    """How it ended."""
    TOTALS = "totals"
    """Bytes that left in messages and in asking for updates since the totals before, by reason."""
    STOP = "stop"
    """The agent ended in order; the same, and its ledger by reason."""
    FILE = "file"
    """A new file of the log begins; what was dropped to make room."""


class Mark(NamedTuple):
    """Where a chain ends: the number of its last line, and that line's hash."""

    n: int
    hash: str


BEGINNING: Final = Mark(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Sending:
    """An upload, as it is about to leave.

    Attributes:
        why: One of `agent.deliver.ledger.Why`.
        what: Id of the question, alert, audit or command.
        camera: Whose picture it is; None where the upload does not say.
        host: Where it goes, host and port.
        size: Bytes of the whole request.
        body: Bytes of the picture or clip.
        sha256: Of the picture or clip.
        redaction: As `wire.messages.Redaction`; None where nothing was painted over.
    """

    why: str
    what: str
    camera: str | None
    host: str
    size: int
    body: int
    sha256: str
    redaction: Mapping[str, JsonValue] | None = None


class Ticket(NamedTuple):
    """An upload that is under way.

    Attributes:
        n: Of the line that says so.
    """

    n: int
    why: str


class Receipts(Protocol):
    """Where uploads are written down. Safe to use from any thread; waits for the disk."""

    def begin(self, sending: Sending) -> Ticket:
        """Write down that it is about to leave; what to end it by.

        Raises:
            EgressUnwritable: It could not be written down, so it must not leave.
        """

    def end(self, ticket: Ticket, outcome: str, sent: int) -> None:
        """Write down how it ended, and how many bytes left at most; later, where the disk refuses now."""


@dataclass(frozen=True, slots=True)
class Record:
    """A line that is as it was written."""

    n: int
    at: datetime
    kind: str
    prev: str
    hash: str
    fields: Mapping[str, JsonValue]


class Finding(NamedTuple):
    """Something is wrong with the log.

    Attributes:
        file: The file's name; empty where it is about the log as a whole.
        line: Counts from 1; 0 where it is about the whole file.
    """

    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What the log says.

    Attributes:
        records: All lines that are as they were written, in their order.
        findings: What is wrong; nothing where the chain is whole.
        notes: What is no sign of tampering and still worth knowing.
        mark: Of the last line.
    """

    records: tuple[Record, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    mark: Mark


def written(n: int, at: datetime, kind: RecordKind, fields: Mapping[str, JsonValue], prev: str) -> tuple[bytes, Mark]:
    """A line, and the mark after it."""
    stamp = at.isoformat(timespec="microseconds")
    body = json.dumps({"n": n, "at": stamp, "kind": kind, **fields, "prev": prev}, separators=(",", ":")).encode()
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode(), Mark(n, digest)


def parsed(line: bytes) -> Record | None:
    """The record of a line without its end; None where the line is not as it was written."""
    found = _LINE.fullmatch(line)
    if found is None or hashlib.sha256(found[1] + b"}").hexdigest() != found[2].decode():
        return None
    try:
        values = json.loads(found[1] + b"}")
        n, at, kind, prev = values.pop("n"), values.pop("at"), values.pop("kind"), values.pop("prev")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            return None
        return Record(int(n), moment, str(kind), str(prev), found[2].decode(), values)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def mark_text(mark: Mark) -> bytes:
    """The mark's own file: always of the same length, so that one write replaces it."""
    return f"{mark.n:020d} {mark.hash}\n".encode()


def mark_of(text: bytes) -> Mark | None:
    """What the mark's file says; None where it says nothing that can be read."""
    found = _MARK.fullmatch(text)
    return None if found is None else Mark(int(found[1]), found[2].decode())


def read(files: Iterable[tuple[str, bytes]], mark: Mark | None, *, witness: Mark | None = None) -> Reading:
    """Read a log and hold it against its chain.

    Args:
        files: Names and contents, oldest first.
        mark: What the mark's file says; None where it is missing or can't be read.
        witness: A mark that somebody else has kept.
    """
    walk = _Walk()
    there = list(files)
    gone = leading_leftovers([name for name, _ in there], _newest_drop(content for _, content in reversed(there)))
    for name, _ in there[:gone]:
        walk.notes.append(f"{name} was dropped to make room, and is still there: it is passed over")
    for name, content in there[gone:]:
        walk.file(name, content)
    walk.check_beginning()
    last = walk.last
    if mark is None:
        if walk.records:
            walk.findings.append(Finding("mark", 0, "it is missing or can't be read: whether lines were cut off the "
                                                    "end of the log can't be told"))  # fmt: skip
    else:
        walk.hold(mark, "the mark")
    if witness is not None:
        walk.hold(witness, "the mark that you gave")
    return Reading(tuple(walk.records), tuple(walk.findings), tuple(walk.notes), last)


class _Walk:
    """Reads line by line."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.last = BEGINNING
        self._hash_known = False  # of the line before: unknown at the beginning and after a line that was changed
        self._first: tuple[str, Record] | None = None

    def file(self, name: str, content: bytes) -> None:
        if self._first is None and not self.findings:
            before = first_number(name) - 1
            self.last = Mark(before, "") if before else BEGINNING
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            self._line(name, number, line)
        if rest:
            self.notes.append(
                f"{name}, line {len(lines) + 1}: cut off after {len(rest)} bytes. A write was interrupted, or is"
                " under way; what it was about did not leave before it was written down. The agent mends it."
            )

    def _line(self, name: str, number: int, line: bytes) -> None:
        record = parsed(line)
        if record is None:
            self.findings.append(Finding(name, number, f"record {self.last.n + 1} was changed"))
            self.last = Mark(self.last.n + 1, "")
            self._hash_known = False
            return
        if self._first is None:
            self._first = (name, record)
        self._link(name, number, record)
        self._told(name, number, record)
        self.records.append(record)
        self.last = Mark(record.n, record.hash)
        self._hash_known = True

    def _link(self, name: str, number: int, record: Record) -> None:
        expected = self.last.n + 1
        if record.n > expected:
            missing = f"record {expected}" if record.n == expected + 1 else f"records {expected} to {record.n - 1}"
            self.findings.append(Finding(name, number, f"{missing} before it: removed"))
        elif record.n < expected:
            self.findings.append(Finding(name, number, f"record {record.n} is out of its place"))
        elif self._hash_known and record.prev != self.last.hash:
            self.findings.append(Finding(name, number, f"record {record.n} does not follow from the one before it"))

    def _told(self, name: str, number: int, record: Record) -> None:
        """What the agent itself found when it began."""
        cut, missing = record.fields.get("cut"), record.fields.get("missing_to")
        if isinstance(cut, dict):
            self.notes.append(
                f"{record.at:%Y-%m-%d %H:%M:%S}: {cut.get('bytes')} bytes of a cut-off line were mended"
            )
        if isinstance(missing, int):
            what = f"when the agent began, the records {record.n} to {missing} that there had been were missing"
            self.findings.append(Finding(name, number, what))

    def check_beginning(self) -> None:
        """The log begins at its beginning, or where a later record says that the rest was dropped."""
        if self._first is None or self.findings:
            return
        name, first = self._first
        if first.n == 1:
            if first.prev != GENESIS:
                self.findings.append(Finding(name, 1, "record 1 has one before it"))
            return
        dropped = (one.fields.get("dropped") for one in self.records if one.kind == RecordKind.FILE)
        told = any(
            isinstance(one, dict) and one.get("last") == first.n - 1 and one.get("hash") == first.prev
            for one in dropped
        )
        if not told:
            self.findings.append(Finding(name, 1, f"the records up to {first.n - 1} are missing, and no later one "
                                                  "says that they were dropped"))  # fmt: skip

    def hold(self, mark: Mark, whose: str) -> None:
        """The log goes as far as `mark`, and its line is the one there."""
        if mark.n == 0:
            return
        if mark.n > self.last.n:
            missing = f"{whose} says that there were {mark.n} records; the last one here is {self.last.n}"
            self.findings.append(Finding("", 0, missing))
            return
        first = self.records[0].n if self.records else 0
        there = next((one for one in self.records if one.n == mark.n), None)
        if there is not None and there.hash != mark.hash:
            self.findings.append(Finding("", 0, f"record {mark.n} is not the one that {whose} names"))
        elif there is None and mark.n < first:
            self.notes.append(f"{whose} names record {mark.n}, which was dropped since to make room")


def _newest_drop(contents: Iterable[bytes]) -> Mapping[str, JsonValue] | None:
    """What the first of these files says that was dropped, in its own first line."""
    for content in contents:
        record = parsed(content.partition(b"\n")[0])
        dropped = None if record is None else record.fields.get("dropped")
        if isinstance(dropped, dict):
            return dropped
    return None


def leading_leftovers(names: Sequence[str], dropped: Mapping[str, JsonValue] | None) -> int:
    """How many files, from the oldest on, were dropped to make room, where the disk still holds on to them.

    Args:
        names: Of the log's files, oldest first.
        dropped: What the newest file says was dropped; None where nothing ever was.
    """
    last = None if dropped is None else dropped.get("last")
    if not isinstance(last, int):
        return 0
    return sum(first_number(following) <= last + 1 for following in names[1:])


def first_number(name: str) -> int:
    """The number of the first line of the file of this name."""
    number = name.partition("-")[2].partition(".")[0]
    return int(number) if number.isdecimal() else 1


def last_of(lines: Sequence[bytes]) -> Mark | None:
    """The mark after these lines of one file, changed ones included, so that a log can go on after them."""
    last: Mark | None = None
    for line in lines:
        record = parsed(line)
        if record is not None:
            last = Mark(record.n, record.hash)
        elif last is not None:
            last = Mark(last.n + 1, hashlib.sha256(line).hexdigest())
    return last
