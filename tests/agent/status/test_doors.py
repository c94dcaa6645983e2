from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.status.doors import is_ours

ALLOWED = frozenset({"gate.lan"})


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9180", "127.0.0.1", "127.0.0.1:9180", "[::1]:9180", "192.168.1.4:9180", "gate.lan:9180"],
)
def test_who_means_this_device_is_answered(host: str) -> None:
    assert is_ours(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9180",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "gate.lan.evil.example",
        "localhost:evil",
        "[::1",
        "[::1]evil",
        "127.0.0.1:80:80",
        "127.0.0.1@evil.example",
        "0x7f.1.evil",
        "1.2.3",
    ],
)
def test_a_name_that_was_made_to_point_here_is_not(host: str) -> None:
    assert not is_ours(host, ALLOWED)


@given(st.text(st.characters(categories=["Ll", "Nd"], include_characters=".-:"), max_size=40))
def test_any_name_with_a_letter_that_nobody_allowed_is_refused(host: str) -> None:
    name = host.partition(":")[0]
    if any(c.isalpha() for c in name) and name != "localhost":
        assert not is_ours(host, frozenset())
