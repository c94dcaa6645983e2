"""Watching a real device and service: the device's page in a browser, logs that join, and secrets that never show."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_port
from tests.system.browser import in_browser
from tests.system.engines import need_clip, need_models
from tests.system.parts import BOUND_S, System, descendants, environment, eventually, whole_system
from tests.system.preloaded import programs
from wire.log_lines import JOINING
from workbench.demo.parts import agent_folder, cloud_folder, token_file

pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * BOUND_S)]

PASSWORDS = ("planted-in-the-address", "planted-in-the-query", "planted@with:signs")
TOLD = f"""
log_level = "debug"

[[cameras]]
name = "gate"
source = "{{clip}}"
loop = true

[[cameras]]
name = "side door"
source = "rtsp://admin:{PASSWORDS[0]}@127.0.0.1:{{port}}/live?password={PASSWORDS[1]}"
reconnect_initial_s = 0.2

[[cameras]]
name = "yard"
source = "http://admin:{PASSWORDS[2]}@127.0.0.1:{{port}}/mjpeg"
reconnect_initial_s = 0.2

[[masks]]
camera = "gate"
polygon = [[0.0, 0.0], [0.25, 0.0], [0.25, 0.25], [0.0, 0.25]]

[[rules]]
name = "anyone"
labels = ["person"]

[asking]
uncertain = [0.2, 0.9]
deadline_s = 1

[telemetry]
every_s = 1
first_after_s = 0

