"""The commands, as a person or a program calls them."""

from __future__ import annotations

import asyncio
import json
import socket
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.adapters.data_dir import Addresses, DataDir
from cloud.cli import app
from cloud.cli.telling import output
from cloud.fleet.tokens import digest
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from tests.cloud.cli.test_cost_and_export import take
from tests.cloud.samples import telemetry
from wire.messages import BudgetLeft, CameraTelemetry


class Person:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--data-dir", str(self.data_dir)])


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path / "data")


def holder(person: Person, token: str) -> str | None:
    async def look() -> str | None:
        async with open_database(DataDir(person.data_dir).database_url) as database:
            return await DeviceStore(database).holder(digest(token))

    return asyncio.run(look())


def test_enrolled_device_is_listed_shown_and_revoked(person: Person) -> None:
    enrolled = json.loads(person.types("device", "enroll", "cam-1", "--json").stdout)
    assert holder(person, enrolled["token"]) == "cam-1"
    (listed,) = json.loads(person.types("devices", "--json").stdout)
    assert (listed["device"], listed["presence"], listed["reason"]) == ("cam-1", "offline", "never seen")
    assert json.loads(person.types("device", "show", "cam-1", "--json").stdout) == listed
    assert person.types("device", "revoke", "cam-1").exit_code == 0
    assert holder(person, enrolled["token"]) is None
    assert "revoked" in person.types("devices").stdout


def test_how_a_device_keeps_pace_and_what_it_may_still_ask_for_is_shown(person: Person) -> None:
    person.types("device", "enroll", "cam-1")
    yard = CameraTelemetry(name="yard", captured=100, judged=90, still=4, dropped=6, fps=9.5, inference_ms=21.4)
    told = telemetry(
        cameras=(yard,),
        budgets=(
            BudgetLeft(
                allowance="200MB/month",
                left=0,
                most=7_500_000,
                borrowed=1500,
                spent=4096,
                questions_left=55,
                bar=1.25,
            ),
            BudgetLeft(camera="yard", allowance="unlimited", spent=4096, bar=0.001),
        ),
    )

    async def tell() -> None:
        async with open_database(DataDir(person.data_dir).database_url) as database:
            await take(database, told)

    asyncio.run(tell())
    shown = " ".join(person.types("device", "show", "cam-1").stdout.split())
    assert "frames, yard 9.5 a second, 21 ms each; 90 judged, 4 still, 6 left out" in shown
    assert (
        "budget 200MB/month, 4.1 kB spent since the start, 0.0 of 7500.0 kB left, 1.5 kB borrowed,"
        " 55 questions left this minute asks from a gain of 1.25 for each kB on" in shown
    )
    assert "budget, yard unlimited, 4.1 kB spent since the start asks from a gain of 0.001" in shown


def test_many_are_enrolled_at_once_or_none_of_them(person: Person, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("cam-1\n\ncam-2  # by the gate\n")
    lines = [json.loads(line) for line in person.types("device", "enroll", "--from", str(names)).stdout.splitlines()]
    assert [(line["device"], holder(person, line["token"])) for line in lines] == [("cam-1",) * 2, ("cam-2",) * 2]
    names.write_text("cam-3\ncam-2\n")
    refused = person.types("device", "enroll", "--from", str(names))
    assert refused.exit_code == 5
    assert "cam-2 is enrolled already" in refused.output
    assert [one["device"] for one in json.loads(person.types("devices", "--json").stdout)] == ["cam-1", "cam-2"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "no device is named"), ("# nobody\n", "no device is named"), ("cam-1\ncam-1\n", "cam-1 is named twice")],
)
def test_a_list_that_names_nobody_or_somebody_twice_is_refused(
    person: Person, tmp_path: Path, text: str, why: str
) -> None:
    names = tmp_path / "names"
    names.write_text(text)
    refused = person.types("device", "enroll", "--from", str(names))
    assert refused.exit_code == 2
    assert why in refused.output


@pytest.mark.parametrize("words", [("device", "enroll"), ("device", "enroll", "cam-1", "--from", "names")])
def test_whom_to_enrol_is_said_once(person: Person, words: tuple[str, ...]) -> None:
    assert person.types(*words).exit_code == 2


def test_a_list_that_is_not_there_is_refused(person: Person, tmp_path: Path) -> None:
    refused = person.types("device", "enroll", "--from", str(tmp_path / "none"))
    assert refused.exit_code == 2
    assert "can't be read" in refused.output


def test_enrolling_prints_the_token_once_and_settings_that_are_toml(person: Person) -> None:
    printed = person.types("device", "enroll", "cam-1").stdout
    token = next(line for line in printed.splitlines() if line.startswith("vdt_"))
    assert holder(person, token) == "cam-1"
    snippet = tomllib.loads(printed[printed.index("device = ") :])
    assert snippet["device"] == "cam-1"
    assert snippet["link"]["url"] == "mqtt://127.0.0.1:1883"
    assert token not in person.types("device", "show", "cam-1").stdout


def test_enrolling_names_the_addresses_of_the_running_service(person: Person) -> None:
    person.data_dir.mkdir()
    addresses = Addresses("http://127.0.0.1:7", "mqtt://127.0.0.1:8", "http://127.0.0.1:7/", 1, "http://127.0.0.1:7")
    with DataDir(person.data_dir).announced(addresses):
        printed = person.types("device", "enroll", "cam-1").stdout
    snippet = tomllib.loads(printed[printed.index("device = ") :])
    assert (snippet["ask"]["url"], snippet["link"]["url"]) == (addresses.http, addresses.mqtt)
    (person.data_dir / "serve.json").write_text("[broken")
    assert person.types("device", "enroll", "cam-2").exit_code == 0


def test_empty_fleet_says_what_to_do(person: Person) -> None:
    assert "vedette device enroll" in person.types("devices").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("device", "show", "nobody"), 4, "no device called nobody"),
        (("device", "revoke", "nobody"), 4, "no device called nobody"),
        (("device", "enroll", "cam-1"), 5, "enrolled already"),
        (("device", "enroll", "Not/An Id"), 2, "not a device id"),
        (("devices", "--config", "/nonexistent.toml"), 2, "no file"),
    ],
)
def test_refusal_is_told_with_its_code(person: Person, words: tuple[str, ...], code: int, said: str) -> None:
    person.types("device", "enroll", "cam-1")
    result = person.types(*words)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_broken_database_is_told_with_its_code(person: Person) -> None:
    person.data_dir.mkdir()
    (person.data_dir / "vedette.db").write_bytes(b"no database, " * 100)
    result = person.types("devices")
    assert (result.exit_code, "not a database" in result.stderr) == (3, True)


def test_service_that_can_t_start_is_told_with_its_code(person: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = person.types("serve", "--http-port", port, "--mqtt-port", "0")
    assert result.exit_code == 3
    assert "http_port" in result.stderr


def test_data_directory_that_can_t_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = Person(tmp_path / "file" / "data").types("devices")
    assert result.exit_code == 3
    assert "--data-dir" in result.stderr


def test_what_a_device_calls_itself_is_shown_as_it_is(person: Person) -> None:
    """Square brackets are not taken for markup."""
    with output.capture() as captured:
        output.print("[red]model[/red]")
    assert captured.get().strip() == "[red]model[/red]"
