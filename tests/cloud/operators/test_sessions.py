"""Sessions and tokens: when they begin, count, and end; on the real database, by a clock that is turned by hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.errors import StoreFailed
from cloud.operators import sessions as sessions_module
from cloud.operators.accounts import Accounts
from cloud.operators.errors import LoginRefused, OperatorExists, OperatorNameRefused, OperatorUnknown, TooManyLogins
from cloud.operators.sessions import Sessions
from cloud.operators.settings import LoginSettings
from cloud.operators.watch import OperatorWatch
from cloud.store.database import Database, open_database
from cloud.store.operators import OperatorStore
from tests.cloud.migrated import migrated
from tests.cloud.operators.site import PASSWORD, WRONG, cheap
from tests.cloud.samples import BOUND_S, ManualClock

MINUTE = 60.0
HOUR = 60 * MINUTE


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap(monkeypatch)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(await migrated(tmp_path / "db")) as database:
        yield database


@pytest.fixture
async def accounts(database: Database, clock: ManualClock) -> Accounts:
    made = Accounts(OperatorStore(database), clock)
    await made.add("anna", PASSWORD)
    return made


def sessions_of(database: Database, clock: ManualClock, **settings: object) -> Sessions:
    return Sessions(OperatorStore(database), clock, LoginSettings.model_validate(settings))


@pytest.fixture
def sessions(database: Database, clock: ManualClock, accounts: Accounts) -> Sessions:
    return sessions_of(database, clock, idle_minutes=60, session_hours=12)


def held_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def rows(database: Database, table: str) -> int:
    async with database.reading() as connection:
        return (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()  # noqa: S608 - ours


async def test_a_session_is_its_operators_and_outlives_the_service(
    sessions: Sessions, database: Database, clock: ManualClock
) -> None:
    token, viewer = await sessions.begin("anna", PASSWORD)
    assert viewer.operator == "anna"
    again = await sessions_of(database, clock).by_session(token)
    assert again == viewer


async def test_the_database_does_not_hold_the_token(sessions: Sessions, accounts: Accounts, tmp_path: Path) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)
    program = await accounts.new_token("anna", "prometheus")
    held = held_in(tmp_path)
    assert b"prometheus" in held
    for secret in (token, program, PASSWORD):
        assert secret.encode() not in held


@pytest.mark.parametrize(("name", "password"), [("anna", WRONG), ("nobody", PASSWORD), ("", ""), ("anna", "")])
async def test_wrong_name_and_wrong_password_are_refused_alike(sessions: Sessions, name: str, password: str) -> None:
    with pytest.raises(LoginRefused) as refused:
        await sessions.begin(name, password)
    assert (refused.value.what, refused.value.mend) == ("name or password is wrong", "")


async def test_an_unknown_name_is_compared_as_well(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    class Recording:
        def is_of(self, password: str) -> bool:
            compared.append(password)
            return True

    monkeypatch.setattr(sessions_module, "NOBODYS", Recording())
    with pytest.raises(LoginRefused):
        await sessions.begin("nobody", WRONG)
    assert compared == [WRONG]


async def test_a_session_that_is_not_used_ends(sessions: Sessions, clock: ManualClock) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)
    clock.turn(HOUR - 1)
    assert await sessions.by_session(token)
    clock.turn(HOUR - 1)
    assert await sessions.by_session(token), "its use was not noted"
    clock.turn(HOUR)
    assert await sessions.by_session(token) is None


async def test_a_session_that_is_used_ends_as_well(sessions: Sessions, clock: ManualClock) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)
    for _ in range(23):
        clock.turn(HOUR / 2)
        assert await sessions.by_session(token)
    clock.turn(HOUR / 2)
    assert await sessions.by_session(token) is None


async def test_a_shorter_setting_counts_for_sessions_that_there_are(
    sessions: Sessions, database: Database, clock: ManualClock
) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)
    clock.turn(10 * MINUTE)
    assert await sessions_of(database, clock, idle_minutes=5).by_session(token) is None
    assert await sessions.by_session(token)


async def test_use_is_written_down_once_a_minute(sessions: Sessions, database: Database, clock: ManualClock) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)

    async def used_at() -> object:
        async with database.reading() as connection:
            return (await connection.execute(text("SELECT used_at FROM operator_sessions"))).scalar_one()

    begun = await used_at()
    clock.turn(MINUTE - 1)
    await sessions.by_session(token)
    assert await used_at() == begun
    clock.turn(1)
    await sessions.by_session(token)
    assert await used_at() != begun


async def test_a_database_that_takes_no_note_lets_in_who_is_known(
    sessions: Sessions, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)
    clock.turn(2 * MINUTE)

    async def full(*_: object) -> None:
        raise StoreFailed("the database refused: disk full")

    monkeypatch.setattr(OperatorStore, "use_sessions", full)
    assert await sessions.by_session(token)


@pytest.mark.parametrize("ending", ["password", "removal", "logout"])
async def test_what_ends_a_session_ends_it_at_once(sessions: Sessions, accounts: Accounts, ending: str) -> None:
    token, viewer = await sessions.begin("anna", PASSWORD)
    other, _ = await sessions.begin("anna", PASSWORD)
    match ending:
        case "password":
            await accounts.change_password("anna", WRONG)
        case "removal":
            await accounts.remove("anna")
        case "logout":
            await sessions.end(viewer)
    assert await sessions.by_session(token) is None
    assert (await sessions.by_session(other) is None) == (ending != "logout")


async def test_a_password_that_is_changed_while_it_is_compared_begins_no_session(
    sessions: Sessions, accounts: Accounts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = OperatorStore.begin_session

    async def late(store: OperatorStore, *given: object) -> bool:
        await accounts.change_password("anna", WRONG)
        return await begin(store, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(OperatorStore, "begin_session", late)
    with pytest.raises(LoginRefused):
        await sessions.begin("anna", PASSWORD)
    assert await rows(database, "operator_sessions") == 0


async def test_sessions_that_are_over_are_forgotten_at_the_next_login(
    sessions: Sessions, database: Database, clock: ManualClock
) -> None:
    for _ in range(3):
        await sessions.begin("anna", PASSWORD)
    clock.turn(HOUR)
    await sessions.begin("anna", PASSWORD)
    assert await rows(database, "operator_sessions") == 1


async def test_passwords_that_wait_to_be_compared_are_bounded(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow:
        def is_of(self, _password: str) -> bool:
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(BOUND_S)
            return False

    monkeypatch.setattr(sessions_module, "NOBODYS", Slow())
    asked = [asyncio.create_task(sessions.begin("nobody", WRONG)) for _ in range(17)]
    done, _ = await asyncio.wait(asked, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
    assert [type(task.exception()) for task in done] == [TooManyLogins]
    go_on.set()
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one).__name__ for one in refused) == ["LoginRefused"] * 16 + ["TooManyLogins"]


# --- tokens ---------------------------------------------------------------------------------------------------------


async def test_a_token_is_good_until_it_is_revoked_or_replaced_or_its_operator_is_gone(
    sessions: Sessions, accounts: Accounts, clock: ManualClock
) -> None:
    first = await accounts.new_token("anna", "prometheus")
    other = await accounts.new_token("anna", "backup")
    clock.turn(1000 * HOUR)
    await accounts.change_password("anna", WRONG)
    found = await sessions.by_token(first)
    assert found is not None
    assert (found.operator, found.by_session) == ("anna", False)
    second = await accounts.new_token("anna", "prometheus")
    assert await sessions.by_token(first) is None
    assert await sessions.by_token(second)
    await accounts.remove_token("anna", "prometheus")
    assert await sessions.by_token(second) is None
    assert await sessions.by_token(other)
    await accounts.remove("anna")
    assert await sessions.by_token(other) is None


async def test_session_and_token_do_not_stand_for_each_other(sessions: Sessions, accounts: Accounts) -> None:
    token, _ = await sessions.begin("anna", PASSWORD)
    program = await accounts.new_token("anna", "prometheus")
    assert await sessions.by_token(token) is None
    assert await sessions.by_session(program) is None
    assert await sessions.by_session(program.removeprefix("vdo_")) is None


async def test_the_list_says_when_a_token_was_used(
    sessions: Sessions, accounts: Accounts, clock: ManualClock
) -> None:
    program = await accounts.new_token("anna", "prometheus")
    (anna,) = await accounts.all()
    assert [(one.purpose, one.used_at) for one in anna.tokens] == [("prometheus", None)]
    assert anna.seen_at is None
    await sessions.begin("anna", PASSWORD)
    await sessions.by_token(program)
    (anna,) = await accounts.all()
    assert (anna.tokens[0].used_at, anna.seen_at) == (clock.now, clock.now)


async def test_operators_that_there_are_and_are_not(accounts: Accounts) -> None:
    with pytest.raises(OperatorExists, match="anna"):
        await accounts.add("anna", PASSWORD)
    for work in (
        accounts.remove("ben"),
        accounts.change_password("ben", PASSWORD),
        accounts.new_token("ben", "prometheus"),
        accounts.remove_token("anna", "prometheus"),
        accounts.need("ben"),
    ):
        with pytest.raises(OperatorUnknown, match="operator list") as refused:
            await work
        assert refused.value.mend
    with pytest.raises(OperatorNameRefused):
        await accounts.new_token("anna", "for Prometheus")


# --- the watch ------------------------------------------------------------------------------------------------------


class Streams:
    def __init__(self, *owners: str) -> None:
        self.open = set(owners)

    def owners(self) -> set[str]:
        return set(self.open)

    def let_go_of(self, owner: str) -> None:
        self.open.remove(owner)


async def test_an_open_stream_uses_its_session_and_ends_with_it(
    sessions: Sessions, accounts: Accounts, database: Database, clock: ManualClock
) -> None:
    token, viewer = await sessions.begin("anna", PASSWORD)
    program = await accounts.new_token("anna", "prometheus")
    known = await sessions.by_token(program)
    assert known is not None
    streams = Streams(viewer.digest, known.digest)
    watch = OperatorWatch(people=OperatorStore(database), sessions=sessions, streams=streams, clock=clock)
    for _ in range(3):
        clock.turn(HOUR / 2)
        await watch.look()
    assert await sessions.by_session(token)
    await accounts.change_password("anna", WRONG)
    await watch.look()
    assert streams.open == {known.digest}
    await accounts.remove("anna")
    await watch.look()
    assert streams.open == set()


async def test_what_the_command_line_changes_is_logged(
    accounts: Accounts, sessions: Sessions, database: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    watch = OperatorWatch(people=OperatorStore(database), sessions=sessions, streams=Streams(), clock=clock)
    with caplog.at_level(logging.INFO):
        await watch.look()
        clock.turn(1)
        await accounts.add("ben", PASSWORD)
        await accounts.change_password("anna", WRONG)
        await watch.look()
        await accounts.remove("ben")
        await watch.look()
        await watch.look()
    assert [(one.message, getattr(one, "operator", "")) for one in caplog.records] == [
        ("operators may log in", ""),
        ("operator added", "ben"),
        ("operator's password changed", "anna"),
        ("operator removed", "ben"),
    ]


async def test_a_database_that_can_not_be_read_is_told_once_and_cuts_nobody_off(
    sessions: Sessions, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def changes(self) -> dict[str, object]:
            raise StoreFailed("the database refused: busy")

    streams = Streams("0" * 64)
    watch = OperatorWatch(people=Broken(), sessions=sessions, streams=streams, clock=clock)  # type: ignore[arg-type]
    await watch.look()
    await watch.look()
    assert streams.open
    assert len(caplog.records) == 1
