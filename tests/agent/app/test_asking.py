"""A whole agent before a scripted cloud: what its rules, budgets and bands have it ask, and tell meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.agent.app.material import clip, person_model
from tests.agent.app.running import AgentProcess, alerts, running, wait_until_told
from tests.agent.ask.scripted_cloud import Request, ScriptedCloud, in_time
from tests.ports import free_port
from wire.messages import Alert, AlertEvent, AlertState, DecidedBy

pytestmark = pytest.mark.parts

SCORE = 0.55
PATIENT = "deadline_s = 60"
"""On a busy machine, too, the answer is there before the device decides by itself."""
NOT_ASKED = "uncertain; the cloud was not asked"
NEW, UPDATE, END = AlertEvent.NEW, AlertEvent.UPDATE, AlertEvent.END
PROVISIONAL, CONFIRMED, RETRACTED = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED


class Run:
    """One start of the agent; what earlier ones told is left out."""

    def __init__(self, agent: AgentProcess, data_dir: Path, earlier: int) -> None:
        self._agent = agent
        self._data_dir = data_dir
        self._earlier = earlier

    async def told(self, true: Callable[[list[Alert]], bool]) -> list[Alert]:
        """What it told, once that is true of it."""
        found = await asyncio.to_thread(
            wait_until_told, self._agent, self._data_dir, lambda found: true(found[self._earlier :])
        )
        return found[self._earlier :]


class Site:
    """A device that is unsure of a person before each of its cameras, and asks about alerts alone."""

    def __init__(self, folder: Path, cloud: ScriptedCloud, model: Path, film: Path) -> None:
        self.data_dir = folder / "data"
        self._path = folder / "agent.toml"
        self._cloud = cloud
        self._model = model
        self._film = film
        self.cameras = {"front": ""}
        self.rules = {"people": PATIENT}
        self.budget = ""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Run]:
        """From a start of the agent to its clean end."""
        earlier = len(alerts(self.data_dir))
        with running(self._written(), token="secret") as agent:
            yield Run(agent, self.data_dir, earlier)
            agent.send(signal.SIGTERM)
            assert await asyncio.to_thread(agent.ends) == 0, agent.log

    @property
    def asked_on(self) -> list[str]:
        """The cameras of the questions that came."""
        return [request.question.camera for request in self._cloud.requests]

    def left(self) -> float:
        """Bytes, of what the whole device may send."""
        return float(json.loads((self.data_dir / "budget.json").read_text())[""])

    def _written(self) -> Path:
        cameras = "".join(
            f"[[cameras]]\nname = '{name}'\nsource = '{self._film}'\nloop = true\n{more}\n"
            for name, more in self.cameras.items()
        )
        rules = "".join(
            f"[[rules]]\nname = '{name}'\nlabels = ['person']\nend_after_s = 3600\n{more}\n"
            for name, more in self.rules.items()
        )
        self._path.write_text(
            f"device = 'gate-1'\ndata_dir = '{self.data_dir}'\n[model]\nmodel = '{self._model}'\n{cameras}{rules}"
            f"[link]\nurl = 'mqtt://127.0.0.1:{free_port()}'\nstop_timeout_s = 0.1\n"
            f"[ask]\nurl = 'http://127.0.0.1:{self._cloud.port}'\nretry_min_s = 0.1\nretry_max_s = 0.2\n"
            f"[audit]\nper_hour = 0\n[asking]\nuncertain = [0.35, 0.6]\n[asking.objects]\nenabled = false\n"
            f"{self.budget}\n"
        )
        return self._path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return person_model(tmp_path_factory.mktemp("model") / "person", SCORE)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "film.avi", frames=20)


@pytest.fixture
async def cloud() -> AsyncIterator[ScriptedCloud]:
    made = ScriptedCloud()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def site(tmp_path: Path, cloud: ScriptedCloud, model: Path, film: Path) -> Site:
    return Site(tmp_path, cloud, model, film)


async def test_each_rule_waits_or_alerts_at_once_until_its_own_deadline(site: Site, cloud: ScriptedCloud) -> None:
    answers = asyncio.Event()

    async def at_last(request: Request) -> bytes:
        await answers.wait()
        return await in_time(request)

    cloud.otherwise = at_last
    site.rules = {
        "siren": "when_unsure = 'wait'\ndeadline_s = 600",
        "lamp": "when_unsure = 'alert'\ndeadline_s = 0.5\nfallback = 'retract'",
    }
    async with site.run() as run:
        before = await run.told(lambda told: len(told) >= 2)
        assert [(one.rule, one.event, one.state) for one in before] == [
            ("lamp", NEW, PROVISIONAL),
            ("lamp", END, RETRACTED),
        ]
        assert before[1].reason == "no answer in time"
        answers.set()
        after = (await run.told(lambda told: len(told) >= 4))[2:]
    assert {(one.rule, one.event, one.state, one.decided_by) for one in after} == {
        ("siren", NEW, CONFIRMED, DecidedBy.CLOUD),
        ("lamp", UPDATE, CONFIRMED, DecidedBy.CLOUD),
    }


async def test_a_camera_whose_budget_holds_nothing_does_not_keep_another_from_asking(site: Site) -> None:
    site.cameras = {"front": "", "back": ""}
    site.rules = {"people": f"fallback = 'confirm'\n{PATIENT}"}
    site.budget = "[asking.budget]\nbytes = 'unlimited'\n[asking.budget.cameras.front]\nbytes = '0kB/day'"
    async with site.run() as run:
        told = await run.told(
            lambda told: {one.camera for one in told if one.state is CONFIRMED} == {"front", "back"}
        )
    assert [(one.decided_by, one.reason) for one in told if one.camera == "front"] == [(DecidedBy.DEVICE, NOT_ASKED)]
    assert [(one.event, one.decided_by) for one in told if one.camera == "back"] == [
        (NEW, DecidedBy.DEVICE),
        (UPDATE, DecidedBy.CLOUD),
    ]
    assert site.asked_on == ["back"]


async def test_a_restart_brings_no_budget_back_and_an_urgent_rule_borrows(site: Site) -> None:
    # A question is expected to take 2.5 kB and takes 1.3. Of 88 kB a month the bucket holds 3.3 kB, and 1.1 kB may be
    # borrowed: one question leaves 2 kB, too little for another that does not borrow. An hour brings in a hundred
    # bytes.
    site.budget = "[asking.budget]\nbytes = '88kB/month'"
    decided, left = [], []
    for urgent in ("false", "false", "true"):
        site.rules = {"people": f"fallback = 'confirm'\nurgent = {urgent}\n{PATIENT}"}
        async with site.run() as run:
            told = await run.told(lambda told: any(one.state is CONFIRMED for one in told))
            decided.append(told[-1].decided_by)
        left.append(site.left())
    assert left[0] == pytest.approx(left[1], abs=100)
    assert 3300 > left[0] > left[2]
    assert decided == [DecidedBy.CLOUD, DecidedBy.DEVICE, DecidedBy.CLOUD]
    assert site.asked_on == ["front", "front"]


async def test_a_pinned_band_says_what_is_certain_before_its_camera_alone(site: Site) -> None:
    site.cameras = {"front": "bands = [{ label = 'person', lower = 0.3, upper = 0.5 }]", "back": ""}
    async with site.run() as run:
        told = await run.told(
            lambda told: {one.camera for one in told if one.state is CONFIRMED} == {"front", "back"}
        )
    assert [(one.decided_by, one.reason) for one in told if one.camera == "front"] == [
        (DecidedBy.DEVICE, "seen with certainty")
    ]
    assert site.asked_on == ["back"]
