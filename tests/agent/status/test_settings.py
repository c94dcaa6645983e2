from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent.status.settings import StatusSettings


def test_nothing_is_served_unless_it_is_asked_for() -> None:
    assert StatusSettings().address is None


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:9180", ("127.0.0.1", 9180)), ("localhost:0", ("localhost", 0)), ("[::1]:9180", ("::1", 9180))],
)
def test_this_machine_is_listened_on(listen: str, address: tuple[str, int]) -> None:
    assert StatusSettings(listen=listen).address == address


@pytest.mark.parametrize("listen", ["0.0.0.0:9180", "[::]:9180", "192.168.1.4:9180", "gate.lan:9180"])
def test_the_network_is_listened_on_only_when_that_is_meant(listen: str) -> None:
    with pytest.raises(ValidationError, match="allow_plaintext = true"):
        StatusSettings(listen=listen)
    assert StatusSettings(listen=listen, allow_plaintext=True).address is not None


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "9180",
        ":9180",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:70000",
        "::1:9180",
        "http://127.0.0.1:1",
        "a@127.0.0.1:1",
        "127.0.0.1:1/metrics",
        "127.0.0.1:1?x",
        "[::1:9180",
    ],
)
def test_what_is_no_address_is_named_with_the_mend(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"write 127\.0\.0\.1:9180"):
        StatusSettings(listen=listen)


@pytest.mark.parametrize("name", ["", "a b", "-x", "x/y", "gate:1"])
def test_what_is_no_name_of_a_host_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        StatusSettings(allowed_hosts=(name,))
