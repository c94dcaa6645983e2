"""A fleet of all personalities against the real service; what became of it is read from the cloud's own database."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.docs.prose import ROOT, section, written
from tests.system.engines import need_models
from tests.system.parts import BOUND_S, Kept, alive, descendants, environment, eventually
from tests.system.preloaded import programs
from workbench.demo.parts import cloud_folder, start_service
from workbench.demo.processes import Children
from workbench.sim.lies import COUNTED_AS, Lie
from workbench.sim.service import read_credentials

pytestmark = [pytest.mark.system, pytest.mark.timeout(480)]
DEVICES = 60
ENDS_WITHIN_S = 200.0
"""A minute it takes for connecting and another for coming to rest at the most, a quarter of one for looking who was
there, and what it started has its time to end as well."""


def sim(folder: Path, typed: str, *words: str) -> subprocess.Popen[str]:
    """As a document has it, but for what is so in a test only: where an option comes twice, the last one counts."""
    command = [
        sys.executable,
        "-m",
        "workbench",
        *shlex.split(typed)[1:],
        "--data-dir",
        str(folder),
        "--json",
        *words,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )


@pytest.mark.alone
def test_all_that_was_raised_is_stored_once_and_liars_harm_nobody(tmp_path: Path) -> None:
    need_models()
    everybody = written("docs/simulating.md", "vedette sim --devices 100 --mix all")
    process = sim(tmp_path, everybody, "--devices", str(DEVICES), "--duration", "12", "--alerts-per-minute", "15")
    said, complained = process.communicate(timeout=400)
    assert process.returncode == 0, complained
    figures = json.loads(said)
    store = Kept(cloud_folder(tmp_path).root / "vedette.db")

    assert figures["online"] == figures["devices"] == DEVICES
    events = store.rows("SELECT device, camera, sequence, message_id FROM alert_events")
    assert len({event[:3] for event in events}) == len({event[3] for event in events}) == len(events)
    last = Counter[str]()
    for device, camera, sequence, _ in events:
        assert camera == "camera-1", "a lie was stored"
        last[device] = max(last[device], sequence)
    assert last == Counter(event[0] for event in events), "a camera has a gap"
    assert len(events) == figures["messages_raised"] > DEVICES
    assert len(store.rows("SELECT id FROM alerts")) == figures["alerts_raised"] == figures["alerts_stored"]
    assert (figures["messages_lost"], figures["duplicates"], figures["lies_stored"]) == (0, 0, 0)

    outcomes = Counter(row[0] for row in store.rows("SELECT outcome FROM commands"))
    assert outcomes == {"ok": DEVICES}
    assert figures["commands_done"] == DEVICES

    kinds = figures["personalities"]
    orders = store.rows("SELECT fate, state, reason FROM rollout_orders")
    fates = Counter(fate for fate, _, _ in orders)
    assert fates == {"committed": DEVICES - kinds["lying"] - kinds["old"], "failed": kinds["lying"] + kinds["old"]}
    reasons = [reason for fate, _, reason in orders if fate == "failed"]
    assert sum("can't run this release" in reason for reason in reasons) == kinds["old"]
    assert sum("not to be believed" in reason for reason in reasons) == kinds["lying"]
    assert figures["updated"] == fates["committed"]

    told = Counter[str]()
    for lie, count in figures["lies_told"].items():
        told[COUNTED_AS.get(Lie(lie), "the broker's to refuse")] += count
    assert sum(told.values()) > 0
    for name, refused in figures["lies_refused"].items():
        # What was said right before a broken connection may not have come as far.
        assert told[name] // 2 <= refused <= told[name], name


@pytest.mark.parametrize(
    ("typed", "more"),
    [
        ("vedette sim --devices 1000", ("--duration", "0", "--no-rollout")),
        ("vedette sim --devices 1000 --no-rollout --commands 0 --alerts-per-minute 10", ("--duration", "0")),
        ("vedette sim --devices 50 --duration 0 --http-port 8080", ("--no-rollout", "--http-port", "0")),
    ],
)
def test_ctrl_c_ends_all_that_was_started_and_keeps_what_was_raised(
    tmp_path: Path, typed: str, more: tuple[str, ...]
) -> None:
    process = sim(tmp_path, written("docs/simulating.md", typed), "--devices", "20", *more)
    store = Kept(cloud_folder(tmp_path).root / "vedette.db")
    try:
        eventually(lambda: len(store.rows("SELECT 1 FROM alert_events")) >= 5, "alerts are raised and stored")
        started = descendants(process.pid)
        assert any(child.name() == "nats-server" for child in started)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=ENDS_WITHIN_S)
    finally:
        process.kill()
    assert process.returncode == 0, complained
    figures = json.loads(said)
    assert figures["alerts_raised"] == figures["alerts_stored"] == len(store.rows("SELECT id FROM alerts"))
    eventually(lambda: alive(started) == [], "what it started ends with it")


def test_a_service_elsewhere_is_used_with_what_its_operator_printed(tmp_path: Path) -> None:
    """As a compose file does it: the service is somebody else's, known by its addresses and a list of tokens."""
    (block,) = section(ROOT / "docs" / "simulating.md", "Against a service that runs elsewhere")
    names, enroll, whole = block.replace("1000", "12").splitlines()
    data = tmp_path / "data"
    at_the_service = environment(VEDETTE_DATA_DIR=str(data), PATH=f"{sys.prefix}/bin:{os.environ['PATH']}")
    subprocess.run(
        ["bash", "-euc", f"{names}\n{enroll}"],  # noqa: S607 - whichever the machine has
        check=True,
        cwd=tmp_path,
        env=at_the_service,
    )
    words = ["--data-dir", str(data)]
    run = [sys.executable, "-m", "workbench"]
    service = subprocess.Popen(
        [*run, "serve", "--json", "--http-port", "0", "--mqtt-port", "0", *words],
        stdout=subprocess.PIPE, text=True, env=environment(VEDETTE_ANSWER_QUESTIONS="false"),
    )  # fmt: skip
    try:
        assert service.stdout is not None
        addresses = json.loads(service.stdout.readline())
        where = ["--service", addresses["http"], "--broker", addresses["mqtt"]]
        where += ["--credentials", str(tmp_path / "credentials.jsonl")]
        process = sim(tmp_path / "sim", whole, "--duration", "5", "--alerts-per-minute", "30", *where)
        said, complained = process.communicate(timeout=2 * BOUND_S)
    finally:
        service.terminate()
        service.wait(BOUND_S)
    assert process.returncode == 0, complained
    figures = json.loads(said)
    assert figures["online"] == 12
    assert figures["alerts_raised"] == figures["alerts_stored"] > 0
    assert figures["messages_lost"] == figures["duplicates"] == 0


