"""Real models on the real clip: a trial beside the judge, and a switch between two frames, beside and in place.

What a switch costs is counted in frames. While a frame is judged others come, which no switch can be blamed for: how
many is counted as well, so that a slow or busy machine changes both sides of what is asserted.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path

import pytest

from agent.adapters.memory_left import memory_left_mib
from agent.adapters.opencv_source import open_source
from agent.adapters.system_clock import SystemClock
from agent.app.asides import AsideSettings
from agent.app.live_model import Model, PipelineLiveModel
from agent.capture.camera import Camera
from agent.capture.settings import CameraSettings
from agent.capture.slots import FrameSlots
from agent.capture.source import Shot, Source
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import RuleSettings
from agent.deliver.faults import Faults
from agent.detect.detector import open_configured
from agent.detect.settings import DetectSettings
from agent.domain import Frame
from agent.errors import CandidateRejected
from agent.judging.inbox import Inbox
from agent.judging.lane import Lane
from agent.pipeline import Pipeline
from agent.track.settings import TrackSettings
from agent.track.tracker import Tracker
from agent.update.ports import Candidate
from agent.update.swap import Swap
from tests.vision.shared import built
from vision.detections import Detections, no_detections
from vision.detector import ModelDetector
from vision.errors import InferenceFailed
from vision.manifest import load_manifest
from vision.models import find_model
from wire.model import Manifest
from wire.updates import Gates, ModelRef
from workbench.clip import cache_folder

SPEED_UP = 4
"""Of the clip, which then gives 40 pictures a second: some come during any inference."""
GATES = Gates(probation_frames=40, probation_s=2, max_latency_ratio=1000)
"""A trial's thread gives way to whatever else a machine does: how fast one is says nothing of the model here."""
NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - read as a constant


class Blind(ModelDetector):
    """Loads, runs, detects nothing: the second bad update."""

    def detect(self, image: object, min_score: float) -> Detections:
        super().detect(image, min_score)  # type: ignore[arg-type]
        return no_detections(self.labels)


@dataclass(frozen=True, slots=True)
class Judged:
    """A frame that was judged.

    Attributes:
        index: Counts the pictures that the camera gave.
        captured: How many it had given once this one was judged.
    """

    index: int
    captured: int
    inference_s: float

    @property
    def came(self) -> int:
        """Frames that came while it was judged, since it was the newest when that began.

        A camera counts a picture when it reads it, and lays it down when it is due: the last one may not have come.
        """
        return max(0, self.captured - 2 - self.index)


class Faster:
    """A recorded source that is played faster than it was made."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.open, self.close = source.open, source.close

    def read(self) -> Shot | None:
        shot = self._source.read()
        if shot is None or shot.position_s is None:
            return shot
        return Shot(shot.image, shot.position_s / SPEED_UP)

    @property
    def remark(self) -> str:
        return self._source.remark


class Watching:
    """Keeps which frames were judged; passes all on to the live model."""

    def __init__(self, live: PipelineLiveModel, captured: Callable[[], int]) -> None:
        self._live = live
        self._captured = captured
        self.frames: list[Judged] = []
        self.switched: list[int] = []
        self.enough = threading.Condition()

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        self._live.judged(frame, detections, inference_s)
        with self.enough:
            self.frames.append(Judged(frame.index, self._captured(), inference_s))
            self.enough.notify_all()

    def failed(self, failure: InferenceFailed) -> None:
        self._live.failed(failure)

    def skipped(self) -> None:
        self._live.skipped()

    def wait(self, frames: int) -> None:
        with self.enough:
            wanted = len(self.frames) + frames
            assert self.enough.wait_for(lambda: len(self.frames) >= wanted, 60)

    def most_in_one_inference(self, around: int) -> int:
        return max(1, *(judged.came for judged in self.frames[around - 20 : around + 20]))

    def dropped(self, begin: int, end: int) -> int:
        return sum(after.index - before.index - 1 for before, after in pairwise(self.frames[begin:end]))


class Nowhere:
    def record(self, changes: object) -> object:
        return None


class Street:
    """One camera on the clip, the default model, and the live model."""

    def __init__(self, clip: Path, swap: Swap) -> None:
        clock, slots = SystemClock(), FrameSlots()
        settings = CameraSettings(name="street", source=str(clip), loop=True)
        self.camera = Camera(settings, Faster(open_source(settings)), slots, clock, lambda *_: None, lambda: 0.5)
        self.open: set[int] = set()
        self.most_open = 0
        self.blind: set[str] = set()
        detector = self._open(DetectSettings())
        inbox, ids = Inbox(slots.wake), count()
        self.adopted: list[str] = []
        self.live = PipelineLiveModel(
            inbox=inbox,
            model=detector,
            source=candidate_in(find_model(DetectSettings().model), detector.manifest),
            settings=DetectSettings(),
            low_score=TrackSettings().low_score,
            labels=lambda: ["person"],
            captured=lambda: self.camera.counts.captured,
            adopted=self._adopted,
            clock=clock,
            open_model=self._open,
            swap=swap,
            memory_left=memory_left_mib,
            asides=AsideSettings(lambda: f"{next(ids):032x}", 2.0),
        )
        self.watching = Watching(self.live, lambda: self.camera.counts.captured)
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

    def _adopted(self, model: Model) -> None:
        self.adopted.append(model.manifest.name)
        self.watching.switched.append(len(self.watching.frames))

    def _open(self, settings: DetectSettings) -> Model:
        detector = open_configured(settings)
        if settings.model in self.blind:
            detector.__class__ = Blind
        close = detector.close

        def closed() -> None:
            self.open.discard(id(detector))
            close()

        detector.close = closed  # type: ignore[method-assign]
        self.open.add(id(detector))
        self.most_open = max(self.most_open, len(self.open))
        return detector

    def account(self) -> dict[str, int]:
        """Where every frame of the camera has gone, once all has stopped."""
        counts = self.camera.counts
        judged = len(self.watching.frames)
        return {"captured": counts.captured, "judged": judged, "dropped": counts.dropped}


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
        judge.join(60)


def street_of(swap: Swap) -> Street:
    clip = cache_folder() / "vtest.avi"
    if not clip.is_file():
        pytest.skip("the demo clip is not there; `vedette demo` fetches it")
    return Street(clip, swap)


@pytest.fixture
def street() -> Street:
    return street_of(Swap.BESIDE)


@pytest.fixture
def small_street() -> Street:
    return street_of(Swap.IN_PLACE)


def spent(street: Street, begin: int, end: int) -> float:
    """Median of the judge's inference, in ms."""
    return round(1000 * statistics.median(judged.inference_s for judged in street.watching.frames[begin:end]), 1)


