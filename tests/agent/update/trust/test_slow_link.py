"""A download over a link of 50 kB/s that is cut ten times, while a real pipeline judges a clip at its own pace."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

import pytest

from agent.adapters.system_clock import SystemClock
from agent.update.swap import Swap
from tests.agent.test_live_switch import SPEED_UP, Street, running, spent
from tests.agent.update.trust.conftest import MODEL, REF, Device
from tests.agent.update.trust.hostile_server import slow_and_cut_after
from tests.system.engines import need_clip

RATE = 50_000
FRAME_S = 0.1 / SPEED_UP
"""The clip has ten frames a second."""
PIECES = 11
"""Connections that ten cuts leave."""


def served(device: Device) -> str:
    return next(path for path in device.signed.files if path.endswith(".model.tflite"))


def slow_fetch(device: Device) -> float:
    """Fetch the release over such a link; the seconds it took."""
    device.clock = SystemClock()
    device.server.behave("model.tflite", slow_and_cut_after(len(MODEL) // PIECES + 1, RATE))
    began = time.monotonic()
    device.repository(wait=time.sleep).fetch(REF, device.staging, lambda _: None, lambda: False)
    return time.monotonic() - began


def resumed_and_never_restarted(device: Device, took_s: float) -> None:
    assert (device.staging / "model.tflite").read_bytes() == MODEL
    assert device.server.requests.count(served(device)) == PIECES
    assert device.server.sent[served(device)] == len(MODEL)
    assert took_s >= 0.9 * len(MODEL) / RATE


@pytest.mark.system
@pytest.mark.alone
def test_every_byte_comes_once_and_detection_goes_on(device: Device) -> None:
    street = Street(need_clip(), Swap.BESIDE)
    with running(street) as worker:
        street.watching.wait(20)
        before = len(street.watching.frames)
        took_s = worker.submit(slow_fetch, device).result(90)
        during = list(street.watching.frames[before - 1 :])
    resumed_and_never_restarted(device, took_s)
    slowest_s = max(judged.inference_s for judged in during)
    gaps = [later.index - sooner.index - 1 for sooner, later in pairwise(during)]
    told = {
        "bytes": device.server.sent[served(device)],
        "connections": PIECES,
        "took_s": round(took_s, 2),
        "frames_judged": len(during) - 1,
        "lost": sum(gaps),
        "inference_ms": {
            "before": spent(street, 0, before),
            "during": spent(street, before, before + len(during) - 1),
            "slowest": round(1000 * slowest_s, 1),
        },
    }
    sys.stdout.write(f"\n{json.dumps(told)}\n")
    # What one inference takes longer than a frame lasts is the machine's doing, not the download's.
    assert max(gaps) <= int(slowest_s / FRAME_S) + 1
    assert len(during) - 1 >= 0.5 * took_s / (FRAME_S + slowest_s)
