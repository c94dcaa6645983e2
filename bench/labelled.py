"""Average precision of the device's models on the labelled clip, from `vedette-agent detect`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.accuracy import average_precision, read_detections, read_truths
from bench.figures import Figure, Goal, Section
from vision.accuracy import Accuracy

LABELLED: Final = "vtest.avi"
FRAMES: Final = 795
SIZE: Final = (768, 576)
GOALS: Final = {"default": 0.68, "nanodet-g-416-fp16": 0.89}


def labels_or_why_not() -> Path | None:
    """The labels; where there are none, a person is told what to do."""
    labels = labels_file()
    if labels is None:
        sys.stderr.write("there are no labels; set VEDETTE_SHARED to the folder that holds pets09-s2l1\n")
    return labels


def labels_file() -> Path | None:
    """PETS09-S2L1's labels: evaluation data beside the checkout, or where VEDETTE_SHARED says."""
    shared = os.environ.get("VEDETTE_SHARED")
    folder = Path(shared) if shared else Path(__file__).parents[2] / "shared" / "data"
    found = folder / "pets09-s2l1" / "gt.txt"
    return found if found.is_file() else None


def measured(clip: Path, model: str, labels: Path) -> Accuracy:
    """Detect on the whole clip with the agent's command, and compare.

    Raises:
        subprocess.CalledProcessError: The agent could not.
    """
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        out = Path(folder) / "detections.jsonl"
        command = [sys.executable, "-m", "agent", "detect", "--source", str(clip), "--model", model, "--threads", "2"]
        subprocess.run([*command, "--jsonl", str(out)], check=True)
        detections = read_detections(out, "person", *SIZE)
    return average_precision(read_truths(labels), detections, range(FRAMES))


def accuracy(clip: Path, models: tuple[str, ...], say: Callable[[str], None]) -> Section:
    """A figure for each model, or why there is none."""
    labels = labels_file()
    how = f"`vedette-agent detect` on all {FRAMES} frames against MOT labels; VOC's AP with all points at IoU ≥ .5."
    figures = []
    for model in models:
        key, what = f"{model.replace('-', '_')}_ap50", f"person AP50, {model}"
        if labels is None or clip.name != LABELLED:
            figures.append(Figure(key, what, None, note=f"needs {LABELLED} and its labels, found by VEDETTE_SHARED"))
            continue
        say(f"accuracy of {model} on the labelled clip")
        found = measured(clip, model, labels)
        figures.append(Figure(key, what, found.ap50, "", Goal(at_least=GOALS[model]), digits=3))
    return Section("Accuracy", how, tuple(figures))
