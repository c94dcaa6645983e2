"""What devices said last is parsed once for as long as it stands."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cloud.domain import Totals
from cloud.store.documents import Documents
from tests.cloud.samples import telemetry
from wire.codec import encode
from wire.messages import Status, Telemetry


def test_the_same_text_is_the_same_document() -> None:
    said = telemetry(uptime_s=1)
    documents, text = Documents(), encode(said).decode()
    first = documents.read(Telemetry, "cam-1", "telemetry", text)
    assert first == said
    assert documents.read(Telemetry, "cam-1", "telemetry", str(text.encode(), "utf-8")) is first


def test_another_text_is_another_document_and_takes_its_place() -> None:
    documents = Documents()
    for uptime_s in (1, 2, 1):
        text = encode(telemetry(uptime_s=uptime_s)).decode()
        assert documents.read(Telemetry, "cam-1", "telemetry", text).uptime_s == uptime_s


def test_devices_columns_and_kinds_are_told_apart() -> None:
    documents = Documents()
    text = Totals(frames=3).model_dump_json()
    ours = documents.read(Totals, "cam-1", "past", text)
    assert documents.read(Totals, "cam-2", "past", text) is not ours
    assert documents.read(Totals, "cam-1", "other", text) is not ours
    with pytest.raises(ValidationError):
        documents.read(Status, "cam-1", "past", text)
    assert documents.read(Totals, "cam-1", "past", text) is ours


def test_an_empty_column_is_nothing() -> None:
    assert Documents().maybe(Totals, "cam-1", "past", None) is None


def test_there_is_room_for_so_many_and_the_oldest_is_read_afresh() -> None:
    documents, text = Documents(room=2), Totals(frames=3).model_dump_json()
    first, second = (documents.read(Totals, device, "past", text) for device in ("cam-1", "cam-2"))
    documents.read(Totals, "cam-3", "past", text)
    assert documents.read(Totals, "cam-2", "past", text) is second
    again = documents.read(Totals, "cam-1", "past", text)
    assert again == first
    assert again is not first
