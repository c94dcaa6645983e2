"""`python -m bench.tracking`: what the device alone makes of a labelled clip, without a byte sent.

The agent's own pipeline judges the clip, second looks included, and everything is held against the labels: the
objects it stands behind, the scores of all it follows, its alerts, its identities, what it costs. Only the model is
replaced by its recorded answers, which `--cache` keeps, so that a second run takes seconds.

Tune on the first half and report on the second: `--half first` and `--half second`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import cv2
import numpy as np

from agent.ask.budget import AskBudget, BudgetSettings
from agent.ask.gain import FORM, NAMES, Case, Gains, by_hand, gains_of
from agent.ask.object_settings import ObjectSettings, Shown
from agent.ask.objects import ObjectQuestions
from agent.ask.settings import AskSettings
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import AskPolicySettings, RuleSettings
from agent.deliver.faults import Faults
from agent.detect.budget import LookBudget, Pace
from agent.detect.looks import SecondLooks
from agent.detect.movement import Movement
from agent.detect.settings import GOOD_LOOKS, LookSettings
from agent.domain import AlertChange, Ask, Frame, Track
from agent.judging.inbox import Inbox
from agent.judging.lane import Lane, Stages
from agent.pipeline import Pipeline
from agent.track import Tracker, TrackSettings, standing
from bench.labelled import FRAMES, labels_or_why_not
from bench.recorded import RecordedDetector
from vision.accuracy import Floats, Tally, Truth
from vision.detections import Image
from vision.detector import open_detector
from wire.errors import VedetteError
from wire.messages import AlertEvent
from wire.model import Gain
from workbench.clip import demo_clip
from workbench.replay.events import AlertFigures, People, alert_figures, identity_switches, read_people

CAMERA: Final = "clip"
LABEL: Final = "person"
HALVES: Final = {
    "first": range(FRAMES // 2),
    "second": range(FRAMES // 2, FRAMES),
    "all": range(FRAMES),
}
NOWHERE: Final = np.zeros((0, 4))
SHOWN: Final = AskSettings(url="http://127.0.0.1")
REPEATS: Final = 10
"""Of weighing a candidate, which takes a microsecond or two."""
TIMED: Final = 10
"""At every so many frames, an inference is timed."""
CACHE: Final = Path("~/.cache/vedette/bench/recorded.npz")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run on a labelled clip gave.

    Attributes:
        precision, recall, f1: Of the objects that the device stands behind, with no threshold.
        ap50: Of all objects that it follows, ordered by its belief in them.
        best_f1: At the best threshold of belief.
        invokes: Inferences a frame.
        policy_ms: The median of all that is neither inference nor the first look's: choosing and putting together
            second looks, tracking, deciding.
        asking_ms: The median of choosing questions about objects, none of which is sent or answered.
        gain_us: Of that, weighing one candidate, by hand and by weights that a model brings.
        inference_ms: The median of some inferences between the frames, to hold the policy against.
        switches: How often a person goes on under another number.
    """

    frames: int
    precision: float
    recall: float
    f1: float
    ap50: float
    best_f1: float
    invokes: float
    policy_ms: float
    asking_ms: float
    gain_us: tuple[float, float]
    inference_ms: float
    switches: int
    alerts: AlertFigures


@dataclass(slots=True)
class Walk:
    """What the pipeline did; plays its supply, its outbox, its clock, its asker and its audience."""

    now: float = 0.0
    frame: int = 0
    tracks: dict[int, tuple[Track, ...]] = field(default_factory=dict)
    raised: list[tuple[int, int]] = field(default_factory=list)
    """Frame and track of each new alert."""

    def take(self, timeout_s: float) -> Frame | None:
        """None: frames are handed to the pipeline one by one."""
        del timeout_s
        return None

    def wake(self) -> None:
        """Nobody sleeps."""

    def record(self, changes: Sequence[AlertChange]) -> None:
        """Note new alerts."""
        self.raised += [(self.frame, change.track) for change in changes if change.event is AlertEvent.NEW]

    def submit(self, ask: Ask, frame: Frame) -> bool:
        """Take a question to nobody."""
        del ask, frame
        return True

    def submit_picture(self, change: AlertChange, frame: Frame) -> None:
        """No picture is asked for."""

    def monotonic(self) -> float:
        """The time of the frame at hand."""
        return self.now

    def wall(self) -> datetime:
        """Any day: the rule holds always."""
        return datetime(2026, 1, 1, 12, tzinfo=UTC)

    def followed(self, frame: Frame, tracks: Sequence[Track], looks: int) -> None:
        """Note what is followed."""
        del looks
        self.tracks[frame.index] = tuple(tracks)