SERVED_OVER_TLS = """
tls = true
device_port = 0
answer_questions = false
[door]
enrolments_per_s = 500
enrolments_at_once = 500
"""
FEW, MANY = 40, 240
KB_EACH = 60.0


@pytest.mark.alone
def test_over_tls_a_device_takes_no_more_than_60_kb(tmp_path: Path) -> None:
    """By what the same simulation takes with few and with many, each under a certificate of its own."""
    names, claims = tmp_path / "names", tmp_path / "claims.jsonl"
    names.write_text("\n".join(f"yard-{number}" for number in range(MANY)))
    settings = tmp_path / "service.toml"
    settings.write_text(SERVED_OVER_TLS)
    children = Children(tmp_path)
    try:
        _, addresses = start_service(children, tmp_path, ["--config", str(settings)])
        enrolled = subprocess.run(
            [
                *(programs().vedette, "device", "enroll", "--from", str(names), "--json"),
                *("--config", str(settings), "--data-dir", str(cloud_folder(tmp_path).root)),
            ],
            check=True, capture_output=True, text=True, env=environment(), timeout=BOUND_S,
        )  # fmt: skip
        claims.write_text(enrolled.stdout)
        # Redeemed here, so that it is part of neither figure.
        read_credentials(claims, MANY, tmp_path / "sim" / "identities")
        figures = {devices: certified(tmp_path, devices, addresses.http, claims) for devices in (FEW, MANY)}
    finally:
        children.stop_all()
    for devices, seen in figures.items():
        assert seen["online"] == devices
        assert seen["tls"]
        assert "IdentityUnusable" not in seen["refusals"]
        assert (seen["messages_lost"], seen["duplicates"]) == (0, 0)
    grown_kb = (figures[MANY]["rss_mib"] - figures[FEW]["rss_mib"]) * 2**20 / 1000
    assert 10.0 < grown_kb / (MANY - FEW) <= KB_EACH


def certified(folder: Path, devices: int, http: str, claims: Path) -> dict[str, Any]:
    where = ["--service", http, "--credentials", str(claims), "--service-data", str(cloud_folder(folder).root)]
    process = sim(
        folder / "sim", "vedette sim", "--devices", str(devices), "--duration", "3", "--mix", "steady=1", *where
    )
    said, complained = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode == 0, complained
    found = json.loads(said)
    assert isinstance(found, dict)
    return found
