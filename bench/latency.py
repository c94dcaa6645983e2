"""From the camera to the cloud's store and back, with a real service and a real agent on the clip in real time."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import psutil

from bench.ack_tap import AckTap
from bench.figures import Figure, Goal, Section, percentile
from cloud.web.views import DeviceView
from wire.messages import Alert, AlertEvent, DecidedBy, Question, Verdict
from workbench.demo.parts import agent_folder, cloud_folder, enrol, start_agent, start_service, token_file
from workbench.demo.processes import Child, Children

DEVICE: Final = "bench-1"
WARM_UP_S: Final = 5.0
"""By then the link is up and the model has judged some tens of frames."""
LOOK_EVERY_S: Final = 1.0
SAY_EVERY_S: Final = 5
MIB: Final = 2**20
TOLD: Final = """\
device = "{device}"
data_dir = "{data}"
[[cameras]]
name = "clip"
source = "{clip}"
loop = true
[[rules]]
name = "anyone"
labels = ["person"]
end_after_s = 0.5
[link]
url = "{mqtt}"
token_file = "{token}"
[ask]
url = "{http}"
[asking.objects]
enabled = false
[telemetry]
every_s = 1
first_after_s = 0
"""
# Answers about objects come before most alerts, which then have nothing left to be amended.


@dataclass(slots=True)
class Run:
    """What one run left behind; times in milliseconds.

    Attributes:
        stored: Capture of the frame to the cloud's ack on the device's side, for each new alert after the warm-up.
        judged, delivered, committed: The same in parts: to the outbox's transaction, on to the cloud's receipt, on to
            the ack.
        inference: The device's mean inference time in each second.
        verdicts: What the cloud took for each question.
        amended: Capture to the device having recorded what the verdict made of its alert.
        rss_mib: The agent's resident memory, each second.
    """

    stored: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    inference: list[float] = field(default_factory=list)
    verdicts: list[float] = field(default_factory=list)
    amended: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)


def latency(clip: Path, seconds: float, say: Callable[[str], None]) -> tuple[Section, ...]:
    """Run it for so long, and sum up.

    Raises:
        VedetteError: The service or the agent could not run.
    """
    return _sections(_run(clip, seconds, say))


def _run(clip: Path, seconds: float, say: Callable[[str], None]) -> Run:
    run = Run()
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        enrol(folder, [DEVICE])
        children = Children(folder)
        stack.callback(children.stop_all)
        service, addresses = start_service(children, folder)
        tap = AckTap(addresses.mqtt)
        stack.callback(tap.close)
        told = TOLD.format(
            device=DEVICE,
            data=agent_folder(folder, DEVICE) / "data",
            clip=clip,
            mqtt=tap.url,
            token=token_file(folder, DEVICE),
            http=addresses.http,
        )
        agent = start_agent(children, folder, DEVICE, told)
        with httpx.Client(base_url=addresses.http, timeout=5.0) as cloud:
            _watch(cloud, agent, children, seconds, run, say)
        children.stop(agent)
        children.stop(service)
        with contextlib.closing(sqlite3.connect(cloud_folder(folder).root / "vedette.db")) as database:
            _read(database, tap.acked_at, run)
    return run


def _watch(
    cloud: httpx.Client, agent: Child, children: Children, seconds: float, run: Run, say: Callable[[str], None]
) -> None:
    process = psutil.Process(agent.process.pid)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < WARM_UP_S + seconds:
        threading.Event().wait(LOOK_EVERY_S)
        children.check()
        run.rss_mib.append(process.memory_info().rss / MIB)
        device = DeviceView.model_validate(cloud.get(f"/api/devices/{DEVICE}").json())
        if device.telemetry is not None and passed >= WARM_UP_S:
            run.inference += [camera.inference_ms for camera in device.telemetry.cameras if camera.inference_ms]
        if not round(passed) % SAY_EVERY_S:
            say(f"agent and service on the clip in real time, {passed:.0f} of {WARM_UP_S + seconds:.0f} s")


def _read(database: sqlite3.Connection, acked_at: dict[str, datetime], run: Run) -> None:
    stored = list(_stored(database))
    if not stored:
        return
    from_then = stored[0][0].made_at.timestamp() + WARM_UP_S
    for alert, received_at in stored:
        acked = acked_at.get(alert.message_id)
        if alert.event is not AlertEvent.NEW or acked is None or alert.made_at.timestamp() < from_then:
            continue
        run.stored.append(_ms(alert.seen_last_at, acked))
        run.judged.append(_ms(alert.seen_last_at, alert.made_at))
        run.delivered.append(_ms(alert.made_at, received_at))
        run.committed.append(_ms(received_at, acked))
    asked: dict[str, datetime] = {}
    sql = "SELECT v.message, q.message FROM verdicts v JOIN questions q ON q.id = v.question_id"
    for answer, question in database.execute(sql):
        verdict = Verdict.model_validate_json(answer)
        run.verdicts.append(verdict.took_ms)
        if verdict.alert_id is not None:
            asked[verdict.alert_id] = Question.model_validate_json(question).seen_at
    for alert, _ in stored:
        if alert.decided_by is DecidedBy.CLOUD and alert.id in asked:
            run.amended.append(_ms(asked.pop(alert.id), alert.made_at))


def _stored(database: sqlite3.Connection) -> Iterator[tuple[Alert, datetime]]:
    for message, at in database.execute("SELECT message, received_at FROM alert_events ORDER BY number"):
        yield Alert.model_validate_json(message), datetime.fromisoformat(f"{at}+00:00")


def _ms(since: datetime, until: datetime) -> float:
    return 1e3 * (until - since).total_seconds()


def _sections(run: Run) -> tuple[Section, ...]:
    inference = statistics.fmean(run.inference) if run.inference else 0.0
    beyond = [total - inference for total in run.stored]
    count = f"of {len(run.stored)} new alerts"
    return (
        Section(
            "Capture to stored in the cloud, loopback",
            "From the moment at which a frame had been decoded to the moment at which the cloud's ack for the alert"
            " raised on it, which is sent after the commit, reached the device's side of the MQTT connection; minus"
            " the device's mean inference time in the same run. One clock, real `vedette serve` and `vedette-agent"
            f" run` as processes, questions asked and answered meanwhile; the first {WARM_UP_S:.0f} s left out.",
            (
                Figure(
                    "stored_p50_ms",
                    "beyond inference, median",
                    percentile(beyond, 0.5),
                    "ms",
                    Goal(at_most=60),
                    count,
                ),
                Figure("stored_p99_ms", "beyond inference, p99", percentile(beyond, 0.99), "ms", Goal(at_most=200)),
                Figure("inference_ms", "inference, mean", inference, "ms"),
                Figure(
                    "judged_p50_ms",
                    "part: frame to alert, inference included, median",
                    percentile(run.judged, 0.5),
                    "ms",
                ),
                Figure(
                    "judged_p99_ms",
                    "part: frame to alert, inference included, p99",
                    percentile(run.judged, 0.99),
                    "ms",
                ),
                Figure(
                    "delivered_p50_ms", "part: outbox, link, broker, median", percentile(run.delivered, 0.5), "ms"
                ),
                Figure("delivered_p99_ms", "part: outbox, link, broker, p99", percentile(run.delivered, 0.99), "ms"),
                Figure("committed_p50_ms", "part: commit and ack, median", percentile(run.committed, 0.5), "ms"),
                Figure("committed_p99_ms", "part: commit and ack, p99", percentile(run.committed, 0.99), "ms"),
            ),
        ),
        Section(
            "Verdicts",
            "`took_ms` of the cloud's answers, from the request to the decision; and from the capture of the frame in"
            " question to the alert amended on the device.",
            (
                Figure(
                    "verdict_p50_ms",
                    "cloud, median",
                    percentile(run.verdicts, 0.5),
                    "ms",
                    note=f"of {len(run.verdicts)}",
                ),
                Figure("verdict_p99_ms", "cloud, p99", percentile(run.verdicts, 0.99), "ms"),
                Figure("amended_p50_ms", "capture to amended, median", percentile(run.amended, 0.5), "ms"),
                Figure("amended_p99_ms", "capture to amended, p99", percentile(run.amended, 0.99), "ms"),
            ),
        ),
        Section(
            "Memory of an agent on duty",
            "Resident, looked at every second of the same run, its start included.",
            (Figure("agent_rss_mib", "largest", max(run.rss_mib, default=None), "MiB", Goal(at_most=120)),),
        ),
    )
