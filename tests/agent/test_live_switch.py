"""Real models on the real clip at its own pace: a trial beside the judge, and a switch between two frames."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path

import pytest

from agent.adapters.opencv_source import open_source
from agent.adapters.system_clock import SystemClock
from agent.app.live_model import Model, PipelineLiveModel
from agent.capture.camera import Camera
from agent.capture.settings import CameraSettings
from agent.capture.slots import FrameSlots
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import RuleSettings
from agent.deliver.faults import Faults
from agent.detect.detector import open_configured
from agent.detect.settings import DetectSettings
from agent.domain import Frame
from agent.errors import CandidateRejected
from agent.pipeline import Inbox, Lane, Pipeline
from agent.track.settings import TrackSettings
from agent.track.tracker import Tracker
from agent.update.ports import Candidate
from tests.vision.shared import built
from vision.detections import Detections, no_detections
from vision.detector import ModelDetector
from vision.errors import InferenceFailed
from vision.manifest import load_manifest
from wire.updates import Gates, ModelRef
from workbench.clip import cache_folder

FRAME_S = 0.1
"""The clip's own pace."""
GATES = Gates(probation_frames=40, probation_s=2)
NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - read as a constant


class Blind(ModelDetector):
    """Loads, runs, detects nothing: the second bad update."""

    def detect(self, image: object, min_score: float) -> Detections:
        super().detect(image, min_score)  # type: ignore[arg-type]
        return no_detections(self.labels)


class Watching:
    """Keeps when each frame was judged; passes all on to the live model."""

    def __init__(self, live: PipelineLiveModel) -> None:
        self._live = live
        self.frames: list[tuple[int, float, float]] = []
        self.enough = threading.Condition()

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        self._live.judged(frame, detections, inference_s)
        with self.enough:
            self.frames.append((frame.index, time.monotonic(), inference_s))
            self.enough.notify_all()

    def failed(self, failure: InferenceFailed) -> None:
        self._live.failed(failure)

    def skipped(self) -> None:
        self._live.skipped()

    def wait(self, frames: int) -> None:
        with self.enough:
            wanted = len(self.frames) + frames
            assert self.enough.wait_for(lambda: len(self.frames) >= wanted, 60)

    def lost(self, since: int = 0) -> int:
        indices = [index for index, _, _ in self.frames[since:]]
        return sum(after - before - 1 for before, after in pairwise(indices))


class Nowhere:
    def record(self, changes: object) -> object:
        return None


class Street:
    """One camera on the clip, the default model, and the live model."""

    def __init__(self, clip: Path) -> None:
        clock, slots = SystemClock(), FrameSlots()
        settings = CameraSettings(name="street", source=str(clip), loop=True)
        self.camera = Camera(settings, open_source(settings), slots, clock, lambda *_: None, lambda: 0.5)
        detector = open_configured(DetectSettings())
        inbox, ids = Inbox(slots.wake), count()
        self.adopted: list[str] = []
        self.blind: set[str] = set()
        self.live = PipelineLiveModel(
            inbox=inbox,
            model=detector,
            settings=DetectSettings(),
            low_score=TrackSettings().low_score,
            labels=lambda: ["person"],
            captured=lambda: self.camera.counts.captured,
            adopted=lambda model: self.adopted.append(model.manifest.name),
            clock=clock,
            open_model=self._open,
        )
        self.watching = Watching(self.live)
        self.pipeline = Pipeline(
            frames=slots,
            inbox=inbox,
            detector=detector,
            lanes={"street": Lane(Tracker(TrackSettings()), MaskFilter((), "street"))},
            rules=RuleBook(
                (RuleSettings(name="people", labels=("person",)),),
                (),
                None,
                detector.manifest.uncertain,
                lambda: f"{next(ids):032x}",
            ),
            outbox=Nowhere(),
            asker=None,
            clock=clock,
            faults=Faults(),
            min_score=TrackSettings().low_score,
            onlooker=self.watching,
        )

    def _open(self, settings: DetectSettings) -> Model:
        detector = open_configured(settings)
        if settings.model in self.blind:
            detector.__class__ = Blind
        return detector


@contextmanager
def running(street: Street) -> Iterator[ThreadPoolExecutor]:
    judge = threading.Thread(target=street.pipeline.run, name="judge")
    street.camera.start()
    judge.start()
    try:
        with ThreadPoolExecutor(1) as worker:
            yield worker
    finally:
        street.camera.stop()
        street.pipeline.stop()
        judge.join(10)


@pytest.fixture
def street() -> Street:
    clip = cache_folder() / "vtest.avi"
    if not clip.is_file():
        pytest.skip("the demo clip is not there; `vedette demo` fetches it")
    return Street(clip)


def spent(street: Street, begin: int, end: int) -> float:
    """Median of the judge's inference, in ms."""
    return round(1000 * statistics.median(inference_s for _, _, inference_s in street.watching.frames[begin:end]), 1)


def better() -> Candidate:
    folder = built("nanodet-g-416-fp16")
    manifest = load_manifest(folder / "manifest.json")
    return Candidate(ModelRef(name=manifest.name, version=manifest.version, digest=manifest.digest), folder)


def result(done: Future[object]) -> object:
    return done.result(90)


@pytest.mark.system
def test_a_better_model_takes_over_and_no_frame_is_lost(street: Street) -> None:
    candidate = better()
    with running(street) as worker:
        street.watching.wait(20)
        alone = street.watching.lost()
        before_trial = len(street.watching.frames)
        figures = street.live.trial(candidate, GATES, NEVER)
        lost_in_trial = street.watching.lost(before_trial - 1)
        before = len(street.watching.frames)
        result(worker.submit(street.live.switch, candidate))
        street.watching.wait(10)
        result(worker.submit(street.live.watch, GATES, NEVER))
        after = street.watching.frames[before - 1 :]
    slowest = max(inference_s for _, _, inference_s in after)
    # Frames whose time came while one inference ran, which no switch can be blamed for.
    allowed = int(slowest / FRAME_S) + 1
    gaps = [later[0] - sooner[0] - 1 for sooner, later in pairwise(after)]
    told = {
        "trial": figures.model_dump(),
        "judge_ms": {"alone": spent(street, 0, before_trial), "in_trial": spent(street, before_trial, before)},
        "lost_before": alone,
        "lost_in_trial": lost_in_trial,
        "lost_around_switch": sum(gaps[:10]),
        "worst_gap": max(gaps),
        "slowest_inference_ms": round(1000 * slowest, 1),
        "longest_pause_ms": round(1000 * max(later[1] - sooner[1] for sooner, later in pairwise(after[:12])), 1),
    }
    sys.stdout.write(f"\n{json.dumps(told)}\n")
    assert street.adopted == [candidate.ref.name]
    assert max(gaps) <= allowed
    assert figures.agreement > GATES.min_agreement


@pytest.mark.system
def test_one_that_loads_and_detects_nothing_is_stopped_in_the_trial_or_else_in_probation(street: Street) -> None:
    candidate = better()
    street.blind.add(str(candidate.folder))
    with running(street) as worker:
        street.watching.wait(40)
        with pytest.raises(CandidateRejected, match="objects a frame where the current model finds"):
            result(worker.submit(street.live.trial, candidate, GATES, NEVER))
        result(worker.submit(street.live.switch, candidate))
        with pytest.raises(CandidateRejected, match=r"in probation it finds 0\.00 objects a frame"):
            result(worker.submit(street.live.watch, GATES, NEVER))
