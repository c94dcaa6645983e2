from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Never

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.cloud.dashboard.fake_service import FakeService

CHROMIUM = Path("/usr/bin/chromium")
STATIC = Path(__file__).parents[3] / "cloud" / "web" / "static"
WAIT_MS = 60_000
"""Tenths of a second are usual; Playwright's own five seconds are over soon on a machine that does other things."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _missing(what: str) -> Never:
    if os.environ.get("VEDETTE_REQUIRE_ENGINES") == "1":
        pytest.fail(what)
    pytest.skip(what)


# Not longer than a module: while it lives, Playwright keeps an event loop running in this thread, and no asyncio test
# could run after these.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        _missing(f"{CHROMIUM} is not installed (Debian's package `chromium`)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        expect.set_options(timeout=WAIT_MS)
        yield found
        found.close()


@pytest.fixture
def service() -> Iterator[FakeService]:
    if not (STATIC / "index.html").exists():
        _missing("the dashboard is not built (`npm ci && npm run build` in cloud/web/dashboard)")
    fake = FakeService(STATIC)
    fake.start()
    yield fake
    fake.end()


class Complaints:
    """What the page's console complained about; a broken security policy is reported there."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.texts.append(message.text)

    def forget_lost_connections(self) -> None:
        self.texts = [text for text in self.texts if "net::ERR_" not in text]


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(browser: Browser, service: FakeService, complaints: Complaints) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", reduced_motion="reduce")
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.on("console", complaints.hear)
    opened.on("pageerror", lambda error: complaints.texts.append(str(error)))
    yield opened
    context.close()
    assert complaints.texts == []
