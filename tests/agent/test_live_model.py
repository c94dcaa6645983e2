"""The live model over the real pipeline and real slots, with models that say what they are told to."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from agent.app.asides import AsideSettings
from agent.app.live_model import Model, PipelineLiveModel, judging_floor
from agent.capture.slots import FrameSlots
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, MaskSettings, RuleSettings
from agent.deliver.faults import Faults
from agent.detect.settings import DetectSettings
from agent.domain import Answer, Ask, Frame, Track
from agent.errors import CandidateRejected, JudgeStuck, NoModelOpens
from agent.judging.inbox import Inbox
from agent.judging.lane import Lane
from agent.pipeline import FAILURES_IN_A_ROW, TAKE_BACK_S, Pipeline
from agent.track.settings import TrackSettings
from agent.track.tracker import Tracker
from agent.update.ports import Candidate
from agent.update.probation import STALLED_S
from agent.update.swap import Swap
from tests.agent.deliver.samples import DIGEST, WALL, ManualClock, boot, change, outbox
from vision.detections import Detections, Image, no_detections
from vision.errors import InferenceFailed, ModelRefused
from wire.audits import Audit, AuditOutcome, FrameKind, LabelCounts
from wire.codec import decode
from wire.messages import Alert, AskReason, DecidedBy, Decision
from wire.model import Manifest, OutputKind
from wire.updates import Gates, ModelRef

pytestmark = pytest.mark.parts

LABELS = ("person", "car")
IMAGE = np.zeros((8, 8, 3), np.uint8)
LATENCY_S = 0.01
BOUND_S = 60.0
NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - read as a constant
TIMELESS = {"max_latency_ratio": math.inf}
"""The clock is turned by judge and trial at once, so a latency may hold another's turns; latencies have tests."""
GATES = Gates(shadow_frames=10, probation_frames=20, probation_s=5, shadow_cpu_share=1.0).model_copy(update=TIMELESS)


@dataclass(eq=False)
class FakeModel:
    """Says that so many people stand in a row; takes its time by turning the clock."""

    name: str
    clock: ManualClock
    people: int = 3
    latency_s: float = LATENCY_S
    failure: InferenceFailed | None = None
    labels: tuple[str, ...] = LABELS
    closed: bool = False
    seen: int = 0
    asked_from: list[float] = field(default_factory=list)

    @property
    def manifest(self) -> Manifest:
        return Manifest.model_validate(
            {
                "name": self.name,
                "version": "1",
                "digest": digest(self.name),
                "size": 1,
                "input": {"width": 64, "height": 64},
                "output": {"kind": OutputKind.YOLOV8},
                "labels": self.labels,
                "min_score": 0.25 if self.name == "new" else 0.1,
                "uncertain": (0.3, 0.6),
                "licence": "none",
                "provenance": {"source": "a test"},
            }
        )

    def detect(self, image: Image, min_score: float) -> Detections:
        assert not self.closed
        self.seen += 1
        self.asked_from.append(min_score)
        self.clock.advance(self.latency_s)
        if self.failure is not None:
            raise self.failure
        if not self.people:
            return no_detections(self.labels)
        lefts = np.arange(self.people, dtype=np.float32) / 20
        boxes = np.stack([lefts, lefts * 0 + 0.2, lefts + 0.04, lefts * 0 + 0.6], axis=1).astype(np.float32)
        return Detections(boxes, np.full(self.people, 0.9, np.float32), np.zeros(self.people, np.int32), self.labels)

    def close(self) -> None:
        self.closed = True


def digest(name: str) -> str:
    return "sha256:" + name.encode().hex().ljust(64, "0")


def candidate(model: FakeModel) -> Candidate:
    return Candidate(ModelRef(name=model.name, version="1", digest=digest(model.name)), Path("/models") / model.name)


