"""`vedette-agent egress`, as a person or a program calls it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import JsonValue

from agent.__main__ import EX_TAMPERED, main
from agent.adapters.receipt_log import FOLDER
from agent.app.egress import egress, moment
from agent.deliver.ledger import Ledger, Why
from agent.deliver.receipts import BEGINNING, RecordKind, Sending, mark_text, written
from tests.agent.adapters.test_receipt_log import log

Capture = pytest.CaptureFixture[str]
HIDDEN = {"hide": "heads", "masked": 0.2, "hidden": 0.05}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ledger = Ledger()
    receipts = log(tmp_path, ledger)
    receipts.open()
    for number, (why, camera, size) in enumerate(
        (("questions", "gate", 9_000), ("audits", "yard", 16_000), ("questions", "gate", 8_000))
    ):
        sending = Sending(why, f"{number:032x}", camera, "cloud:8443", size, size - 500, "0" * 64, HIDDEN)
        receipts.end(receipts.begin(sending), "status 200", size)
        ledger.spend(Why(why), size)
    ledger.spend(Why.ALERTS, 700)
    receipts.close()
    return tmp_path


def test_a_person_sees_each_upload_and_the_sums(data: Path, capsys: Capture) -> None:
    assert main(["egress", "--data-dir", str(data)]) == 0
    said = capsys.readouterr().out
    assert "2026-11-26 08:00:00  questions  gate    9,000   heads 5%, masks 20%  cloud:8443  status 200" in said
    assert "audits     1        16,000" in said
    assert "alerts              700" in said
    assert "all        3        33,700" in said
    assert "the log is whole: 8 records" in said


@pytest.mark.parametrize(
    ("by", "sums"),
    [
        ("camera", {"(messages)": 700, "gate": 17_000, "yard": 16_000}),
        ("day", {"2026-11-26": 33_700}),
        ("host", {"(messages)": 700, "cloud:8443": 33_000}),
        ("reason", {"alerts": 700, "audits": 16_000, "questions": 17_000}),
    ],
)
def test_sums_are_grouped_as_asked(data: Path, capsys: Capture, by: str, sums: dict[str, int]) -> None:
    assert main(["egress", "--data-dir", str(data), "--by", by, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {name: one["bytes"] for name, one in said["sums"].items()} == sums
    assert said["whole"]
    assert len(said["uploads"]) == 3


def test_since_leaves_out_what_was_before(data: Path, capsys: Capture) -> None:
    assert main(["egress", "--data-dir", str(data), "--since", "2026-11-27", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["uploads"], said["sums"], said["whole"]) == ([], {}, True)


def test_a_whole_log_passes_and_a_changed_one_is_named_with_its_place(data: Path, capsys: Capture) -> None:
    assert main(["egress", "--data-dir", str(data), "--verify"]) == 0
    assert capsys.readouterr().out.startswith("the log is whole: 8 records, up to 8:")
    file = next((data / FOLDER).glob("*.jsonl"))
    file.write_text(file.read_text().replace('"camera":"yard"', '"camera":"gate"'))
    assert main(["egress", "--data-dir", str(data), "--verify"]) == EX_TAMPERED
    assert capsys.readouterr().out == f"TAMPERED {file.name}, line 4: record 4 was changed\n"
    assert main(["egress", "--data-dir", str(data)]) == 0, "it is shown all the same"
    assert "TAMPERED" in capsys.readouterr().out


def test_a_mark_of_the_cloud_is_held_against_the_log(data: Path, capsys: Capture) -> None:
    main(["egress", "--data-dir", str(data), "--json"])
    mark = json.loads(capsys.readouterr().out)["mark"]
    assert main(["egress", "--data-dir", str(data), "--verify", "--mark", mark]) == 0
    assert main(["egress", "--data-dir", str(data), "--verify", "--mark", f"8:{'0' * 64}"]) == EX_TAMPERED
    assert main(["egress", "--data-dir", str(data), "--mark", f"8:{'0' * 64}"]) == EX_TAMPERED, "shown, and told"
    with pytest.raises(SystemExit):
        main(["egress", "--data-dir", str(data), "--mark", "8"])


def test_without_a_log_it_says_what_to_name(tmp_path: Path, capsys: Capture) -> None:
    assert main(["egress", "--data-dir", str(tmp_path)]) == 1
    assert "EgressUnreadable: there is no egress log" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-26", datetime(2026, 11, 26, tzinfo=UTC)),
        ("2026-11-26T08:00+02:00", datetime(2026, 11, 26, 6, tzinfo=UTC)),
        ("90m", datetime(2026, 11, 26, 10, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 19, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_people_say_it(text: str, at: datetime) -> None:
    assert moment(text, datetime(2026, 11, 26, 12, tzinfo=UTC)) == at


@pytest.mark.parametrize("text", ["", "soon", "d", "1.5h", "-3d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        moment(text, datetime(2026, 11, 26, 12, tzinfo=UTC) + timedelta())


def forged(data_dir: Path, *records: tuple[RecordKind, dict[str, JsonValue]]) -> None:
    """A log that somebody wrote anew as a whole: its chain and its mark are right."""
    folder, mark, lines = data_dir / FOLDER, BEGINNING, []
    for kind, fields in records:
        line, mark = written(mark.n + 1, datetime(2026, 11, 26, tzinfo=UTC), kind, fields, mark.hash)
        lines.append(line)
    folder.mkdir()
    (folder / "egress-000000000001.jsonl").write_bytes(b"".join(lines))
    (folder / "mark").write_bytes(mark_text(mark))


UPLOAD: dict[str, JsonValue] = {"why": "questions", "camera": "gate", "host": "cloud:8443", "size": 9, "body": 5}


@pytest.mark.parametrize(
    "fields",
    [
        {"camera": "\x1b[2J\x1b[8m"},
        {"host": "cloud\nthe log is whole: 99 records, up to 99:0"},
        {"camera": "\ud800"},
        {"why": "\x9b2J"},
        {"redaction": {"hide": "people", "hidden": "much", "masked": None}},
        {"redaction": {"hide": "\x1b[8m", "hidden": float("inf"), "masked": [1]}},
    ],
)
def test_a_forged_log_says_nothing_in_the_program_s_own_voice(
    tmp_path: Path, capsys: Capture, fields: dict[str, JsonValue]
) -> None:
    forged(tmp_path, (RecordKind.START, {"cut": {"bytes": "\x1b[8m"}}), (RecordKind.SEND, UPLOAD | fields))
    assert main(["egress", "--data-dir", str(tmp_path), "--mark", f"9:{'0' * 64}"]) == EX_TAMPERED
    said = capsys.readouterr().out
    assert all(character.isprintable() for character in said.replace("\n", ""))
    assert not any(line.startswith("the log is whole") for line in said.splitlines())
    assert main(["egress", "--data-dir", str(tmp_path), "--by", "camera"]) == 0


def test_a_forged_log_is_read_as_far_as_it_makes_sense(tmp_path: Path) -> None:
    forged(
        tmp_path,
        (RecordKind.FILE, {"dropped": {"last": [7], "uploads": None, "bytes": 3}}),
        (RecordKind.DONE, {"of": [1], "sent": "much"}),
        (RecordKind.SEND, {"why": ["questions"], "size": {}}),
    )
    read = egress(tmp_path)
    assert read.whole
    assert "1 uploads" not in read.for_people()
    assert read.uploads[0].sent == 0
