"""The dashboard in a real Chromium, on a real service that a real agent tells of real video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.system.browser import in_browser
from tests.system.engines import need_clip, need_models
from tests.system.parts import System, whole_system

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

TOLD = """
[[cameras]]
name = "gate"
source = "{clip}"
loop = true

[[rules]]
name = "anyone"
labels = ["person"]
picture = "always"

[asking]
uncertain = [0.2, 0.9]

[telemetry]
every_s = 1
first_after_s = 0
"""
A_PICTURE = re.compile("^(Picture of person from gate|What gate sent: the device's box says person)")
# A photograph has thousands of colours, an empty canvas with a box drawn on it a handful.
# It is read from a copy: the page's own canvas, read again and again, has the browser complain of the page.
COLOURS_OVER = """([canvas, many]) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  return new Set(pixels).size > many;
}"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    need_models()
    with whole_system(tmp_path) as running:
        running.start_agent(TOLD.format(clip=need_clip()))
        yield running


def test_alerts_appear_with_picture_and_verdict(system: System, tmp_path: Path) -> None:
    def look(page: Page) -> None:
        page.goto(system.addresses.dashboard)
        expect(page.get_by_test_id("link")).to_have_text("Live")
        expect(page.get_by_test_id("device")).to_contain_text("online")

        card = page.get_by_test_id("alert").filter(has=page.get_by_role("img", name=A_PICTURE)).first
        expect(card).to_contain_text("person")
        canvas = card.locator("canvas").element_handle()
        page.wait_for_function(COLOURS_OVER, arg=[canvas, 1000])

        # Asked about this alert, or about its object before there was one.
        decided = page.get_by_test_id("alert").filter(has_text=re.compile("The cloud saw|Decided by the cloud"))
        expect(decided.first).to_have_class(re.compile("confirmed|retracted"))
        expect(page.get_by_test_id("tile-saved")).to_contain_text(re.compile(r"9\d\.\d\s%"))
        page.screenshot(path=tmp_path / "dashboard.png")

        decided.first.get_by_role("link").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.screenshot(path=tmp_path / "alert.png")

    assert in_browser(look) == []
    assert (tmp_path / "dashboard.png").stat().st_size > 0
