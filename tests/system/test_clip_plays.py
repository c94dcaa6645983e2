"""A clip in a real browser."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from agent.adapters.clip_file import DiskClips
from agent.redact.door import Redacted
from tests.cloud.dashboard.conftest import ARGUMENTS
from tests.system.engines import need_browser

pytestmark = pytest.mark.system

PLAYED = """
async source => {
  const video = document.createElement('video');
  video.muted = true;
  video.src = source;
  const ended = new Promise((done, failed) => {
    video.onended = done;
    video.onerror = () => failed(video.error.message);
  });
  await video.play();
  await ended;
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  return [video.videoWidth, video.videoHeight, video.duration, context.getImageData(9, 9, 1, 1).data[1]];
}
"""


async def _clip(folder: Path) -> bytes:
    file = await DiskClips(folder / "clips").begin("c" * 32, 200, 120, 5)
    try:
        for level in range(10):
            await file.add(Redacted(np.full((120, 200, 3), 20 * level, np.uint8), None), 1)
        return await asyncio.to_thread((await file.finish()).path.read_bytes)
    finally:
        file.discard()


def test_a_browser_plays_a_clip_to_its_end(tmp_path: Path) -> None:
    chromium = need_browser()
    source = "data:video/webm;base64," + base64.b64encode(asyncio.run(_clip(tmp_path))).decode()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        width, height, seconds, last = browser.new_page().evaluate(PLAYED, source)
        browser.close()
    assert (width, height) == (200, 120)
    assert seconds == pytest.approx(2.0, abs=0.25)
    assert last == pytest.approx(180, abs=8)
