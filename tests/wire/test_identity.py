from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import MessageInvalid, NotOurs, WireError
from wire.identity import CLAIM_PREFIX, MAX_CLAIM_CHARACTERS, Claim, read_claim

CLAIM = Claim(
    device="gate-1",
    http="https://cloud.example:8443",
    mqtt="mqtts://cloud.example:8883",
    authority="sha256:" + "ab" * 32,
    secret="A" * 43,
    expires_at=datetime(2026, 11, 25, tzinfo=UTC),
)


def test_claim_is_read_as_it_was_spelt() -> None:
    assert read_claim(CLAIM.spell()) == CLAIM


def test_claim_survives_being_wrapped_and_indented() -> None:
    word = CLAIM.spell()
    assert read_claim(f"  {word[:50]}\r\n  {word[50:]} \n") == CLAIM


def test_claim_never_shows_its_secret() -> None:
    assert CLAIM.secret not in repr(CLAIM)


@pytest.mark.parametrize(
    "word", ["", "vdt_token", "-----BEGIN CERTIFICATE-----", CLAIM_PREFIX + "A" * MAX_CLAIM_CHARACTERS]
)
def test_what_is_no_claim_is_named_so(word: str) -> None:
    with pytest.raises(NotOurs):
        read_claim(word)


@given(st.integers(len(CLAIM_PREFIX), len(CLAIM.spell()) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_damaged_claim_is_refused_or_another_claim_but_never_a_crash(place: int, character: str) -> None:
    word = CLAIM.spell()
    said = ""
    try:
        read_claim(word[:place] + character + word[place + 1 :])
    except WireError as refused:
        said = str(refused)
    assert CLAIM.secret not in said


@given(st.integers(len(CLAIM_PREFIX), len(CLAIM.spell()) - 3))
def test_claim_that_was_cut_off_is_refused(end: int) -> None:
    with pytest.raises(MessageInvalid, match="damaged"):
        read_claim(CLAIM.spell()[:end])


@given(st.text(max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(WireError):
        read_claim(text)
