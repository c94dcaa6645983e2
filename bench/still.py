"""What a still scene costs with and without the motion gate."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import psutil

from bench.figures import Figure, Section
from workbench.demo.parts import agent_folder, start_agent
from workbench.demo.processes import Child, Children

FPS: Final = 10
FRAMES: Final = 50
NOISE: Final = 2.0
"""Grey levels, standard deviation: a camera in fair light."""
SETTLE_S: Final = 8.0
"""Starting, then the gate's first look and what it holds on to."""
TOLD: Final = """\
device = "{name}"
data_dir = "{data}"
[[cameras]]
name = "still"
source = "{source}"
loop = true
{motion}
[[rules]]
name = "anyone"
labels = ["person"]
"""
GATED: Final = "[cameras.motion]"


def still(clip: Path, seconds: float, say: Callable[[str], None]) -> Section:
    """Two agents side by side on the clip's first frame, with noise.

    Raises:
        VedetteError: An agent could not run.
    """
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        source = folder / "still.avi"
        _draw(clip, source)
        children = Children(folder)
        stack.callback(children.stop_all)
        looking = _agent(children, folder, "looking", source, "")
        gated = _agent(children, folder, "gated", source, GATED)
        say("two agents on a still scene, one with the motion gate")
        threading.Event().wait(SETTLE_S)
        children.check()
        before = _cpu_s(looking), _cpu_s(gated)
        threading.Event().wait(seconds)
        children.check()
        spent_looking, spent_gated = _cpu_s(looking) - before[0], _cpu_s(gated) - before[1]
    return Section(
        "A still scene",
        f"CPU time of two `vedette-agent run` over {seconds:.0f} s of one frame with noise at {FPS} frames/s,"
        " decoding included; the gate looks once every 5 s all the same.",
        (
            Figure("still_looking_cpu_percent", "every frame judged", 100 * spent_looking / seconds, "% core"),
            Figure("still_gated_cpu_percent", "motion gate", 100 * spent_gated / seconds, "% core"),
            Figure("still_gated_share", "gate ÷ judged", spent_gated / spent_looking, "", digits=3),
        ),
    )


def _draw(clip: Path, target: Path) -> None:
    read, frame = cv2.VideoCapture(str(clip)).read()
    if not read:
        msg = f"{clip} gives no frame"
        raise SystemExit(msg)
    noise = np.random.default_rng(0)
    height, width = frame.shape[:2]
    out = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (width, height))
    for _ in range(FRAMES):
        noisy = frame + noise.normal(0.0, NOISE, frame.shape)
        out.write(np.clip(noisy, 0, 255).astype(np.uint8))
    out.release()


def _agent(children: Children, folder: Path, name: str, source: Path, motion: str) -> Child:
    own = agent_folder(folder, name)
    own.mkdir()
    return start_agent(
        children, folder, name, TOLD.format(name=name, data=own / "data", source=source, motion=motion)
    )


def _cpu_s(agent: Child) -> float:
    times = psutil.Process(agent.process.pid).cpu_times()
    return float(times.user + times.system)
