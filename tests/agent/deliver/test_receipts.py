"""The chain of egress receipts: whatever is done to its lines shows."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.deliver.receipts import (
    BEGINNING,
    Mark,
    RecordKind,
    mark_of,
    mark_text,
    parsed,
    read,
    written,
)

AT = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
NAME = "egress-000000000001.jsonl"


def chain(length: int, *, after: Mark = BEGINNING) -> tuple[list[bytes], Mark]:
    """So many lines, and the mark after them."""
    lines, mark = [], after
    for number in range(length):
        fields = {"why": "questions", "size": 1000 + number, "what": f"{number:032x}"}
        line, mark = written(mark.n + 1, AT + timedelta(seconds=number), RecordKind.SEND, fields, mark.hash)
        lines.append(line)
    return lines, mark


def findings(content: bytes, mark: Mark | None) -> list[str]:
    return [finding.what for finding in read([(NAME, content)], mark).findings]


@given(length=st.integers(0, 12))
def test_an_untouched_chain_is_whole(length: int) -> None:
    lines, mark = chain(length)
    reading = read([(NAME, b"".join(lines))], mark)
    assert reading.findings == ()
    assert reading.notes == ()
    assert reading.mark == mark
    assert [record.n for record in reading.records] == list(range(1, length + 1))


@given(length=st.integers(1, 8), place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_any_changed_byte_is_found(length: int, place: int, change: int) -> None:
    lines, mark = chain(length)
    content = bytearray(b"".join(lines))
    content[place % len(content)] ^= change
    assert findings(bytes(content), mark)


@given(data=st.data(), length=st.integers(1, 10))
def test_any_removed_lines_are_found_and_named(data: st.DataObject, length: int) -> None:
    lines, mark = chain(length)
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first, length - 1))
    found = findings(b"".join(lines[:first] + lines[last + 1 :]), mark)
    assert found
    if last == length - 1:
        assert f"there were {length} records; the last one here is {first}" in found[-1]
    elif first:
        assert found[0].startswith(f"record{'s' if last > first else ''} {first + 1}")


@given(data=st.data(), length=st.integers(2, 10))
def test_any_other_order_is_found(data: st.DataObject, length: int) -> None:
    lines, mark = chain(length)
    shuffled = data.draw(st.permutations(range(length)))
    found = findings(b"".join(lines[place] for place in shuffled), mark)
    assert bool(found) == (list(shuffled) != list(range(length)))


@given(data=st.data(), length=st.integers(1, 8))
def test_a_line_that_was_put_in_twice_is_found(data: st.DataObject, length: int) -> None:
    lines, mark = chain(length)
    copied, place = data.draw(st.integers(0, length - 1)), data.draw(st.integers(0, length))
    lines.insert(place, lines[copied])
    assert findings(b"".join(lines), mark)


@given(data=st.data(), length=st.integers(2, 8))
def test_a_line_written_anew_with_a_hash_of_its_own_is_found(data: st.DataObject, length: int) -> None:
    lines, mark = chain(length)
    place = data.draw(st.integers(0, length - 1))
    before = parsed(lines[place - 1].rstrip(b"\n")) if place else None
    forged, _ = written(place + 1, AT, RecordKind.SEND, {"size": 1}, before.hash if before else BEGINNING.hash)
    lines[place] = forged
    assert findings(b"".join(lines), mark)


@given(length=st.integers(1, 6), cut=st.integers(1, 10_000))
def test_a_cut_off_last_line_is_told_and_is_no_tampering(length: int, cut: int) -> None:
    """The crash came between the write and the mark, which therefore does not name the line."""
    lines, _ = chain(length)
    marked = chain(length - 1)[1]
    torn = lines[-1][: cut % (len(lines[-1]) - 1) + 1]
    reading = read([(NAME, b"".join(lines[:-1]) + torn)], marked)
    assert reading.findings == ()
    assert f"line {length}: cut off after {len(torn)} bytes" in reading.notes[0]


def test_a_whole_chain_written_anew_is_found_by_the_mark_that_the_cloud_kept() -> None:
    _, kept = chain(5)
    forged, mark = [], BEGINNING
    for number in range(7):
        line, mark = written(number + 1, AT, RecordKind.SEND, {"size": 1}, mark.hash)
        forged.append(line)
    content = [(NAME, b"".join(forged))]
    assert read(content, mark).findings == ()
    found = read(content, mark, witness=kept).findings
    assert found[0].what == "record 5 is not the one that the mark that you gave names"


def test_a_mark_that_lags_is_no_tampering() -> None:
    lines, _ = chain(5)
    assert findings(b"".join(lines), chain(3)[1]) == []


def test_without_a_mark_the_end_can_not_be_told() -> None:
    lines, _ = chain(2)
    assert findings(b"".join(lines), None)[0].startswith("it is missing or can't be read")


@given(number=st.integers(0, 10**20 - 1), digest=st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_mark_reads_as_it_was_written(number: int, digest: str) -> None:
    text = mark_text(Mark(number, digest))
    assert mark_of(text) == Mark(number, digest)
    assert len(text) == 86
    assert mark_of(text[:-1]) is None


def forged(body: bytes) -> bytes:
    """A line with a hash of its own, as somebody with the rights to the folder can write it."""
    return body[:-1] + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'


@pytest.mark.parametrize(
    ("number", "at"),
    [("1e999", AT.isoformat()), ("NaN", AT.isoformat()), ("1", AT.replace(tzinfo=None).isoformat()), ("1", "never")],
)
def test_a_forged_line_that_makes_no_sense_is_refused(number: str, at: str) -> None:
    body = f'{{"n":{number},"at":"{at}","kind":"send","prev":"{BEGINNING.hash}"}}'.encode()
    assert parsed(forged(body)) is None


@given(st.binary(max_size=300))
def test_whatever_a_line_holds_is_read_or_refused(line: bytes) -> None:
    assert parsed(line) is None