@dataclass(frozen=True, slots=True)
class Clip:
    """A labelled clip.

    Attributes:
        size: Width and height, in pixels.
    """

    file: Path
    size: tuple[int, int]
    fps: float
    people: dict[int, People]

    @property
    def scale(self) -> Floats:
        """From shares of the frame to pixels."""
        return np.array(self.size * 2, float)

    def pictures(self, frames: range) -> Iterator[tuple[int, Image]]:
        """Those frames and their indices, decoded one by one."""
        video = cv2.VideoCapture(str(self.file))
        for index in range(frames.stop):
            read, image = video.read()
            if not read:
                return
            if index >= frames.start:
                yield index, cast("Image", image)


def read_clip(file: Path, labels: Path) -> Clip:
    """The clip and its labels."""
    video = cv2.VideoCapture(str(file))
    size = (int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    return Clip(file, size, float(video.get(cv2.CAP_PROP_FPS)), read_people(labels))


def run(
    clip: Clip, frames: range, detector: RecordedDetector, looks: LookSettings, tracking: TrackSettings
) -> Figures:
    """Judge the frames as a device does that was started at the first of them, and hold it against the labels."""
    walk = Walk()
    ids, cases = itertools.count(), list[Case]()
    pipeline = Pipeline(
        frames=walk,
        inbox=Inbox(walk.wake),
        detector=detector,
        lanes={CAMERA: Lane(Tracker(tracking), MaskFilter((), CAMERA), movement=Movement())},
        rules=RuleBook(
            (RuleSettings(name="anyone", labels=(LABEL,)),), (), None, (0.0, 1.0), lambda: f"{next(ids):032x}"
        ),
        outbox=walk,
        asker=walk,
        clock=walk,
        faults=Faults(),
        min_score=tracking.low_score,
        looks=SecondLooks(LookBudget(looks, {CAMERA: Pace(waits=True)}), detector.size) if looks.per_frame else None,
        audience=walk,
        objects=ObjectQuestions(
            ObjectSettings(),
            Shown(SHOWN.margins, SHOWN.question_min_px),
            AskBudget(BudgetSettings(bytes="unlimited", questions_per_minute=6000), None, 0.0),
            deadline_s=AskPolicySettings().deadline_s,
            new_id=lambda: f"{next(ids):032x}",
            on_asked=lambda _, case: cases.append(case),
        ),
    )
    policy_s, asking_s, inference_s = [], [], []
    asked = detector.asked
    for index, image in clip.pictures(frames):
        walk.frame, walk.now = index, index / clip.fps
        detector.show(index, image)
        before, asked_s = _policy_s(pipeline.stages) - detector.spent_s, pipeline.stages.choose
        pipeline.judge(Frame(CAMERA, index, image, walk.now))
        policy_s.append(_policy_s(pipeline.stages) - detector.spent_s - before)
        asking_s.append(pipeline.stages.choose - asked_s)
        if index % TIMED == 0:
            inference_s.append(detector.timed(image))
    costs = [1000 * statistics.median(one) for one in (policy_s, asking_s, inference_s)]
    learnt = gains_of(Gain(features=FORM, weights=(0.5,) * len(NAMES)))
    return _figures(
        clip, frames, walk, detector.asked - asked, costs, (_gain_us(by_hand, cases), _gain_us(learnt, cases))
    )


def _gain_us(gains: Gains, cases: Sequence[Case]) -> float:
    """The median time of weighing one of them, in µs."""
    times = []
    for case in cases:
        began = time.perf_counter()
        for _ in range(REPEATS):
            gains(case)
        times.append((time.perf_counter() - began) / REPEATS)
    return 1e6 * statistics.median(times) if times else 0.0


def _policy_s(stages: Stages) -> float:
    return stages.detect + stages.look + stages.track + stages.decide


def _figures(
    clip: Clip, frames: range, walk: Walk, invokes: int, costs: Sequence[float], gain_us: tuple[float, float]
) -> Figures:
    followed = {frame: _people(walk.tracks[frame], clip) for frame in frames}
    stood = {frame: _people(standing(walk.tracks[frame]), clip) for frame in frames}
    accuracy = _tally(clip, followed).accuracy()
    objects = _tally(clip, stood).counts(0.0)
    precision, recall = objects.precision or 0.0, objects.recall or 0.0
    places = {frame: {number: box for number, (_, box) in found.items()} for frame, found in followed.items()}
    stood_places = {frame: {number: box for number, (_, box) in found.items()} for frame, found in stood.items()}
    return Figures(
        frames=len(frames),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(precision + recall, 1e-9),
        ap50=accuracy.ap50,
        best_f1=accuracy.best_f1,
        invokes=invokes / len(frames),
        policy_ms=costs[0],
        asking_ms=costs[1],
        gain_us=gain_us,
        inference_ms=costs[2],
        switches=identity_switches(clip.people, stood_places, frames),
        alerts=alert_figures(clip.people, places, walk.raised, frames, clip.fps),
    )


def _tally(clip: Clip, found: Mapping[int, Mapping[int, tuple[float, Floats]]]) -> Tally:
    """What was found, by frame and track, held against the labels."""
    tally = Tally()
    for frame, tracks in found.items():
        people = clip.people.get(frame)
        truth = Truth(NOWHERE, np.zeros(0, np.bool_), NOWHERE)
        if people is not None:
            truth = Truth(people.boxes, people.counts, NOWHERE)
        scores = np.array([score for score, _ in tracks.values()], float)
        tally.add(truth, scores, np.array([box for _, box in tracks.values()], float).reshape(-1, 4))
    return tally


def _people(tracks: Sequence[Track], clip: Clip) -> dict[int, tuple[float, Floats]]:
    return {track.id: (track.belief, np.array(track.box) * clip.scale) for track in tracks if track.label == LABEL}


def clip_parser(module: str, document: str | None) -> argparse.ArgumentParser:
    """The options that every measurement on the labelled clip has."""
    told = document.splitlines()[0] if document else ""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=told)
    parser.add_argument("--half", choices=tuple(HALVES), default="second", help="which part of the clip")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the model's answers are kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 where there are no labels, or the model can't be opened."""
    parser = clip_parser("bench.tracking", __doc__)
    parser.add_argument("--looks", type=float, default=GOOD_LOOKS, help="second looks a frame")
    parser.add_argument("--model", default="default", help="a model's name or path")
    chosen = parser.parse_args(arguments)
    labels = labels_or_why_not()
    if labels is None:
        return 1
    try:
        clip = read_clip(demo_clip(_say).path, labels)
        model = open_detector(chosen.model)
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return 1
    detector = RecordedDetector(model, chosen.cache.expanduser())
    figures = run(clip, HALVES[chosen.half], detector, LookSettings(per_frame=chosen.looks), TrackSettings())
    detector.save()
    print(json.dumps(asdict(figures)) if chosen.json else _for_people(figures))
    return 0


def _for_people(figures: Figures) -> str:
    alerts = figures.alerts
    delay = "–" if alerts.delay_s is None else f"{alerts.delay_s:.1f} s"
    told = f"in time {alerts.in_time:.2f}, precision {alerts.precision:.2f}, duplicates {alerts.duplicates:.2f} each"
    costs = (
        f"choosing questions {figures.asking_ms:.2f} ms; one inference {figures.inference_ms:.2f} ms in the same run"
    )
    by_hand_us, learnt_us = figures.gain_us
    lines = (
        f"{figures.frames} frames, {figures.invokes:.2f} inferences a frame",
        f"policy     {figures.policy_ms:.2f} ms a frame, {costs}",
        f"gain       {by_hand_us:.1f} µs a candidate by hand, {learnt_us:.1f} µs by learnt weights",
        f"objects    F1 {figures.f1:.3f}, precision {figures.precision:.3f}, recall {figures.recall:.3f}",
        f"scores     AP50 {figures.ap50:.3f}, best F1 {figures.best_f1:.3f}",
        f"identities {figures.switches} switches",
        f"alerts     {alerts.alerts} about {alerts.events} people: {told}, median delay {delay}",
    )
    return "\n".join(lines)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
