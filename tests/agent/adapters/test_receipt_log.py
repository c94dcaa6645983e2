"""The egress log on a real disk: crashes at any write, full disks, rotation, and what a reader makes of it."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters import receipt_log
from agent.adapters.receipt_log import FOLDER, MARK_FILE, ReceiptLog, read_files
from agent.app.egress import egress
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger, Why
from agent.deliver.receipts import Mark, Reading, Sending, read
from agent.errors import EgressUnreadable, EgressUnwritable


class WallClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)

    def wall(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Power(BaseException):
    """It went out."""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_platter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of lines are written here, and no power is cut."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


class FailingDisk:
    """Fails the nth call to the system that writes, having done a part of it; counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.fail_at = 0
        self.error: BaseException = Power()
        for name in ("write", "fsync", "pwrite", "truncate", "open"):
            monkeypatch.setattr(receipt_log.os, name, self._failing(name, getattr(os, name)))

    def _failing(self, name: str, real):
        def call(*arguments, **named):
            self.calls += 1
            if self.calls == self.fail_at:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise self.error
            return real(*arguments, **named)

        return call


def log(folder: Path, ledger: Ledger | None = None, faults: Faults | None = None, **bounds: int) -> ReceiptLog:
    given = {"max_bytes": 16 << 20} | bounds
    return ReceiptLog(
        folder / FOLDER, about={"boot": "b" * 32}, clock=WallClock(), ledger=ledger or Ledger(),
        faults=faults or Faults(), **given,
    )  # fmt: skip


def sending(number: int, size: int = 1000) -> Sending:
    return Sending("questions", f"{number:032x}", "gate", "cloud:8443", size, size - 100, f"{number:064x}")


def reading(folder: Path) -> Reading:
    return read(*read_files(folder / FOLDER))


def upload(receipts: ReceiptLog, number: int) -> None:
    receipts.end(receipts.begin(sending(number)), "status 200", 1000)


def test_an_upload_is_on_the_disk_before_it_may_leave(tmp_path: Path) -> None:
    receipts = log(tmp_path)
    receipts.open()
    ticket = receipts.begin(sending(7))
    written = reading(tmp_path).records[-1]
    assert (written.kind, written.n, written.fields["what"]) == ("send", ticket.n, f"{7:032x}")
    receipts.end(ticket, "status 200", 1000)
    receipts.close()
    found = egress(tmp_path)
    assert found.whole
    assert [(one.reason, one.camera, one.sent, one.outcome) for one in found.uploads] == [
        ("questions", "gate", 1000, "status 200")
    ]


def test_the_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    for run in range(3):
        receipts = log(tmp_path)
        receipts.open()
        upload(receipts, run)
        receipts.close()
    found = reading(tmp_path)
    assert found.findings == ()
    assert [record.kind for record in found.records] == ["start", "send", "done", "stop"] * 3


def test_a_crash_at_any_write_leaves_a_log_that_is_whole_and_holds_what_left(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch)
    crashes = 0
    for at in range(1, 200):
        folder = tmp_path_factory.mktemp("crash")
        disk.calls, disk.fail_at, left = 0, 0, 0
        receipts = log(folder, max_bytes=3000, file_bytes=900)
        receipts.open()
        disk.calls, disk.fail_at = 0, at
        try:
            for number in range(8):
                ticket = receipts.begin(sending(number))
                left += 1
                receipts.end(ticket, "status 200", 1000)
        except Power:
            crashes += 1
        else:
            break
        disk.fail_at = 0
        after = log(folder, max_bytes=3000, file_bytes=900)
        after.open()
        upload(after, 99)
        after.close()
        found = egress(folder)
        assert found.whole, (at, found.reading.findings)
        dropped = found.dropped["uploads"] if found.dropped else 0
        # What left is there; the one about to leave may be.
        assert left + 1 <= len(found.uploads) + dropped <= left + 2, at
    assert crashes > 40


def test_a_full_disk_keeps_pictures_in_and_mends_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipts = log(tmp_path)
    receipts.open()
    under_way = receipts.begin(sending(1))
    disk = FailingDisk(monkeypatch)
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    disk.fail_at = 1
    receipts.end(under_way, "status 200", 1000)
    disk.calls = 0
    with pytest.raises(EgressUnwritable, match="no picture leaves"):
        receipts.begin(sending(2))
    disk.fail_at = 0
    upload(receipts, 3)
    receipts.close()
    found = egress(tmp_path)
    assert found.whole
    assert [(one.what[-1], one.outcome) for one in found.uploads] == [("1", "status 200"), ("3", "status 200")]
    assert any("cut-off line" in note for note in found.notes)


def test_old_files_go_and_the_chain_says_so(tmp_path: Path) -> None:
    receipts = log(tmp_path, max_bytes=6000, file_bytes=1500)
    receipts.open()
    for number in range(60):
        upload(receipts, number)
    receipts.close()
    folder = tmp_path / FOLDER
    files = sorted(folder.glob("*.jsonl"))
    assert sum(file.stat().st_size for file in files) <= 6000 + 1000
    found = egress(tmp_path)
    assert found.whole
    assert found.dropped is not None
    assert found.dropped["uploads"] + len(found.uploads) == 60
    assert found.dropped["bytes"]["questions"] + found.sums["questions"].bytes in {60_000, 61_000}
    files[0].unlink()
    assert "no later one says that they were dropped" in reading(tmp_path).findings[0].what


