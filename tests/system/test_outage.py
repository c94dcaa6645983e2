"""The uplink cut, the broker and the agent killed: every alert arrives once, in order, and late answers amend.

`VEDETTE_OUTAGE_S=60 pytest tests/system/test_outage.py` cuts the uplink for a whole minute.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, System, alive, descendants, eventually, whole_system
from wire.messages import Alert, AlertEvent, AlertState, DecidedBy
from workbench.demo.processes import Child

OUTAGE_S = float(os.environ.get("VEDETTE_OUTAGE_S", "15"))
"""Long enough for the device to notice a silent link, for deadlines of questions to pass and for alerts to end."""
pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * BOUND_S + 2 * OUTAGE_S)]

# Two cameras, so that order is kept for each; much to say and much to ask about, so that an outage meets both.
TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true

[[cameras]]
name = "plaza"
source = "{clip}"
loop = true

[[rules]]
name = "anyone"
labels = ["person"]
update_every_s = 0.5
end_after_s = 2

[asking]
uncertain = [0.2, 0.9]
max_per_minute = 600
deadline_s = 1
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    need_clip()
    with whole_system(tmp_path) as running:
        yield running


def start_agent(system: System) -> Child:
    return system.start_agent(TOLD.format(clip=need_clip()))


def under_way(system: System, more_than: int = 20) -> None:
    """Alerts are stored, and questions answered."""
    before = len(system.stored_ids())
    eventually(lambda: len(system.stored_ids()) > before + more_than, "alerts arrive")
    eventually(lambda: bool(system.verdicts()), "questions are answered")


def outage_over(seconds: float) -> None:
    threading.Event().wait(seconds)


def check_once_and_in_order(system: System) -> list[Alert]:
    """What is stored is exactly what the agent's outbox ever numbered, in that order."""
    stored = system.stored()
    by_camera: dict[str, list[int]] = defaultdict(list)
    by_alert: dict[str, list[int]] = defaultdict(list)
    for alert in stored:
        by_camera[alert.camera].append(alert.sequence)
        by_alert[alert.id].append(alert.revision)
    recorded = system.recorded()
    assert recorded.keys() == {"gate", "plaza"}
    assert by_camera == {camera: list(range(1, last + 1)) for camera, last in recorded.items()}
    assert len({alert.message_id for alert in stored}) == len(stored)
    assert all(revisions == list(range(len(revisions))) for revisions in by_alert.values())
    latest = {alert.id: alert for alert in stored}
    standing = system.standing()
    assert standing == latest
    return stored


def stop(system: System, agent: Child) -> None:
    assert system.ends(agent) == 0
    assert system.waiting() == set(), "the outbox was emptied before the agent ended"


@pytest.mark.alone
def test_uplink_cut_and_broker_killed_twice(system: System) -> None:
    agent = start_agent(system)
    under_way(system)

    # First a line that is dead and does not say so, then one that is refused.
    cut_at = datetime.now(UTC)
    system.uplink.fall_silent()
    outage_over(OUTAGE_S / 3)
    system.uplink.cut()
    outage_over(OUTAGE_S * 2 / 3)
    eventually(
        lambda: len(system.waiting() - system.stored_ids()) > OUTAGE_S, "the device goes on raising alerts on its own"
    )
    held_back = system.waiting() - system.stored_ids()
    mended_at = datetime.now(UTC)

    system.uplink.fall_silent(on=False)
    system.uplink.mend()
    eventually(lambda: held_back <= system.stored_ids(), "what the outage held back arrives")

    for _ in range(2):
        system.kill_broker()
        under_way(system)

    def of_the_outage() -> dict[str, Alert]:
        """The alerts that were undecided when the uplink came back, as they stand now."""
        before = {alert.id: alert for alert in system.stored() if cut_at < alert.made_at < mended_at}
        undecided = {id_ for id_, alert in before.items() if alert.state is AlertState.PROVISIONAL}
        return {id_: alert for id_, alert in system.standing().items() if id_ in undecided}

    eventually(
        lambda: all(alert.state is not AlertState.PROVISIONAL for alert in of_the_outage().values()),
        "answers that come after the outage amend all of its alerts",
        2 * BOUND_S,
    )
    amended = of_the_outage()
    assert any(alert.decided_by is DecidedBy.CLOUD for alert in amended.values())
    stop(system, agent)
    stored = check_once_and_in_order(system)
    late = [alert for alert in stored if alert.id in amended and alert.decided_by is DecidedBy.CLOUD]
    assert all(alert.made_at > mended_at for alert in late)
    by_cloud = len({alert.id for alert in late})
    print(  # noqa: T201 - the figures of a run by hand, shown with `-s`
        f"\noutage of {OUTAGE_S:.0f} s: {len(stored)} messages about {len(system.standing())} alerts,"
        f" {len(held_back)} held back, {by_cloud} of {len(amended)} decided late by the cloud"
    )


def test_agent_killed_during_an_outage(system: System) -> None:
    agent = start_agent(system)
    under_way(system)
    system.uplink.cut()
    eventually(lambda: len(system.waiting() - system.stored_ids()) > 20, "alerts wait for the uplink")
    agent.process.send_signal(signal.SIGKILL)
    agent.process.wait()
    on_disk, numbered = system.waiting(), system.recorded()
    open_then = {alert.id for alert in system.standing().values() if alert.event is not AlertEvent.END}

    again = start_agent(system)
    eventually(lambda: sum(system.recorded().values()) > sum(numbered.values()), "the agent goes on")
    system.uplink.mend()
    eventually(lambda: on_disk <= system.stored_ids(), "what was on the disk arrives")
    under_way(system)
    stop(system, again)
    stored = check_once_and_in_order(system)
    assert len({alert.boot_id for alert in stored}) == 2
    assert open_then
    assert open_then <= {alert.id for alert in stored if alert.event is AlertEvent.END}


def test_service_killed_and_started_again(system: System) -> None:
    agent = start_agent(system)
    under_way(system)
    parts = descendants(system.service.process.pid)
    system.service.process.kill()
    eventually(lambda: alive(parts) == [], "the broker ends with its service")

    system.serve_again()
    under_way(system)
    stop(system, agent)
    check_once_and_in_order(system)