def candidate_in(folder: Path, manifest: Manifest) -> Candidate:
    return Candidate(ModelRef(name=manifest.name, version=manifest.version, digest=manifest.digest), folder)


def better() -> Candidate:
    folder = built("nanodet-g-416-fp16")
    return candidate_in(folder, load_manifest(folder / "manifest.json"))


def result(done: Future[object]) -> object:
    return done.result(90)


def counted(street: Street) -> dict[str, object]:
    """What the latest switch cost, in frames."""
    watching = street.watching
    first = watching.switched[-1]
    before, after = watching.frames[first - 1], watching.frames[first]
    return {
        "dropped_at_switch": after.index - before.index - 1,
        "came_in_inference_before": before.came,
        "most_in_one_inference": watching.most_in_one_inference(first),
        "handover": str(street.live.handover()),
        "account": street.account(),
        "judge_ms": {"before": spent(street, 0, first), "after": spent(street, first, len(watching.frames))},
    }


def tell(**figures: object) -> None:
    sys.stdout.write(f"\n{json.dumps(figures)}\n")


def nothing_unaccounted(account: dict[str, int]) -> bool:
    """At the end one frame may have been taken or laid down and not been judged."""
    return 0 <= account["captured"] - account["judged"] - account["dropped"] <= 2


@pytest.mark.system
@pytest.mark.alone
def test_a_better_model_takes_over_and_no_frame_is_lost_that_one_inference_does_not_explain(street: Street) -> None:
    candidate = better()
    with running(street) as worker:
        street.watching.wait(20)
        figures = street.live.trial(candidate, GATES, NEVER)
        street.watching.wait(10)
        before = len(street.watching.frames)
        result(worker.submit(street.live.switch, candidate, None))
        street.watching.wait(20)
        result(worker.submit(street.live.watch, GATES, NEVER))
    cost = counted(street)
    tell(trial=figures.model_dump(), dropped_in_trial=street.watching.dropped(20, before), **cost)
    assert street.adopted == [candidate.ref.name]
    assert cost["dropped_at_switch"] <= cost["most_in_one_inference"]
    assert nothing_unaccounted(street.account())
    assert street.live.handover().gap_ms > 0
    assert figures.agreement > GATES.min_agreement
    assert len(street.open) == 1


@pytest.mark.system
@pytest.mark.alone
def test_in_place_there_is_never_a_second_model_and_the_newest_frame_waits(small_street: Street) -> None:
    street, candidate = small_street, better()
    with running(street) as worker:
        street.watching.wait(20)
        assert street.live.why_untried(candidate, 100.0) is not None
        result(worker.submit(street.live.switch, candidate, None))
        street.watching.wait(20)
    cost = counted(street)
    tell(**cost)
    watching, first = street.watching, street.watching.switched[-1]
    assert street.adopted == [candidate.ref.name]
    assert street.most_open == len(street.open) == 1
    assert watching.frames[first].captured > watching.frames[first - 1].captured, "the camera went on"
    # Two had been taken or laid down before the swap; from then on the newest is judged, and none of the backlog.
    assert watching.frames[first + 1].index >= watching.frames[first].captured - 2
    assert nothing_unaccounted(street.account())


@pytest.mark.system
@pytest.mark.alone
def test_in_place_what_does_not_open_is_refused_and_the_model_before_goes_on(
    small_street: Street, tmp_path: Path
) -> None:
    street, whole = small_street, better()
    torn = tmp_path / "torn"
    shutil.copytree(whole.folder, torn)
    os.truncate(torn / "model.tflite", 100_000)
    with running(street) as worker:
        street.watching.wait(20)
        with pytest.raises(CandidateRejected, match="it can't be opened"):
            result(worker.submit(street.live.switch, replace(whole, folder=torn), None))
        street.watching.wait(20)
    tell(**counted(street))
    assert street.adopted == [load_manifest(find_model(DetectSettings().model) / "manifest.json").name]
    assert street.most_open == len(street.open) == 1


@pytest.mark.system
@pytest.mark.alone
def test_one_that_loads_and_detects_nothing_is_stopped_in_the_trial_or_else_in_probation(street: Street) -> None:
    candidate = better()
    street.blind.add(str(candidate.folder))
    with running(street) as worker:
        street.watching.wait(40)
        with pytest.raises(CandidateRejected, match="objects a frame where the current model finds"):
            result(worker.submit(street.live.trial, candidate, GATES, NEVER))
        result(worker.submit(street.live.switch, candidate, None))
        with pytest.raises(CandidateRejected, match=r"in probation it finds 0\.00 objects a frame"):
            result(worker.submit(street.live.watch, GATES, NEVER))
