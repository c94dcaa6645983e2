"""Bytes that were once sent must be read the same for ever; both sides read them through the same codec."""

from pathlib import Path

import pytest

from tests.wire.samples import SAMPLES
from wire.codec import decode, encode

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_bytes_are_read_and_written_unchanged(name):
    expected = SAMPLES[name]
    data = (GOLDEN / f"{name}.json").read_bytes()
    assert decode(type(expected), data) == expected
    assert encode(expected) == data


def test_every_golden_file_has_a_sample():
    assert {p.stem for p in GOLDEN.glob("*.json")} == set(SAMPLES)