def test_an_old_file_that_can_t_be_removed_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removes = Path.unlink
    stuck: list[Path] = []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path in stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        removes(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    faults = Faults()
    receipts = log(tmp_path, faults=faults, max_bytes=6000, file_bytes=1500)
    receipts.open()
    stuck += (tmp_path / FOLDER).glob("*.jsonl")
    for number in range(60):
        upload(receipts, number)
    receipts.close()
    assert faults.counts().keys() == {"EgressLeftover"}

    left, *others = sorted((tmp_path / FOLDER).glob("*.jsonl"))
    assert [left] == stuck
    assert sum(file.stat().st_size for file in others) <= 6000 + 1000, "the others are kept to the bound"
    found = egress(tmp_path)
    assert found.whole, found.reading.findings
    assert any(left.name in note for note in found.notes)
    assert found.dropped is not None
    assert found.dropped["uploads"] + len(found.uploads) == 60, "nothing is counted twice"

    stuck.clear()
    again = log(tmp_path, max_bytes=6000, file_bytes=1500)
    again.open()
    again.close()
    assert not left.exists()
    assert egress(tmp_path).whole


def test_a_file_taken_out_of_the_middle_is_missed(tmp_path: Path) -> None:
    receipts = log(tmp_path, file_bytes=1500)
    receipts.open()
    for number in range(20):
        upload(receipts, number)
    receipts.close()
    sorted((tmp_path / FOLDER).glob("*.jsonl"))[1].unlink()
    assert "removed" in reading(tmp_path).findings[0].what


def test_an_end_that_was_cut_off_stays_missed_over_a_restart(tmp_path: Path) -> None:
    receipts = log(tmp_path)
    receipts.open()
    for number in range(3):
        upload(receipts, number)
    receipts.close()
    file = next((tmp_path / FOLDER).glob("*.jsonl"))
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:4]))
    assert "the last one here is 4" in reading(tmp_path).findings[0].what
    after = log(tmp_path)
    after.open()
    after.close()
    assert "the records 5 to 8 that there had been were missing" in reading(tmp_path).findings[0].what


@settings(max_examples=30, deadline=None)
@given(place=st.integers(0, 100_000), change=st.integers(1, 255))
def test_a_changed_byte_stays_found_when_the_agent_goes_on(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    receipts = log(folder)
    receipts.open()
    for number in range(3):
        upload(receipts, number)
    receipts.close()
    file = next((folder / FOLDER).glob("*.jsonl"))
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= change
    file.write_bytes(content)
    assert reading(folder).findings
    after = log(folder)
    after.open()
    upload(after, 9)
    after.close()
    assert reading(folder).findings


def test_messages_are_added_up_and_the_ledger_is_met(tmp_path: Path) -> None:
    ledger = Ledger()
    receipts = log(tmp_path, ledger)
    receipts.open()
    ledger.spend(Why.ALERTS, 700)
    receipts.totals()
    receipts.totals()
    ledger.spend(Why.ALERTS, 50)
    ledger.spend(Why.TELEMETRY, 400)
    ledger.spend(Why.QUESTIONS, 1000)
    upload(receipts, 1)
    receipts.close()
    found = egress(tmp_path)
    assert {name: one.bytes for name, one in found.sums.items()} == {
        "alerts": 750, "telemetry": 400, "questions": 1000,
    }  # fmt: skip
    assert found.notes == ()
    assert len([one for one in found.reading.records if one.kind == "totals"]) == 1
    assert egress(tmp_path, by="camera").sums["(messages)"].bytes == 1150


def test_bytes_without_a_line_are_told(tmp_path: Path) -> None:
    ledger = Ledger()
    receipts = log(tmp_path, ledger)
    receipts.open()
    ledger.spend(Why.QUESTIONS, 5000)
    upload(receipts, 1)
    receipts.close()
    assert "counted 5000 bytes of questions; its lines add up to 1000" in egress(tmp_path).notes[0]


def test_a_run_that_ended_without_a_word_is_told(tmp_path: Path) -> None:
    first = log(tmp_path)
    first.open()
    ticket = first.begin(sending(1))
    assert ticket.n == 2
    second = log(tmp_path)
    second.open()
    second.close()
    found = egress(tmp_path)
    assert found.whole
    assert "ended without a word" in found.notes[0]
    assert (found.uploads[0].sent, found.uploads[0].outcome.partition(":")[0]) == (1000, "unknown")


def test_what_is_no_log_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EgressUnreadable, match="there is no egress log"):
        egress(tmp_path)


def test_a_mark_that_can_not_be_read_is_told_and_written_anew(tmp_path: Path) -> None:
    receipts = log(tmp_path)
    receipts.open()
    (tmp_path / FOLDER / MARK_FILE).write_bytes(b"nonsense")
    assert reading(tmp_path).findings[0].file == "mark"
    upload(receipts, 1)
    assert reading(tmp_path).findings == ()
    assert read_files(tmp_path / FOLDER)[1] == Mark(3, receipts.mark.hash)
