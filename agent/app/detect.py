"""`vedette-agent detect`: the detector alone, over a recorded source, one JSON line a frame."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.adapters.opencv_source import open_source
from agent.app.progress import Progress
from agent.capture.settings import CameraSettings
from agent.detect.detector import open_configured
from agent.detect.settings import DetectSettings
from agent.errors import OutputUnwritable
from vision.detections import Detections


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run over a source came to."""

    frames: int
    detections: int
    seconds: float
    model: str
    runtime: str


def detect(
    source: str, model: DetectSettings, out: Path | None, min_score: float, show: Callable[[Progress], None]
) -> Summary:
    """Write the detections of every frame of `source` to `out` (standard output where None).

    Raises:
        VedetteError: The source, the model or the file to write can't be used.
    """
    detector = open_configured(model)
    reader = open_source(CameraSettings(name="source", source=source, pace="max"))
    progress = Progress("frames")
    found = 0
    began = time.perf_counter()
    with _written(out) as lines:
        reader.open()
        try:
            while (shot := reader.read()) is not None:
                detections = detector.detect(shot.image, min_score)
                t_ms = round((shot.position_s or 0.0) * 1e3, 3)
                lines.write(json.dumps({"frame": progress.done, "t_ms": t_ms, "detections": list(_rows(detections))}))
                lines.write("\n")
                found += len(detections)
                progress.done += 1
                show(progress)
        finally:
            reader.close()
    manifest = detector.manifest
    runtime = f"{detector.runtime_name}, {detector.delegate}"
    seconds = time.perf_counter() - began
    return Summary(progress.done, found, seconds, f"{manifest.name} {manifest.version}", runtime)


def _rows(detections: Detections) -> Iterator[dict[str, object]]:
    boxes, scores = detections.boxes.tolist(), detections.scores.tolist()
    for i, (box, score) in enumerate(zip(boxes, scores, strict=True)):
        yield {
            "label": detections.label(i),
            "score": round(score, 4),
            "box": [round(side, 5) for side in box],
        }


@contextmanager
def _written(out: Path | None) -> Iterator[IO[str]]:
    """A file that appears under its name only when it is whole; a pipe or device is written to as it is."""
    try:
        if out is None:
            yield sys.stdout
            sys.stdout.flush()
        elif out.exists() and not out.is_file() and not out.is_dir():
            with out.open("w", encoding="utf-8") as lines:
                yield lines
        else:
            with _replacing(out) as lines:
                yield lines
    except BrokenPipeError:
        raise
    except OSError as refused:
        where = "the standard output" if out is None else out
        raise OutputUnwritable(
            f"{where} can't be written: {refused.strerror}",
            "Name a file in a folder that is there, with room for it.",
        ) from None


@contextmanager
def _replacing(out: Path) -> Iterator[IO[str]]:
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("w", encoding="utf-8") as lines:
            yield lines
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
