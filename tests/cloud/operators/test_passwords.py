"""What is kept of a password, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import StoreFailed
from cloud.operators import passwords
from cloud.operators.errors import OperatorNameRefused, PasswordRefused
from cloud.operators.passwords import MAX_LENGTH, MIN_LENGTH, NOBODYS, Hashed, check, checked_name, generated, hashed

LONG = "correct horse battery staple"


def test_a_password_is_known_again_and_no_other() -> None:
    kept = Hashed.read(hashed(LONG).spell())
    assert kept.is_of(LONG)
    assert not kept.is_of(LONG + " ")
    assert not kept.is_of("")
    assert LONG not in kept.spell()


def test_the_same_password_is_kept_differently_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    assert hashed(LONG).spell() != hashed(LONG).spell()


def test_an_unknown_name_costs_what_a_known_one_does() -> None:
    kept = hashed(LONG)
    assert (NOBODYS.log_n, NOBODYS.r, NOBODYS.p) == (kept.log_n, kept.r, kept.p) == (15, 8, 3)
    assert (len(NOBODYS.salt), len(NOBODYS.hash)) == (len(kept.salt), len(kept.hash))


def test_the_cost_that_was_kept_counts_not_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    kept = hashed(LONG).spell()
    monkeypatch.setattr(passwords, "_LOG_N", 5)
    assert Hashed.read(kept).is_of(LONG)


def test_keyboards_that_spell_a_character_differently_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    assert hashed("fünfzehn Zeichen und mehr").is_of("fu\u0308nfzehn Zeichen und mehr")


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "0 characters"),
        ("x" * (MIN_LENGTH - 1), "needs 15"),
        ("x" * (MAX_LENGTH + 1), "over 256"),
        ("\udcff" * MIN_LENGTH, "UTF-8"),
    ],
)
def test_what_is_no_password_is_refused_with_a_mend(password: str, said: str) -> None:
    for refusing in (check, hashed):
        with pytest.raises(PasswordRefused, match=said) as refused:
            refusing(password)
        assert refused.value.mend


def test_one_that_is_made_can_be_had_and_is_another_each_time() -> None:
    made = {generated() for _ in range(20)}
    assert len(made) == 20
    for password in made:
        check(password)


@pytest.mark.parametrize("name", ["anna", "a", "anna.b@example.org", "9-lives", "x" * 63])
def test_names_that_can_be_had(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "Anna", "anna b", "-a", ".a", "x" * 64, "änna", "a\n", "a/b"])
def test_names_that_can_not(name: str) -> None:
    with pytest.raises(OperatorNameRefused):
        checked_name(name)


@given(st.text(max_size=80) | st.from_regex(r"scrypt:[0-9]{1,2}:8:1:[A-Za-z0-9+/=]{0,9}:[A-Za-z0-9+/=]{0,9}"))
def test_what_the_database_holds_is_read_or_refused_by_name(text: str) -> None:
    try:
        read = Hashed.read(text)
    except StoreFailed:
        return
    assert Hashed.read(read.spell()) == read


def test_a_damaged_one_says_how_to_mend_it() -> None:
    for text in ("", "scrypt", "scrypt:15:8:3:x:y", "bcrypt:15:8:3:AAAA:AAAA", "scrypt:a:8:3:AAAA:AAAA"):
        with pytest.raises(StoreFailed) as refused:
            Hashed.read(text)
        assert "vedette operator password" in refused.value.mend
