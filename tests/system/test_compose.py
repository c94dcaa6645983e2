"""The fleet under docker compose, on a real engine: images built, a model rolled out over it, its links cut.

One fleet serves all the tests, in their order: building the images and starting it is most of what they take.
`VEDETTE_COMPOSE_AGENTS=10` starts that many near agents.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from deploy.compose.fleet.device import PLACES
from tests.docs.prose import commands_under, written
from tests.ports import free_port
from tests.system.docker_engine import BASE, BUILT_WITHIN_S, Engine, engine, have_base, have_prometheus, need_wheel
from tests.system.engines import need_clip, need_models
from tests.system.parts import Kept, eventually
from tests.system.systemd_node import ROOT
from vision.models import UPGRADE_MODEL
from wire.messages import Alert

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(1200)]

AGENTS = int(os.environ.get("VEDETTE_COMPOSE_AGENTS", "2"))
FAR_AGENTS = 2
"""A flaky link, and a far one."""
PAGE = "docs/compose.md"
NEAR = [f"agent-{number}" for number in range(1, AGENTS + 1)]
FAR = [f"far-agent-{number}" for number in range(1, FAR_AGENTS + 1)]
HEALTHY_WITHIN_S = 180.0
"""Sixty seconds are promised for ten agents on two cores with nothing else to do; a test machine has."""
SETTLED_S = 480.0
HELD_BACK = 2
"""Messages that an outage lasts for; a few seconds on an idle machine."""
SEES_ALERTS_S = 180.0
MAX_AGENT_MB = 400
SIMULATED = 50
CONNECTED_WITHIN_S = 300
STOPPED_WITHIN_S = 240
"""Three minutes are theirs to come to rest in; a tenth of one is usual."""
GATES = (
    "--soak",
    "0s",
    "--max-in-flight",
    "2",
    "--shadow-frames",
    "10",
    "--probation-frames",
    "10",
    "--probation",
    "3s",
)
SELDOM = """
services:
  agent: &seldom
    environment:
      VEDETTE_ASKING__MAX_PER_MINUTE: "6"
      VEDETTE_ASKING__BUDGET__QUESTIONS_PER_MINUTE: "6"
  far-agent: *seldom
"""
"""The service's answers, at which no test looks, would take half a core from what is rolled out."""
PATIENT = ("--max-latency-ratio", "100", "--max-load-s", "120")


