"""The egress log on disk: files of lines that are only ever added to; see `agent.deliver.receipts` for the chain.

A line is on the disk (fsync) before its upload may leave. Where it can't be written, the upload waits: an alert never
does, since messages are told as totals. `mark` holds the number and hash of the last line that is on the disk for
certain, so that lines cut off the end are missed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from agent.adapters.durable_file import sync_path
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.receipts import (
    BEGINNING,
    Mark,
    Record,
    RecordKind,
    Sending,
    Ticket,
    first_number,
    last_of,
    leading_leftovers,
    mark_of,
    mark_text,
    parsed,
    written,
)
from agent.domain import Clock
from agent.errors import EgressLeftover, EgressUnreadable, EgressUnwritable

FOLDER: Final = "egress"
MARK_FILE: Final = "mark"
FILE_BYTES: Final = 1 << 20
"""Of one file; as much is dropped at a time."""
FILES: Final = "egress-*.jsonl"
UPLOADS: Final = frozenset({"questions", "pictures", "audits", "snapshots", "clips"})
"""Reasons of which each exchange has lines of its own; the others are added up."""


class ReceiptLog:
    """Implements `agent.deliver.receipts.Receipts`. Opens on demand, and again after trouble."""

    def __init__(
        self,
        folder: Path,
        *,
        about: Mapping[str, JsonValue],
        clock: Clock,
        ledger: Ledger,
        faults: Faults,
        max_bytes: int,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        """Take note of the folder; nothing is opened yet.

        Args:
            folder: Holds the log and nothing else; made when it is needed.
            about: What a start says of the agent.
            clock: Its wall time stands in each line.
            ledger: The bytes of what is added up.
            faults: Where a refusing disk is counted.
            max_bytes: Of all files together.
            file_bytes: From which on a new file is begun.
        """
        self._folder = folder
        self._about = about
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._max_bytes = max_bytes
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        self._mark = BEGINNING
        self._started = False
        self._owed: list[Mapping[str, JsonValue]] = []
        self._told: Counter[str] = Counter()

    @property
    def mark(self) -> Mark:
        """Where the log ends."""
        return self._mark

    def open(self) -> None:
        """Mend what a crash left, and write down that the agent began; a refusal is counted, and tried again."""
        with self._lock:
            try:
                self._ready()
            except EgressUnwritable as refused:
                self._faults.note(refused)

    def begin(self, sending: Sending) -> Ticket:
        """See the port."""
        with self._lock:
            self._ready()
            self._settle()
            return Ticket(self._append(RecordKind.SEND, asdict(sending)), sending.why)

    def end(self, ticket: Ticket, outcome: str, sent: int) -> None:
        """See the port."""
        with self._lock:
            self._owed.append({"of": ticket.n, "why": ticket.why, "outcome": outcome, "sent": sent})
            self._try_to_settle()

    def totals(self) -> None:
        """Add up what left in messages and updates since the last time; a refusal is counted, and made good later."""
        with self._lock:
            self._total(RecordKind.TOTALS, {})

    def close(self) -> None:
        """The agent ends in order."""
        with self._lock:
            if not self._started and not self._ledger.bytes_by_reason():
                return
            self._total(RecordKind.STOP, {"ledger": dict(self._ledger.bytes_by_reason())})
            self._let_go()

    # --- writing, under the lock ----------------------------------------------------------------------------------

    def _total(self, kind: RecordKind, fields: Mapping[str, JsonValue]) -> None:
        now = Counter({why: size for why, size in self._ledger.bytes_by_reason().items() if why not in UPLOADS})
        fresh: dict[str, JsonValue] = {**dict(sorted((now - self._told).items()))}
        if kind is RecordKind.TOTALS and not fresh:
            return
        try:
            self._ready()
            self._settle()
            self._append(kind, {"bytes": fresh, **fields})
        except EgressUnwritable as refused:
            self._faults.note(refused)
        else:
            self._told = now

    def _settle(self) -> None:
        while self._owed:
            self._append(RecordKind.DONE, self._owed[0])
            del self._owed[0]

    def _try_to_settle(self) -> None:
        try:
            self._ready()
            self._settle()
        except EgressUnwritable as refused:
            self._faults.note(refused)

    def _append(self, kind: RecordKind, fields: Mapping[str, JsonValue]) -> int:
        try:
            if self._size >= self._file_bytes:
                self._rotate()
            return self._write(kind, fields)
        except OSError as refused:
            self._let_go()
            raise _unwritable(self._folder, refused) from refused

    def _write(self, kind: RecordKind, fields: Mapping[str, JsonValue]) -> int:
        if self._handle is None:
            self._handle = self._new_file()
        line, mark = written(self._mark.n + 1, self._clock.wall(), kind, fields, self._mark.hash)
        if os.write(self._handle, line) != len(line):
            raise OSError(28, "the disk took a part of the line")
        os.fsync(self._handle)
        self._size += len(line)
        self._mark = mark
        self._keep_mark()
        return mark.n

    def _keep_mark(self) -> None:
        """After the line is on the disk, never before. Not fsynced: a mark that lags misses nothing that it names."""
        handle = os.open(self._folder / MARK_FILE, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, mark_text(self._mark), 0)
        finally:
            os.close(handle)

    def _new_file(self) -> int:
        path = self._folder / f"egress-{self._mark.n + 1:012d}.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        sync_path(self._folder)
        self._size = 0
        return handle

    def _rotate(self) -> None:
        """Begin a new file. What must go to make room is named by its first line, and goes after that."""
        files = _files(self._folder)
        before = _newest_drop(files)
        leftovers = _leftovers(files, before)
        files = files[len(leftovers) :]
        sizes = {file: file.stat().st_size for file in files}
        doomed: list[Path] = []
        while len(files) - len(doomed) > 1 and sum(sizes.values()) + self._file_bytes > self._max_bytes:
            doomed.append(files[len(doomed)])
            del sizes[doomed[-1]]
        self._let_go()
        dropped = _dropped(doomed, before)
        self._handle = self._new_file()
        self._write(RecordKind.FILE, {"dropped": dropped})
        self._remove([*leftovers, *doomed])

    # --- opening, under the lock ----------------------------------------------------------------------------------

    def _ready(self) -> None:
        if self._handle is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            mended = self._take_up()
            if mended or not self._started:
                about = {} if self._started else dict(self._about)
                self._write(RecordKind.START, {**about, **mended})
                self._started = True
        except OSError as refused:
            self._let_go()
            raise _unwritable(self._folder, refused) from refused

    def _take_up(self) -> dict[str, JsonValue]:
        """Go on where the log ends; what had to be mended."""
        mended: dict[str, JsonValue] = {}
        self._mark = BEGINNING
        files = _files(self._folder)
        while files:
            content = files[-1].read_bytes()
            *lines, rest = content.split(b"\n")
            whole = len(content) - len(rest)
            if rest:
                mended["cut"] = {"bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}
                os.truncate(files[-1], whole)
            last = last_of(lines)
            if last is not None:
                self._mark = last
                self._handle = os.open(files[-1], os.O_WRONLY | os.O_APPEND)
                self._size = whole
                # What an earlier run wrote and could not sync is on the disk before anything refers to it.
                os.fsync(self._handle)
                break
            if whole:  # nothing of it can be read: it stays as it is, for whoever looks at it
                self._mark = Mark(
                    first_number(files[-1].name) + len(lines) - 1, hashlib.sha256(lines[-1]).hexdigest()
                )
                break
            files.pop().unlink()
        mark = self._kept_mark()
        if mark is not None and mark.n > self._mark.n:
            mended["missing_to"] = mark.n
        # A crash may have come between the line that names what goes and its going.
        self._remove(_leftovers(files, _newest_drop(files)))
        return mended

    def _remove(self, files: Sequence[Path]) -> None:
        """One that the disk holds on to is no reason to write nothing down any more."""
        for file in files:
            try:
                file.unlink(missing_ok=True)
            except OSError as refused:
                reason = refused.strerror or refused
                self._faults.note(EgressLeftover(f"{file} can't be removed ({reason})", "Look after the disk."))

    def _kept_mark(self) -> Mark | None:
        try:
            return mark_of((self._folder / MARK_FILE).read_bytes())
        except FileNotFoundError:
            return None

    def _let_go(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None


def read_files(folder: Path) -> tuple[list[tuple[str, bytes]], Mark | None]:
    """The log's files, oldest first, and its mark.

    Raises:
        EgressUnreadable: There is no log, or it can't be read.
    """
    try:
        # The mark first: whatever it names is in the files that are read after it.
        try:
            mark = mark_of((folder / MARK_FILE).read_bytes())
        except FileNotFoundError:
            mark = None
        found = [(file.name, file.read_bytes()) for file in _files(folder)]
    except OSError as refused:
        raise EgressUnreadable(
            f"{folder} can't be read: {refused.strerror}", "Read it as the agent's user."
        ) from None
    if not found and mark is None:
        raise EgressUnreadable(
            f"there is no egress log in {folder}",
            "Name the agent's configuration or data folder; of the service under systemd: --data-dir"
            " /var/lib/vedette-agent.",
        )
    return found, mark


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(FILES))


def _records(file: Path) -> list[Record]:
    lines = file.read_bytes().split(b"\n")[:-1]
    return [record for record in map(parsed, lines) if record is not None]


def _newest_drop(files: Sequence[Path]) -> Mapping[str, JsonValue] | None:
    """Each file's first line says it, so the newest file's is the newest."""
    for file in reversed(files):
        with file.open("rb") as opened:
            record = parsed(opened.readline().removesuffix(b"\n"))
        dropped = None if record is None else record.fields.get("dropped")
        if isinstance(dropped, dict):
            return dropped
    return None


def _dropped(doomed: Sequence[Path], before: Mapping[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    """What is known of everything that was ever dropped, so that sums stay whole."""
    records = [record for file in doomed for record in _records(file)]
    if not records:
        return None if before is None else dict(before)
    sums = Counter[str]()
    uploads = 0
    if before is not None:
        earlier, count = before.get("bytes"), before.get("uploads")
        if isinstance(earlier, dict):
            sums.update({why: size for why, size in earlier.items() if isinstance(size, int)})
        uploads = count if isinstance(count, int) else 0
    for one in records:
        uploads += one.kind == RecordKind.SEND
        sent, added = one.fields.get("sent"), one.fields.get("bytes")
        if one.kind == RecordKind.DONE and isinstance(sent, int):
            sums[str(one.fields.get("why"))] += sent
        elif isinstance(added, dict):
            sums.update({why: size for why, size in added.items() if isinstance(size, int)})
    return {
        "last": records[-1].n,
        "hash": records[-1].hash,
        "uploads": uploads,
        "bytes": dict(sorted(sums.items())),
    }


def _leftovers(files: Sequence[Path], dropped: Mapping[str, JsonValue] | None) -> list[Path]:
    """Files that are named as gone and are still there."""
    return list(files[: leading_leftovers([file.name for file in files], dropped)])


def _unwritable(folder: Path, reason: OSError) -> EgressUnwritable:
    return EgressUnwritable(
        f"the egress log in {folder} can't be written ({reason.strerror or reason}), so no picture leaves",
        "Free some space, or look after the disk.",
    )