class OneFrameSupply:
    """Frames handed to the judging thread by the test, one at a time."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._frame: Frame | None = None
        self._woken = False

    def take(self, timeout_s: float) -> Frame | None:
        with self._wake:
            self._wake.wait_for(lambda: self._frame is not None or self._woken, timeout_s)
            self._woken = False
            frame, self._frame = self._frame, None
            self._wake.notify_all()
        return frame

    def give(self, frame: Frame) -> None:
        with self._wake:
            self._frame = frame
            self._wake.notify_all()
            assert self._wake.wait_for(lambda: self._frame is None, BOUND_S)

    def wake(self) -> None:
        with self._wake:
            self._woken = True
            self._wake.notify_all()


class OnlookerOf:
    """Passes all on; for tests that listen in."""

    def __init__(self, live: PipelineLiveModel) -> None:
        self._live = live

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        self._live.judged(frame, detections, inference_s)

    def failed(self, failure: InferenceFailed) -> None:
        self._live.failed(failure)

    def skipped(self) -> None:
        self._live.skipped()


class Nowhere:
    def record(self, changes: object) -> object:
        return None


class HeldAsker:
    """Keeps what is asked, for the test to answer."""

    def __init__(self) -> None:
        self.asks: list[tuple[Ask, Frame]] = []

    def submit(self, ask: Ask, frame: Frame) -> bool:
        self.asks.append((ask, frame))
        return True

    def submit_picture(self, change: object, frame: Frame) -> None:
        return None


class Looks:
    """Nobody cancels; says when whoever asks looks again."""

    def __init__(self) -> None:
        self._looked = threading.Event()

    def __call__(self) -> bool:
        self._looked.set()
        return False

    def show(self, stage: Stage, done: Future[None]) -> None:
        """A frame after each look: the clock, which each frame turns, must not run away from whoever looks on."""
        done.add_done_callback(lambda _: self._looked.set())
        while True:
            self._looked.clear()
            if done.done():
                return
            stage.show()
            assert self._looked.wait(BOUND_S)


class Stage:
    """A camera, a pipeline with its thread, and the live model that looks on."""

    def __init__(self, swap: Swap = Swap.AUTO) -> None:
        self.clock = ManualClock()
        self.frames = OneFrameSupply()
        self.inbox = Inbox(self.frames.wake)
        self.old = FakeModel("old", self.clock)
        self.shelf: dict[str, FakeModel] = {}
        self.adopted: list[tuple[str, str]] = []
        self.captured = 0
        self.judged: list[int] = []
        self.shelf["old"] = self.old
        self.on_open: Callable[[str], None] | None = None
        self.most_open = 1
        self.memory_left: float | None = None
        self.asker = HeldAsker()
        numbers = itertools.count(1)
        self.live = PipelineLiveModel(
            inbox=self.inbox,
            model=self.old,
            source=candidate(self.old),
            settings=DetectSettings(),
            low_score=0.2,
            labels=lambda: ["person"],
            captured=lambda: self.captured,
            adopted=self._adopted,
            clock=self.clock,
            open_model=self._open,
            swap=swap,
            memory_left=lambda: self.memory_left,
            asides=AsideSettings(lambda: f"{next(numbers):032x}", 2.0),
        )
        ids = itertools.count()
        self.lane = Lane(Tracker(TrackSettings()), MaskFilter((), "yard"))
        self.pipeline = Pipeline(
            frames=self.frames,
            inbox=self.inbox,
            detector=self.old,
            lanes={"yard": self.lane},
            rules=RuleBook(
                (RuleSettings(name="people", labels=("person",)),),
                (),
                AskPolicySettings(max_per_minute=6000),
                (0.3, 0.6),
                lambda: f"{next(ids):032x}",
            ),
            outbox=Nowhere(),
            asker=self.asker,
            clock=self.clock,
            faults=Faults(),
            min_score=0.2,
            onlooker=self.live,
        )

    def _adopted(self, model: Model) -> None:
        self.adopted.append((model.manifest.name, threading.current_thread().name))

    def _open(self, settings: DetectSettings) -> Model:
        name = Path(settings.model).name
        if self.on_open is not None:
            self.on_open(name)
        if name not in self.shelf:
            raise ModelRefused(f"{settings.model} has no head", "Give another.")
        model = self.shelf[name]
        model.closed = False
        self.most_open = max(self.most_open, self.open_models())
        return model

    def open_models(self) -> int:
        return sum(not model.closed for model in self.shelf.values())

    def offers(self, **traits: object) -> Candidate:
        made = FakeModel("new", self.clock, closed=True, **traits)  # type: ignore[arg-type]
        self.shelf["new"] = made
        return candidate(made)

    @property
    def new(self) -> FakeModel:
        return self.shelf["new"]

    def show(self, frames: int = 1) -> None:
        for _ in range(frames):
            self.clock.advance(0.1)
            self.frames.give(Frame("yard", self.captured, IMAGE, self.clock.monotonic()))
            self.captured += 1

    def show_until(self, done: Future[object], frames: int = 100_000) -> None:
        for _ in range(frames):
            if done.done():
                return
            self.show()
        pytest.fail("it is not over")

    @contextmanager
    def running(self) -> Iterator[ThreadPoolExecutor]:
        judge = threading.Thread(target=self.pipeline.run, name="judge")
        judge.start()
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="worker") as worker:
                yield worker
        finally:
            self.pipeline.stop()
            judge.join(BOUND_S)
            assert not judge.is_alive()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def settled(stage: Stage, frames: int = 40) -> None:
    """The old model sets its standard; one frame more is taken so that the last of them is surely done."""
    stage.show(frames + 1)


def test_latency_is_that_of_the_current_model(stage: Stage) -> None:
    assert stage.live.latency_ms() is None
    with stage.running():
        settled(stage)
    latency = stage.live.latency_ms()
    assert latency is not None
    assert latency >= 0.0


def test_a_trial_of_an_equal_passes_and_closes_it(stage: Stage) -> None:
    with stage.running() as worker:
        done = worker.submit(stage.live.trial, stage.offers(), GATES, NEVER)
        stage.show_until(done)
        figures = done.result()
    assert figures.frames == 10
    assert figures.agreement == 1
    assert stage.new.closed
    assert not stage.old.closed
    assert stage.old.seen == stage.captured, "the judge missed nothing"
    assert stage.adopted == []


def test_a_trial_keeps_to_its_share_of_a_core(stage: Stage) -> None:
    """At a share of a tenth and .1 s a run, a run comes after each second; frames come each tenth."""
    with stage.running() as worker:
        gates = Gates(shadow_frames=10, shadow_cpu_share=0.1).model_copy(update=TIMELESS)
        began = stage.clock.monotonic()
        done = worker.submit(stage.live.trial, stage.offers(latency_s=0.1), gates, NEVER)
        stage.show_until(done)
    assert stage.clock.monotonic() - began > 9.0


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({"people": 0}, "finds 0.00 objects a frame"),
        ({"people": 18}, "more than 4 times"),
        ({"failure": InferenceFailed("'head' is NaN")}, "it failed on a live frame: 'head' is NaN"),
        ({"labels": ("car",)}, "does not know what rules look for: person"),
    ],
)
def test_a_trial_stops_what_would_do_harm(stage: Stage, traits: dict[str, object], reason: str) -> None:
    with stage.running() as worker:
        done = worker.submit(stage.live.trial, stage.offers(**traits), GATES, NEVER)
        stage.show_until(done)
        with pytest.raises(CandidateRejected, match=reason):
            done.result()
        settled(stage)
    assert stage.new.closed
    assert stage.old.seen == stage.captured


def test_a_trial_can_be_cancelled_before_any_frame_came(stage: Stage) -> None:
    with stage.running() as worker:
        cancel = threading.Event()
        done = worker.submit(stage.live.trial, stage.offers(), GATES, cancel.is_set)
        cancel.set()
        assert done.result(BOUND_S).frames == 0
    assert stage.new.closed


def test_a_trial_that_is_left_out_opens_nothing(stage: Stage) -> None:
    assert stage.live.trial(stage.offers(), Gates(shadow_frames=0), NEVER).frames == 0
    assert stage.new.seen == 0


def test_a_switch_happens_between_two_frames_and_loses_none(stage: Stage) -> None:
    with stage.running() as worker:
        settled(stage, 10)
        worker.submit(stage.live.switch, stage.offers(), None).result(BOUND_S)
        stage.show(10)
        stage.show()
    assert stage.adopted == [("new", "judge")]
    assert stage.old.closed
    assert stage.old.seen + stage.new.seen == stage.captured
    assert stage.new.seen >= 10
    assert set(stage.new.asked_from) == {0.25}, "its manifest calls what lies below noise"


def test_what_can_not_be_opened_or_is_another_file_changes_nothing(stage: Stage) -> None:
    good = stage.offers()
    other = Candidate(good.ref.model_copy(update={"digest": digest("other")}), good.folder)
    for call in (lambda one: stage.live.trial(one, GATES, NEVER), lambda one: stage.live.switch(one, None)):
        with pytest.raises(CandidateRejected, match=r"not sha256:"):
            call(other)
        assert stage.new.closed
    stage.shelf.clear()
    with pytest.raises(CandidateRejected, match=r"ModelRefused: .*has no head"):
        stage.live.switch(good, None)
    assert stage.adopted == []
    assert not stage.old.closed


def test_a_judge_that_never_comes_back_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.app.live_model.SWITCH_S", 0.01)
    with pytest.raises(JudgeStuck, match="can't be switched"):
        stage.live.switch(stage.offers(), None)
    assert stage.new.closed
    with stage.running():
        settled(stage, 3)
    assert stage.new.seen == 0, "what was withdrawn is not taken up later"


def probation_of(stage: Stage, frames_before: int = 60, **traits: object) -> Future[None]:
    with stage.running() as worker:
        settled(stage, frames_before)
        worker.submit(stage.live.switch, stage.offers(**traits), None).result(BOUND_S)
        looks = Looks()
        done = worker.submit(stage.live.watch, GATES, looks)
        looks.show(stage, done)
    return done


def test_probation_lets_a_sound_model_stay(stage: Stage) -> None:
    assert probation_of(stage).exception() is None
    assert stage.new.seen >= GATES.probation_frames


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({"failure": InferenceFailed("'head' is NaN")}, r"it failed on \d+ of \d+ frames: 'head' is NaN"),
        ({"people": 0}, "in its quietest time"),
        ({"people": 18}, "in its busiest time"),
    ],
)
def test_probation_finds_what_does_harm(stage: Stage, traits: dict[str, object], reason: str) -> None:
    with pytest.raises(CandidateRejected, match=reason):
        probation_of(stage, **traits).result()


def test_a_probation_can_be_left(stage: Stage) -> None:
    stage.live.watch(GATES, lambda: True)


def test_a_judge_that_hangs_in_probation_is_seen_from_outside(stage: Stage) -> None:
    stage.captured = 100
    stage.clock.advance(STALLED_S + 1)
    with pytest.raises(CandidateRejected, match="no frame was judged for 31 s"):
        stage.live.watch(GATES, NEVER)


def test_a_failing_model_does_not_end_the_run_before_it_can_be_taken_back(stage: Stage) -> None:
    with stage.running() as worker:
        settled(stage, 5)
        worker.submit(stage.live.switch, stage.offers(failure=InferenceFailed("broken")), None).result(BOUND_S)
        stage.show(FAILURES_IN_A_ROW + 10)
        back = FakeModel("back", stage.clock, closed=True)
        stage.shelf["back"] = back
        worker.submit(stage.live.switch, candidate(back), None).result(BOUND_S)
        settled(stage, 5)
    assert back.seen >= 5


def test_a_failing_model_that_nobody_takes_back_ends_the_run(stage: Stage) -> None:
    stage.live.judged(Frame("yard", 0, IMAGE, 0.0), no_detections(LABELS), 0.01)
    stage.old.failure = InferenceFailed("broken")
    stage.clock.advance(TAKE_BACK_S + 1)
    frame = Frame("yard", 0, IMAGE, stage.clock.monotonic())
    for _ in range(FAILURES_IN_A_ROW - 1):
        stage.pipeline.judge(frame)
    with pytest.raises(InferenceFailed, match="broken"):
        stage.pipeline.judge(frame)


def test_the_floor_is_the_higher_of_the_trackers_and_the_models(stage: Stage) -> None:
    assert judging_floor(0.2, stage.old.manifest) == 0.2
    stage.offers()
    assert judging_floor(0.2, stage.new.manifest) == 0.25


def test_the_new_models_own_band_decides_what_is_asked() -> None:
    book = RuleBook(
        (RuleSettings(name="people", labels=("person",)),), (), AskPolicySettings(), (0.3, 0.6), lambda: "0" * 32
    )
    chosen = RuleBook(
        (RuleSettings(name="people", labels=("person",)),),
        (),
        AskPolicySettings(uncertain=(0.2, 0.3)),
        (0.3, 0.6),
        lambda: "0" * 32,
    )
    track = Track(
        id=1,
        label="person",
        score=0.65,
        best_score=0.65,
        box=(0.1, 0.1, 0.3, 0.5),
        first_at=0,
        last_at=10,
        hits=50,
        seen_now=True,
    )
    for rules, asks in ((book, 1), (chosen, 0)):
        rules.follow_model((0.4, 0.7))
        asked = [ask for at in range(1, 12) for ask in rules.step("yard", [track], float(at), WALL).asks]
        assert len(asked) == asks


def test_an_alert_names_the_model_that_judged_when_it_was_decided(tmp_path: Path) -> None:
    speaker = boot()
    kept = outbox(tmp_path / "outbox.db", boot=speaker)
    kept.open()
    kept.record([change(1)])
    speaker.model_digest = digest("new")
    kept.record([change(2)])
    told = [decode(Alert, queued.payload).model_digest for queued in kept.after(0, 10)]
    kept.close()
    assert told == [DIGEST, digest("new")]


# --- one model at a time ---


@pytest.fixture
def small() -> Stage:
    return Stage(Swap.IN_PLACE)


def test_a_swap_in_place_never_holds_two_models_and_goes_on_with_the_new_one(small: Stage) -> None:
    by: list[str] = []
    with small.running() as worker:
        settled(small, 10)
        small.offers()
        small.on_open = lambda name: by.append(f"{name} by {threading.current_thread().name}")
        worker.submit(small.live.switch, candidate(small.new), None).result(BOUND_S)
        settled(small, 10)
    assert by == ["new by judge"]
    assert small.most_open == small.open_models() == 1
    assert small.adopted == [("new", "judge")]
    assert small.old.seen + small.new.seen == small.captured
    assert set(small.new.asked_from) == {0.25}


def test_while_no_model_is_open_the_newest_frame_waits(small: Stage) -> None:
    """Real slots: what comes during the swap is captured, and the last of it is judged."""
    slots = FrameSlots()
    slot = slots.add("yard")
    judged: list[int] = []

    def come(*indices: int) -> None:
        for index in indices:
            slot.put(Frame("yard", index, IMAGE, small.clock.monotonic()))

    class Seen(OnlookerOf):
        def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
            super().judged(frame, detections, inference_s)
            judged.append(frame.index)
            if frame.index == 0:
                swap.set()
            if frame.index == 9:
                small.pipeline.stop()

    swap = threading.Event()
    small.pipeline._frames = slots
    small.pipeline._onlooker = Seen(small.live)
    small.inbox._wake = slots.wake
    new = small.offers()
    small.on_open = lambda _: come(*range(1, 10))
    judge = threading.Thread(target=small.pipeline.run, name="judge", daemon=True)
    judge.start()
    come(0)
    assert swap.wait(BOUND_S)
    small.live.switch(new, None)
    judge.join(BOUND_S)
    assert not judge.is_alive()
    assert judged == [0, 9]


def test_a_swap_in_place_that_fails_goes_on_with_the_model_before(small: Stage) -> None:
    with small.running() as worker:
        settled(small, 5)
        small.offers()
        refused = candidate(small.shelf.pop("new"))
        with pytest.raises(CandidateRejected, match=r"it can't be opened: ModelRefused: .*has no head"):
            worker.submit(small.live.switch, refused, None).result(BOUND_S)
        settled(small, 5)
    assert not small.old.closed
    assert small.adopted == [("old", "judge")]
    assert small.old.seen == small.captured
    assert small.most_open == 1


def test_where_neither_model_opens_it_is_named_and_the_judge_ends(small: Stage) -> None:
    ended: list[NoModelOpens] = []

    def run() -> None:
        try:
            small.pipeline.run()
        except NoModelOpens as lost:
            ended.append(lost)

    judge = threading.Thread(target=run, name="judge", daemon=True)
    judge.start()
    settled(small, 5)
    gone = candidate(FakeModel("new", small.clock))
    del small.shelf["old"]
    with pytest.raises(
        NoModelOpens, match=r"/models/new has no head; nor can the model before: .*/models/old has no"
    ):
        small.live.switch(gone, None)
    judge.join(BOUND_S)
    assert not judge.is_alive()
    assert len(ended) == 1
    assert small.old.closed


@pytest.mark.parametrize(("left", "most_open"), [(131.9, 1), (132.0, 2), (None, 2)])
def test_auto_goes_by_the_memory_that_is_left(stage: Stage, left: float | None, most_open: int) -> None:
    stage.memory_left = left
    with stage.running() as worker:
        settled(stage, 5)
        worker.submit(stage.live.switch, stage.offers(), 100.0).result(BOUND_S)
        settled(stage, 5)
    assert stage.most_open == most_open
    assert stage.adopted == [("new", "judge")]
    assert stage.open_models() == 1


def test_the_gap_of_a_switch_is_from_the_last_answer_to_the_first(small: Stage) -> None:
    judged = threading.Semaphore(0)

    class Counting(OnlookerOf):
        def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
            super().judged(frame, detections, inference_s)
            judged.release()

    small.pipeline._onlooker = Counting(small.live)
    assert small.live.handover() is None
    with small.running() as worker:
        small.show()
        assert judged.acquire(timeout=BOUND_S)
        new = small.offers()
        small.on_open = lambda _: small.clock.advance(0.5)
        worker.submit(small.live.switch, new, None).result(BOUND_S)
        assert str(small.live.handover()) == "opened in place"
        small.show()
        assert judged.acquire(timeout=BOUND_S)
    handover = small.live.handover()
    assert handover is not None
    # The swap, the next frame's coming a tenth later, and its inference; nothing in between.
    assert handover.gap_ms == pytest.approx(1000 * (0.5 + 0.1 + LATENCY_S))
    assert str(handover) == "opened in place; 610 ms from the last answer of that one to its first"


def test_without_memory_for_two_there_is_no_trial_and_labels_are_checked_all_the_same(
    small: Stage, tmp_path: Path
) -> None:
    new = small.offers()
    folder = Candidate(new.ref, tmp_path)
    (tmp_path / "manifest.json").write_text(small.new.manifest.model_dump_json(), "utf-8")
    assert small.live.why_untried(folder, 100.0) == 'no trial on live frames: updates.swap is "in-place"'
    small.offers(labels=("car",))
    (tmp_path / "manifest.json").write_text(small.new.manifest.model_dump_json(), "utf-8")
    with pytest.raises(CandidateRejected, match="does not know what rules look for: person"):
        small.live.why_untried(folder, 100.0)
    (tmp_path / "manifest.json").write_text("{", "utf-8")
    with pytest.raises(CandidateRejected, match="its manifest can't be read"):
        small.live.why_untried(folder, 100.0)
    assert small.most_open == 1


def test_a_trial_is_run_where_memory_allows_it(stage: Stage) -> None:
    stage.memory_left = 1000.0
    assert stage.live.why_untried(stage.offers(), 100.0) is None


# --- asking what two models disagree about ---

ASKING = GATES.model_copy(update={"ask_disagreements": 6, "min_agreement": 0.9})


def tried_with_answers(stage: Stage, decision: Decision | None, **traits: object) -> Future[object]:
    """A trial in which the cloud says the same of every object in question; None: it never answers."""
    answered = 0
    with stage.running() as worker:
        done = worker.submit(stage.live.trial, stage.offers(**traits), ASKING, NEVER)
        for _ in range(100_000):
            if done.done():
                break
            stage.show()
            for ask, _ in stage.asker.asks[answered:]:
                answered += 1
                if decision is not None:
                    assert stage.live.heard(answer_to(ask, decision))
        else:
            pytest.fail("it is not over")
    return done


def answer_to(ask: Ask, decision: Decision) -> Answer:
    return Answer(ask.id, ask.alert_id, decision, ask.label, 0.9, ask.box, DecidedBy.CLOUD, "large 1", "")


def test_a_candidate_that_finds_more_and_is_right_need_not_agree(stage: Stage) -> None:
    figures = tried_with_answers(stage, Decision.CONFIRMED, people=10).result()
    assert (figures.asked, figures.candidate_right, figures.current_right) == (6, 6, 0)
    assert figures.agreement < ASKING.min_agreement
    asks = [ask for ask, _ in stage.asker.asks]
    assert {ask.reason for ask in asks} == {AskReason.DISAGREEMENT}
    assert {ask.alert_id for ask in asks} == {None}
    assert {ask.model_digest for ask in asks} == {digest("new")}, "it names the model that found it"
    assert len({ask.box for ask in asks}) == 6, "no object is asked about twice"
    assert stage.old.seen == stage.captured


def test_a_candidate_that_finds_more_and_is_wrong_is_refused(stage: Stage) -> None:
    with pytest.raises(CandidateRejected, match="the cloud found it right in 0 of 6 disagreements with the current"):
        tried_with_answers(stage, Decision.RETRACTED, people=10).result()


def test_a_candidate_that_misses_what_is_there_is_refused(stage: Stage) -> None:
    stage.old.people = 10
    with pytest.raises(CandidateRejected, match="the cloud found it right in 0 of 6"):
        tried_with_answers(stage, Decision.CONFIRMED, people=4).result()
    assert {ask.model_digest for ask, _ in stage.asker.asks} == {digest("old")}


def test_without_answers_the_gates_decide_as_they_did(stage: Stage) -> None:
    with pytest.raises(CandidateRejected, match="it agrees with the current model by"):
        tried_with_answers(stage, None, people=10).result()


def test_an_answer_that_comes_after_the_trial_is_nobodys(stage: Stage) -> None:
    tried_with_answers(stage, Decision.CONFIRMED, people=10)
    assert not stage.live.heard(answer_to(stage.asker.asks[0][0], Decision.CONFIRMED))


def test_nothing_is_asked_where_masks_hide_it(stage: Stage) -> None:
    polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    stage.lane.masks = MaskFilter((MaskSettings(camera="yard", polygon=polygon),), "yard")
    with pytest.raises(CandidateRejected, match="it agrees"):
        tried_with_answers(stage, Decision.CONFIRMED, people=10).result()
    assert stage.asker.asks == []


def test_nothing_is_asked_where_the_rollout_does_not_say_so(stage: Stage) -> None:
    with stage.running() as worker:
        done = worker.submit(stage.live.trial, stage.offers(people=10), GATES, NEVER)
        stage.show_until(done)
    assert done.result().asked == 0
    assert stage.asker.asks == []


def audited(stage: Stage, model: FakeModel, frames: int, matched: int) -> None:
    """The cloud looked at so many of its frames, and saw four objects in each."""
    for number in range(frames):
        audit = cloud_audit(number, model_digest=digest(model.name))
        found = matched + number % 2
        stage.live.audited(audit, audit_outcome(audit, LabelCounts(label="person", matched=found, shown=4, there=4)))


@contextmanager
def watched(stage: Stage) -> Iterator[Future[None]]:
    """A probation that is judged by audits long before its frames are over."""
    enough = threading.Event()
    gates = GATES.model_copy(update={"probation_frames": 10_000})
    with stage.running() as worker:
        settled(stage)
        worker.submit(stage.live.switch, stage.offers(), None).result(BOUND_S)
        try:
            done = worker.submit(stage.live.watch, gates, enough.is_set)
            stage.show(12)
            yield done
        finally:
            enough.set()


def test_audits_of_both_models_are_held_against_each_other_in_probation(stage: Stage) -> None:
    with watched(stage) as done:
        audited(stage, stage.old, 40, matched=3)
        audited(stage, FakeModel("another", stage.clock), 40, matched=0)
        assert not done.done(), "outcomes of a model that is neither say nothing"
        audited(stage, stage.new, 20, matched=0)
        with pytest.raises(CandidateRejected, match=r"audits put its F1 at 0.1\d \(on \d+ frames\)"):
            done.result(BOUND_S)


def test_late_outcomes_of_the_model_before_still_count(stage: Stage) -> None:
    with watched(stage) as done:
        audited(stage, stage.new, 20, matched=0)
        assert not done.done(), "there is nothing to hold them against"
        audited(stage, stage.old, 40, matched=3)
        with pytest.raises(CandidateRejected, match="audits put its F1"):
            done.result(BOUND_S)


def test_frames_are_drawn_more_often_while_a_model_is_on_probation(stage: Stage) -> None:
    factors: list[float] = []

    def enough() -> bool:
        factors.append(stage.live.audit_factor)
        return True

    stage.live.watch(GATES, enough)
    assert factors == [GATES.audit_factor]
    assert stage.live.audit_factor == 1.0


def cloud_audit(number: int, **changes: object) -> Audit:
    given: dict[str, object] = {
        "message_id": f"{number:032x}", "device": "cam-1", "made_at": WALL, "boot_id": "b" * 32, "boot_seq": 1,
        "camera": "yard", "kind": FrameKind.CONFIDENT, "probability": 0.1, "number": 1, "walked": 9,
        "labels": ("person",), "seen_at": WALL, "deadline_ms": 1000, "model_digest": DIGEST,
    }  # fmt: skip
    return Audit.model_validate(given | changes)


def audit_outcome(audit: Audit, *counts: LabelCounts) -> AuditOutcome:
    return AuditOutcome(
        message_id="1" * 32, device="cam-1", made_at=WALL, audit_id=audit.message_id, model="big 1", counts=counts
    )
