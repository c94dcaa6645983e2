"""A real Chromium, for what a person sees of the whole system."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import Page, sync_playwright

from tests.system.engines import need_browser


def in_browser(look: Callable[[Page], None], *more: str) -> list[str]:
    """What the page complained about; in a thread of its own, as Playwright keeps an event loop running in it.

    Args:
        look: What is done with the page.
        more: Arguments for Chromium.
    """
    program = need_browser()

    def drive() -> list[str]:
        complaints: list[str] = []
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", *more]
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
            page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB", reduced_motion="reduce")
            page.on("console", lambda m: complaints.append(m.text) if m.type in {"error", "warning"} else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            look(page)
            browser.close()
        return complaints

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(drive).result()