class Fleet:
    """The compose project, seen from outside."""

    def __init__(self, docker: Engine, port: int, seldom: Path) -> None:
        self.docker = docker
        self._files = ("--file", ROOT / "deploy" / "compose" / "compose.yaml", "--file", seldom)
        self.project = f"vedette-test-{os.getpid()}"
        self._port = port
        self._prometheus = free_port()
        self._more = {
            "VEDETTE_PORT": str(port),
            "VEDETTE_TAG": "test",
            "VEDETTE_CLIPS": str(need_clip().parent),
            "PROMETHEUS_PORT": str(self._prometheus),
            "SIM_DEVICES": str(SIMULATED),
        }

    def compose(self, *words: object, code: int = 0, timeout_s: float = 300.0) -> str:
        whole = ("compose", "--project-name", self.project, *self._files, "--profile", "chaos", *words)
        return self.docker.run(*whole, code=code, timeout_s=timeout_s, more=self._more)

    def types(self, command: str, *more: object, timeout_s: float = 300.0) -> str:
        """As the page has it, but for what is so here only: where an option comes twice, the last one counts."""
        words = shlex.split(command)[2:]
        if words[0] == "run":
            words.insert(1, "--no-TTY")
        return self.compose(*words, *more, timeout_s=timeout_s)

    def left(self) -> list[str]:
        """Its containers, running or not."""
        mine = f"label=com.docker.compose.project={self.project}"
        return self.docker.run("ps", "--all", "--quiet", "--filter", mine).split()

    def container(self, name: str) -> dict[str, Any]:
        number = "" if name[-1].isdigit() else "-1"
        return self.docker.inspect("container", f"{self.project}-{name}{number}")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=60) as answer:
            return json.load(answer)

    def official(self, service: str) -> str:
        """The image that compose takes for it."""
        whole = json.loads(self.compose("--profile", "*", "config", "--format", "json"))
        return str(whole["services"][service]["image"])

    def watched_with(self, image: str) -> None:
        self._more["PROMETHEUS_IMAGE"] = image

    def figures(self, kind: str, **query: str) -> Any:
        """What Prometheus answers."""
        address = f"http://127.0.0.1:{self._prometheus}/api/v1/{kind}?{urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]

    def figure(self, query: str) -> float:
        """Of a query with one answer; nothing is 0."""
        found = self.figures("query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else 0.0

    def online(self) -> set[str]:
        return {device["device"] for device in self.get("/api/devices") if device["presence"] == "online"}

    def volume(self, name: str) -> Path:
        return Path(self.docker.inspect("volume", f"{self.project}_{name}")["Mountpoint"])

    @property
    def store(self) -> Kept:
        return Kept(self.volume("cloud") / "vedette.db")

    def outbox(self, name: str) -> Kept:
        (source,) = [one["Source"] for one in self.container(name)["Mounts"] if one["Destination"] == "/data"]
        return Kept(Path(source) / "agent" / "outbox.db")

    def alerts(self) -> dict[tuple[str, str], list[Alert]]:
        """What the cloud has stored of each device's camera, in the order in which it did."""
        found = defaultdict(list)
        for (message,) in self.store.rows("SELECT message FROM alert_events ORDER BY number"):
            alert = Alert.model_validate_json(message)
            found[alert.device, alert.camera].append(alert)
        return found

    def numbered(self) -> dict[tuple[str, str], int]:
        """The last number that each device gave away, of each camera."""
        return {
            (name, camera): sequence
            for name in (*NEAR, *FAR)
            for camera, sequence in self.outbox(name).rows("SELECT name, sequence FROM camera")
        }

    def waiting(self, name: str) -> set[str]:
        """Messages on the device's disk that the cloud has not acked."""
        return {row[0] for row in self.outbox(name).rows("SELECT message_id FROM outbox")}

    def stored_ids(self) -> set[str]:
        return {row[0] for row in self.store.rows("SELECT message_id FROM alert_events")}

    def looks(self, name: str) -> set[str]:
        """When it was last asked whether it is well."""
        return {look["End"] for look in self.container(name)["State"]["Health"]["Log"]}


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    need_models()
    need_wheel()
    with engine() as found:
        have_base(found)
        yield found


@pytest.fixture(scope="module")
def fleet(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    seldom = tmp_path_factory.mktemp("compose") / "seldom.yaml"
    seldom.write_text(SELDOM)
    made = Fleet(docker, free_port(), seldom)
    made.compose("build", "agent", "broker", "cloud", timeout_s=BUILT_WITHIN_S)
    try:
        begun = time.monotonic()
        made.types(
            written(PAGE, "docker compose --profile chaos up --detach --scale agent=3 --scale far-agent=4"),
            *("--wait", "--no-build", "--wait-timeout", int(HEALTHY_WITHIN_S)),
            *("--scale", f"agent={AGENTS}", "--scale", f"far-agent={FAR_AGENTS}"),
        )
        print(f"\n{AGENTS + FAR_AGENTS} agents were healthy after {time.monotonic() - begun:.0f} s")  # noqa: T201
        yield made
    except BaseException:
        with contextlib.suppress(AssertionError):
            print(made.compose("logs", "--tail", "40"))  # noqa: T201 - pytest shows it where a test failed
        raise
    finally:
        # With the profiles that were used, as the page says.
        down = written(PAGE, "docker compose down --volumes").replace("compose", "compose --profile '*'")
        made.types(down, "--timeout", "5")
        assert not made.left(), "nothing of it is left"


@pytest.fixture(scope="module")
def watched(fleet: Fleet) -> Fleet:
    """With a Prometheus that scrapes four times a minute; so it is started before what it is not asked about."""
    fleet.watched_with(have_prometheus(fleet.docker, fleet.official("prometheus")))
    fleet.types(written(PAGE, "docker compose up --detach --wait prometheus"))
    assert fleet.container("prometheus")["State"]["Health"]["Status"] == "healthy"
    for name in NEAR:
        assert fleet.container(name)["State"]["Running"], "who watches leaves the fleet as it was"
    return fleet


def test_images_hold_what_they_should_and_no_more(fleet: Fleet) -> None:
    for image in ("agent", "cloud", "broker"):
        config = fleet.docker.inspect("image", f"vedette-{image}:test")["Config"]
        assert config["User"] == "10001:10001"
        assert config["Healthcheck"]["Test"]
    looking = (
        "import importlib.util as u, sys;"
        "names = 'agent vision wire cloud workbench fastapi uvicorn sqlalchemy nats typer rich pip'.split();"
        "sys.exit(str([name for name in names if u.find_spec(name)]))"
    )
    inside = fleet.docker.tried("run", "--rm", "--entrypoint", "python", "vedette-agent:test", "-c", looking)
    assert inside.stderr.strip() == "['agent', 'vision', 'wire']"
    assert "nanodet" not in fleet.docker.run(
        *("run", "--rm", "--entrypoint", "find", "vedette-agent:test", "/opt/vedette/lib", "-name", "*.tflite")
    )
    size_mb = fleet.docker.inspect("image", "vedette-agent:test")["Size"] / 1e6
    base_mb = fleet.docker.inspect("image", BASE)["Size"] / 1e6
    print(f"\nthe agent's image: {size_mb:.0f} MB, on a base of {base_mb:.0f} MB")  # noqa: T201
    assert size_mb <= MAX_AGENT_MB


def test_every_replica_is_a_device_of_its_own_with_a_certificate(fleet: Fleet) -> None:
    eventually(lambda: fleet.online() == {*NEAR, *FAR}, f"all are online, not {fleet.online()}")
    listed = fleet.types(written(PAGE, "docker compose run --rm operator devices"))
    assert all(name in listed for name in (*NEAR, *FAR))
    for name in (*NEAR, *FAR, "cloud", "broker", "desk", "links"):
        host = fleet.container(name)["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
    cameras = {device["device"]: [one["name"] for one in device["cameras"]] for device in fleet.get("/api/devices")}
    # From then on the places come round again, before other zones and links.
    first = NEAR[: len(PLACES)]
    assert len({tuple(cameras[name]) for name in first}) == len(first)
    certified = [name for (name,) in fleet.store.rows("SELECT device FROM certificates")]
    assert sorted(certified) == sorted({*NEAR, *FAR})
    # A far agent knows no way but the proxy.
    (network,) = fleet.container(FAR[0])["NetworkSettings"]["Networks"]
    assert network == f"{fleet.project}_far"
    for name in (*NEAR, *FAR):
        eventually(lambda name=name: any(d == name for d, _ in fleet.alerts()), f"{name} alerts")  # type: ignore[misc]


@pytest.mark.usefixtures("watched")
def test_one_rollout_over_all_of_it(fleet: Fleet) -> None:
    *of_the_model, start, watch = commands_under(ROOT / PAGE, "A rollout")
    for command in of_the_model:
        fleet.types(command)
    begun = time.monotonic()
    fleet.types(start, "--stages", "50,100", *GATES, *PATIENT)
    fleet.types(watch, timeout_s=SETTLED_S)

    def phase() -> str:
        return str(fleet.get("/api/rollouts")[0]["phase"])

    assert phase() == "finished", fleet.get("/api/rollouts")[0]
    print(f"\nthe rollout took {time.monotonic() - begun:.0f} s")  # noqa: T201

    def running() -> dict[str, str]:
        return {one["device"]: one["model"]["name"] for one in fleet.get("/api/devices") if one["model"]}

    eventually(lambda: running() == dict.fromkeys((*NEAR, *FAR), UPGRADE_MODEL), "all say that they run it")
    fates = dict(fleet.store.rows("SELECT device, fate FROM rollout_orders"))
    assert fates == dict.fromkeys((*NEAR, *FAR), "committed")


def test_prometheus_scrapes_the_service_and_each_agent_and_has_the_rules(watched: Fleet) -> None:
    fleet = watched

    def targets() -> list[tuple[str, str]]:
        return sorted((one["labels"]["job"], one["health"]) for one in fleet.figures("targets")["activeTargets"])

    wanted = [("vedette", "up"), *(("vedette-agent", "up") for _ in NEAR)]
    eventually(lambda: targets() == wanted, "service and near agents are scraped")
    eventually(
        lambda: fleet.figure("vedette_devices_enrolled") == AGENTS + FAR_AGENTS, "the service says who there is"
    )
    eventually(
        lambda: fleet.figure("count(count by (instance) (vedette_agent_frames_judged_total > 0))") == AGENTS,
        "each agent says that it judges",
    )
    known = set(re.findall(r"(?m)^ +- alert: (\w+)$", (ROOT / "deploy" / "monitoring" / "rules.yml").read_text()))

    def evaluated() -> set[str]:
        rules = [rule for group in fleet.figures("rules")["groups"] for rule in group["rules"]]
        return {rule["name"] for rule in rules if rule["health"] == "ok"}

    eventually(lambda: evaluated() == known, "every rule is loaded and evaluated")
    fleet.compose("stop", "prometheus")
    assert fleet.container("prometheus")["State"]["ExitCode"] == 0


def test_simulated_devices_get_certificates_and_their_alerts_arrive(fleet: Fleet) -> None:
    light = {f"sim-{number:05d}" for number in range(1, SIMULATED + 1)}
    begun = time.monotonic()
    many = written(PAGE, "SIM_DEVICES=1000 docker compose up --detach --wait simulated")
    fleet.types(many.partition(" ")[2], timeout_s=CONNECTED_WITHIN_S)
    print(f"\n{SIMULATED} simulated devices were healthy after {time.monotonic() - begun:.0f} s")  # noqa: T201
    certified = {name for (name,) in fleet.store.rows("SELECT device FROM certificates")}
    assert light <= certified
    seen: set[str] = set()

    def all_came() -> bool:
        # Flaky ones are never all there at once.
        seen.update(fleet.online())
        return light <= seen

    eventually(all_came, "each is shown as online at some time")
    # Two alerts a minute is what each raises on average.
    eventually(lambda: len(light & {name for name, _ in fleet.alerts()}) > SIMULATED // 2, "half of them alert")
    fleet.compose("stop", "simulated", timeout_s=STOPPED_WITHIN_S)
    state = fleet.container("simulated")
    # It says otherwise by its exit code where one of their messages was lost, or is stored twice.
    assert (state["State"]["ExitCode"], state["State"]["OOMKilled"], state["RestartCount"]) == (0, False, 0)
    eventually(lambda: not light & fleet.online(), "none is shown as online any more")


def test_cut_links_and_killed_parts_lose_nothing(fleet: Fleet) -> None:
    cut, field = NEAR[0], f"{fleet.project}_field"
    container = f"{fleet.project}-{cut}"
    fleet.docker.run("network", "disconnect", field, container)
    before, under_way, looks = sum(fleet.numbered().values()), fleet.waiting(cut), fleet.looks(cut)
    eventually(
        lambda: len(fleet.waiting(cut) - under_way) >= HELD_BACK,
        "the device goes on raising alerts on its own",
        SEES_ALERTS_S,
    )
    # Of the looks since, the first may have begun before.
    eventually(lambda: len(fleet.looks(cut) - looks) >= 2, "it is asked whether it is well")
    assert fleet.container(cut)["State"]["Health"]["Status"] == "healthy"
    held_back = fleet.waiting(cut)
    fleet.docker.run("network", "connect", field, container)

    for part in ("broker", "cloud"):
        os.kill(fleet.container(part)["State"]["Pid"], signal.SIGKILL)
        eventually(lambda part=part: fleet.container(part)["RestartCount"] == 1, f"{part} is started again")  # type: ignore[misc]
    eventually(lambda: fleet.container("cloud")["State"]["Health"]["Status"] == "healthy", "the cloud is well", 120)
    eventually(lambda: fleet.online() == {*NEAR, *FAR}, "all are online again", 120)
    eventually(lambda: held_back <= fleet.stored_ids(), "what the outage held back arrives", 120)
    assert sum(fleet.numbered().values()) > before


def test_a_stop_is_clean_and_everything_that_was_ever_said_is_there_once_and_in_order(fleet: Fleet) -> None:
    # What a killed broker hands over too early, a device says again after ten seconds; a stop has five.
    behind = {message for name in NEAR for message in fleet.waiting(name)}
    eventually(lambda: behind <= fleet.stored_ids(), "what waits since parts were killed arrives", 120)
    fleet.compose("stop", "agent", "far-agent", timeout_s=120)
    for name in (*NEAR, *FAR):
        state = fleet.container(name)["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False), name
    stored = fleet.alerts()
    for key, alerts in stored.items():
        assert [alert.sequence for alert in alerts] == list(range(1, len(alerts) + 1)), key
    everything = [alert for alerts in stored.values() for alert in alerts]
    assert len({alert.message_id for alert in everything}) == len(everything)
    numbered = fleet.numbered()
    for name in (*NEAR, *FAR):
        waiting = fleet.waiting(name)
        # A flaky link may have been down at the stop: then the rest is on the device's disk, for its next start.
        assert not waiting or name in FAR, name
        arrived = {alert.message_id for alert in everything if alert.device == name}
        assert len(arrived | waiting) == sum(last for (device, _), last in numbered.items() if device == name), name
    print(f"\n{len(everything)} messages of {len(stored)} cameras, each once and in order")  # noqa: T201
    fleet.compose("stop", "cloud", "broker", timeout_s=120)
    for part in ("cloud", "broker"):
        assert fleet.container(part)["State"]["ExitCode"] == 0, part
