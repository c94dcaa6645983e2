"""Devices ask the signed repository, and each hears what came of it, also where the disk fails."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from agent.adapters.system_clock import SystemClock
from agent.errors import DownloadFailed, ModelStoreBroken, NoRoom, ReleaseNotAllowed, RepositoryUnreachable
from tests.agent.update.trust.hostile_server import HostileServer
from tests.agent.update.trust.signed_repository import SignedRepository, model_bytes, ref_of
from tests.workbench.sim.rig import BORN_WITH, RELEASE, Rig
from wire.updates import GroupRelease, ModelRef, Reported, UpdateState
from workbench.sim import updating
from workbench.sim.device import Device
from workbench.sim.looking import LOOK_AGAIN_S, Looking
from workbench.sim.trust import AT_ONCE, SharedTrust

MODEL = model_bytes(50_000)
REF = ref_of(MODEL)


@dataclass
class Repository:
    """Answers each look with the next of these, and then always with the last of them."""

    answers: list[int | Exception]
    asked: list[tuple[str, ModelRef]] = field(default_factory=list)

    async def look(self, group: str, wanted: ModelRef) -> int:
        self.asked.append((group, wanted))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def looked(repository: Repository, looks: int) -> tuple[Rig, list[Device]]:
    """A device that wants a release, once it has looked so often or wants to no more."""
    rig, answered = Rig(), []
    looking = Looking(repository, rig.tally, answered.append)
    rig.connect()
    rig.desire(1)
    for _ in range(looks):
        rig.turn(LOOK_AGAIN_S + 0.1)
        if not rig.device.looks:
            break
        rig.device.looks = False
        looking.begin(rig.device)
        await looking.settle()
    rig.turn(0.1)
    return rig, answered


async def test_a_release_that_is_allowed_is_taken_up():
    repository = Repository([1000])
    rig, answered = await looked(repository, 1)
    assert repository.asked == [("default", RELEASE)]
    assert answered == [rig.device]
    assert "verifying" in rig.states
    assert not rig.tally.refusals


@pytest.mark.parametrize("broken", [NoRoom("full"), ModelStoreBroken("no such device"), DownloadFailed("torn")])
async def test_what_fails_here_is_named_and_comes_to_an_end(broken):
    repository = Repository([broken])
    rig, _ = await looked(repository, 50)
    assert len(repository.asked) == updating.MAX_ATTEMPTS
    last = rig.of(Reported)[-1]
    assert (last.state, last.reason) == (UpdateState.FAILED, f"{broken.name}: {broken.what}")
    assert rig.device.update.running == BORN_WITH
    assert rig.tally.refusals == {broken.name: updating.MAX_ATTEMPTS}


async def test_a_disk_that_recovers_in_time_harms_nothing():
    rig, _ = await looked(Repository([NoRoom("full"), ModelStoreBroken("gone"), 1000]), 3)
    rig.turn(60.0)
    assert rig.device.update.state is UpdateState.COMMITTED


async def test_what_is_forbidden_ends_at_once_and_what_is_away_does_not():
    rig, _ = await looked(Repository([ReleaseNotAllowed("no")]), 50)
    assert rig.device.update.state is UpdateState.REJECTED
    repository = Repository([RepositoryUnreachable("away")])
    rig, _ = await looked(repository, 20)
    assert len(repository.asked) == 20
    assert rig.device.update.state is UpdateState.QUEUED
    assert rig.device.update.reason == "RepositoryUnreachable: away"


# --- the shared repository's client --------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[HostileServer]:
    signed = SignedRepository()
    signed.add_release(REF, MODEL)
    signed.add_group(GroupRelease(group="default", sequence=1, allowed=(REF,)))
    (tmp_path / "root.json").write_bytes(signed.first_root)
    server = HostileServer(signed.files)
    yield server
    server.stop()


@asynccontextmanager
async def shared(server: HostileServer, folder: Path) -> AsyncIterator[SharedTrust]:
    async with SharedTrust(server.url, folder / "root.json", folder / "trust", SystemClock()) as trust:
        yield trust


async def test_what_many_ask_is_verified_and_fetched_once(served, tmp_path):
    async with shared(served, tmp_path) as trust:
        assert [await trust.look("default", REF) for _ in range(3)] == [len(MODEL)] * 3
        assert trust.verifications == 1


class Counting(httpx.AsyncHTTPTransport):
    """How many requests were under way at once, at the most, and how many in all."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = self.all = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.now, self.all = self.now + 1, self.all + 1
        self.most = max(self.most, self.now)
        try:
            return await super().handle_async_request(request)
        finally:
            self.now -= 1


async def test_a_fleet_that_looks_at_once_waits_here_and_not_in_the_client_s_queue(served, tmp_path):
    counting = Counting()
    root = tmp_path / "root.json"
    async with SharedTrust(served.url, root, tmp_path / "trust", SystemClock(), counting) as trust:
        found = await asyncio.gather(*(trust.look("default", REF) for _ in range(4 * AT_ONCE)))
    assert found == [len(MODEL)] * 4 * AT_ONCE
    assert (counting.most, counting.all) == (AT_ONCE, 4 * AT_ONCE)


async def test_a_disk_that_refuses_metadata_is_named_at_each_look(served, tmp_path):
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "metadata").write_text("a file where a folder belongs")
    async with shared(served, tmp_path) as trust:
        for _ in range(2):
            with pytest.raises(ModelStoreBroken):
                await trust.look("default", REF)
        (tmp_path / "trust" / "metadata").unlink()
        assert await trust.look("default", REF) == len(MODEL)


async def test_metadata_that_can_t_be_read_back_is_named(served, tmp_path, monkeypatch):
    read = Path.read_bytes

    def worn(path: Path) -> bytes:
        if path == tmp_path / "trust" / "metadata" / "timestamp.json":
            raise OSError(errno.EIO, "input/output error")
        return read(path)

    async with shared(served, tmp_path) as trust:
        with monkeypatch.context() as disk:
            disk.setattr(Path, "read_bytes", worn)
            with pytest.raises(ModelStoreBroken, match="input/output error"):
                await trust.look("default", REF)
        assert await trust.look("default", REF) == len(MODEL)


async def test_a_model_that_can_t_be_kept_is_named(served, tmp_path):
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "models").write_text("a file where a folder belongs")
    async with shared(served, tmp_path) as trust:
        with pytest.raises(ModelStoreBroken):
            await trust.look("default", REF)
        (tmp_path / "trust" / "models").unlink()
        assert await trust.look("default", REF) == len(MODEL)


async def test_a_disk_error_while_it_looks_leaves_no_device_looking_for_ever(served, tmp_path):
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "models").write_text("a file where a folder belongs")
    rig = Rig()
    async with shared(served, tmp_path) as trust:
        looking = Looking(trust, rig.tally, lambda _: None)
        rig.connect()
        rig.desire(1, REF)
        for _ in range(updating.MAX_ATTEMPTS):
            rig.turn(LOOK_AGAIN_S + 0.1)
            looking.begin(rig.device)
            await looking.settle()
    assert rig.device.update.state is UpdateState.FAILED
    assert rig.device.update.reason.startswith("ModelStoreBroken: ")
    assert not rig.device.update.looking