[status]
listen = "127.0.0.1:0"
"""
"""Both cameras with passwords are not there, which has everything said about them that there is to say."""


class Watched(System):
    """The service and its agent, both of which log everything as JSON."""

    SERVICE_OPTIONS = ("--log-level", "debug")
    page: str = ""

    def begin(self) -> None:
        self.agent = self.start_agent(TOLD.format(clip=need_clip(), port=free_port()))
        eventually(
            lambda: re.search(r"status page at (http://[^\"]+)", self.agent.log.read_text()) is not None, "page"
        )
        found = re.search(r"status page at (http://[^\"]+)", self.agent.log.read_text())
        assert found is not None
        self.page = found[1]
        eventually(lambda: bool(self.verdicts()), "questions are answered")

    def command(self, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [programs().vedette, "command", self.DEVICE, *words, "--wait", "--json"],
            env=environment(VEDETTE_DATA_DIR=str(cloud_folder(self.folder).root)),
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = json.loads(done.stdout)
        return dict(record)

    def log_of(self, name: str) -> list[dict[str, Any]]:
        """Our own whole lines; the runtime's C library says one of its own at the start."""
        whole, _, _ = (self.folder / f"{name}.log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if not line.startswith("INFO: ")]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    need_models()
    need_clip()
    folder = tmp_path_factory.mktemp("watched")
    with whole_system(folder, Watched) as running:
        running.begin()
        yield running


def test_the_devices_page_shows_its_cameras_to_a_person(system: Watched, tmp_path: Path) -> None:
    def look(page: Page) -> None:
        page.goto(system.page)
        expect(page.get_by_role("heading", level=1)).to_have_text("gate-1")
        expect(page.get_by_text("online", exact=True)).to_be_visible()
        expect(page.locator("figure", has_text="side door")).to_contain_text("lost")
        expect(page.locator("tbody tr").first).to_contain_text("anyone")
        page.set_viewport_size({"width": 390, "height": 800})
        # On a phone it is no wider than that, and an alert is a line. Waited for, since the page loads itself anew.
        page.wait_for_function("document.documentElement.scrollWidth <= 390")
        page.wait_for_function("document.querySelector('tbody tr')?.offsetHeight < 60")
        page.set_viewport_size({"width": 1280, "height": 900})
        expect(page.locator("tbody tr", has_text="the whole device")).to_contain_text("200MB/month")
        picture = page.get_by_alt_text("The latest frame of gate")
        expect(picture).to_be_visible()
        # The page is loaded anew every few seconds, and this lasts over that.
        page.wait_for_function("document.querySelector('img[alt$=\"frame of gate\"]')?.naturalWidth === 768")
        page.screenshot(path=tmp_path / "page.png", full_page=True)

    assert in_browser(look) == []


def test_both_sides_figures_agree(system: Watched) -> None:
    # In this order: the device goes on asking, and counts what it asks before the cloud can.
    cloud = _figures(f"{system.addresses.http}/metrics")
    agent = _figures(f"{system.page}metrics")
    assert agent["vedette_agent_link_online"] == 1
    assert agent["vedette_agent_frames_judged_total", "gate"] > 0
    assert agent["vedette_agent_camera_live", "side door"] == 0
    assert agent["vedette_agent_sent_bytes_total", "questions"] > 0
    assert agent["vedette_agent_budget_spent_bytes_total", ""] > 0
    assert agent["vedette_agent_budget_left_bytes", ""] < 7_500_000
    assert (cloud["vedette_devices_enrolled"], cloud["vedette_devices_online"]) == (1, 1)
    assert cloud["vedette_infer_seconds_count"] >= 1
    assert cloud["vedette_verdict_seconds_count"] >= 1
    assert cloud["vedette_picture_bytes", "question"] > 0
    assert agent["vedette_agent_questions_total"] >= cloud["vedette_questions_total"]


def _figures(url: str) -> dict[Any, float]:
    """Values by name, or by name and the value of the only label."""
    text = httpx.get(url, timeout=BOUND_S).text
    return {
        (sample.name, *sample.labels.values()) if sample.labels else sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_one_search_finds_what_both_sides_did(system: Watched) -> None:
    verdict, question = system.verdicts()[0]
    ping = system.command("ping")
    for key, value in (
        ("alert_id", question.alert_id),
        ("question_id", verdict.question_id),
        ("command_id", ping["id"]),
        ("boot_id", question.boot_id),
    ):
        assert key in JOINING
        for name in (system.DEVICE, "cloud"):
            # What is answered may be written down before it is logged.
            eventually(lambda one=(name, key, value): joined(system, *one), f"{name} logs {key}")  # type: ignore[misc]
    device = system.log_of(system.DEVICE)
    assert {line["boot_id"] for line in device if "boot_id" in line} == {question.boot_id}


def joined(system: Watched, name: str, key: str, value: object) -> bool:
    return any(line.get(key) == value and line.get("device") == system.DEVICE for line in system.log_of(name))


def test_no_secret_shows_in_anything_that_is_written(system: Watched) -> None:
    folder = system.folder
    token = token_file(folder, system.DEVICE).read_text()
    written_by_a_person = {token_file(folder, system.DEVICE), agent_folder(folder, system.DEVICE) / "agent.toml"}
    said = json.dumps(system.command("diagnose")).encode()
    for url in (
        *(f"{system.page}{path}" for path in ("", "metrics")),
        *(f"{system.addresses.http}{path}" for path in ("/metrics", "/readyz", "/api/devices", "/api/alerts")),
    ):
        said += httpx.get(url, timeout=BOUND_S).content
    processes = descendants(system.service.process.pid) + [
        psutil.Process(child.process.pid) for child in (system.service, system.agent)
    ]
    said += "\n".join(" ".join(process.cmdline()) for process in processes).encode()
    files = [path for path in folder.rglob("*") if path.is_file() and path not in written_by_a_person]
    assert {path.name for path in files} >= {"cloud.log", "gate-1.log", "vedette.db", "outbox.db"}
    written = {path: contents(path) for path in files}
    assert any("side door is lost" in line["message"] for line in system.log_of(system.DEVICE))
    for secret in (token, token.removeprefix("vdt_"), *PASSWORDS):
        assert secret.encode() not in said, secret
        for path, text in written.items():
            assert secret.encode() not in text, f"{secret} in {path}"


def contents(path: Path) -> bytes:
    """Empty where it was one of those that are written and then renamed, or removed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
