"""A real Chromium, for what a person sees of the whole system."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import Page, expect, sync_playwright

from tests.system.engines import need_browser
from tests.system.parts import BOUND_S


def in_browser(look: Callable[[Page], None], *more: str, within_s: float = BOUND_S) -> list[str]:
    """What the page complained about; in a thread of its own, as Playwright keeps an event loop running in it.

    Args:
        look: Drives the page.
        more: Arguments for Chromium.
        within_s: For each step and each expectation.
    """
    program = need_browser()

    def drive() -> list[str]:
        complaints: list[str] = []
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", *more]
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
            expect.set_options(timeout=1000 * within_s)
            page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB", reduced_motion="reduce")
            page.set_default_timeout(1000 * within_s)
            page.on("console", lambda m: complaints.append(m.text) if m.type in {"error", "warning"} else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            look(page)
            browser.close()
        return complaints

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(drive).result()
