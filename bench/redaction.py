"""`python -m bench.redaction`: whom redaction hides on a labelled clip, what it costs, and what it does to the cloud.

The agent's own pipeline judges the clip and tells the door, as on a device; each frame is then cut out of it whole,
and people's labels say who should have been hidden. A head is taken to be the middle half of the upper seventh of a
labelled person. The cloud's default model looks at some frames as an audit sends them, with and without heads.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import cv2
import numpy as np

from agent.adapters.crops import encode_jpeg
from agent.ask.crop import crop_around
from agent.decide.masks import MaskFilter
from agent.decide.rulebook import RuleBook
from agent.decide.settings import RuleSettings
from agent.deliver.faults import Faults
from agent.detect.budget import LookBudget, Pace
from agent.detect.looks import SecondLooks
from agent.detect.movement import Movement
from agent.detect.settings import GOOD_LOOKS, LookSettings
from agent.domain import Box, Frame
from agent.judging.inbox import Inbox
from agent.judging.lane import Lane
from agent.pipeline import Pipeline
from agent.redact.door import PictureDoor
from agent.redact.paint import HIDDEN, Polygon
from agent.redact.settings import RedactionSettings
from agent.track import Tracker, TrackSettings
from bench.labelled import labels_or_why_not
from bench.recorded import RecordedDetector
from bench.tracking import CAMERA, HALVES, LABEL, NOWHERE, Clip, Walk, clip_parser, read_clip
from cloud.infer.default import DefaultDetector, InferSettings, open_default_detector
from cloud.offload.decide import DecideSettings, decide, look_at
from vision.accuracy import Tally, Truth
from vision.detections import Image
from vision.detector import open_detector
from wire.errors import VedetteError
from wire.messages import AskReason, Decision, Hide, Question
from workbench.clip import demo_clip

HEAD: Final = 1 / 7
COVERED: Final = 0.9
"""Somebody, or a head, is hidden of which so much is painted over."""
EVERY: Final = 10
"""Of the frames, the cloud's model and the face finder look at every so many."""
CLOUD_SCORE: Final = 0.4
ASKED: Final = (0.3, 0.6)
"""Scores of the default model's boxes that are worth a question."""
ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
MASKS: Final[tuple[Polygon, ...]] = (
    ((0.0, 0.0), (0.3, 0.0), (0.2, 0.4), (0.0, 0.5)),
    ((0.8, 0.6), (1.0, 0.5), (1.0, 1.0), (0.7, 1.0)),
)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Whom a run hid.

    Attributes:
        people: Labelled people, over all frames.
        heads: Share of them of whose head COVERED or more is painted over.
        bodies: Share of them of whom COVERED or more is painted over.
        painted: Share of the picture that is painted over, on average.
    """

    hide: str
    looks: float
    people: int
    heads: float
    bodies: float
    painted: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The median of cutting a part out of a frame, copying included, in µs."""

    nothing_us: float
    masks_us: float
    heads_us: float
    all_but_asked_us: float
    crop_nothing_us: float
    crop_all_us: float
    encode_us: float


def hidden(clip: Clip, frames: range, detector: RecordedDetector, hide: Hide, looks: float) -> Hidden:
    """Judge the frames and cut each out of the door."""
    walk, ids = Walk(), itertools.count()
    door = PictureDoor({CAMERA: RedactionSettings(hide=hide)}, lambda _camera: ())
    tracking = TrackSettings()
    pipeline = Pipeline(
        frames=walk,
        inbox=Inbox(walk.wake),
        detector=detector,
        lanes={CAMERA: Lane(Tracker(tracking), MaskFilter((), CAMERA), movement=Movement() if looks else None)},
        rules=RuleBook(
            (RuleSettings(name="anyone", labels=(LABEL,)),), (), None, (0.0, 1.0), lambda: f"{next(ids):032x}"
        ),
        outbox=walk,
        asker=None,
        clock=walk,
        faults=Faults(),
        min_score=tracking.low_score,
        looks=SecondLooks(LookBudget(LookSettings(per_frame=looks), {CAMERA: Pace(waits=True)}), detector.size)
        if looks
        else None,
        door=door,
    )
    heads, bodies, painted = [], [], []
    for index, image in clip.pictures(frames):
        walk.frame, walk.now = index, index / clip.fps
        detector.show(index, image)
        frame = Frame(CAMERA, index, image, walk.now)
        pipeline.judge(frame)
        grey = (door.cut(frame).image == HIDDEN).all(axis=2)
        painted.append(float(grey.mean()))
        for box, counts in _labelled(clip, index):
            if counts:
                x1, y1, x2, y2 = (round(side) for side in _within(box, clip.size))
                quarter, tall = (x2 - x1) // 4, max(1, round((box[3] - box[1]) * HEAD))
                head = grey[y1 : y1 + tall, x1 + quarter : max(x2 - quarter, x1 + quarter + 1)]
                heads.append(bool(head.mean() >= COVERED))
                bodies.append(bool(grey[y1:y2, x1:x2].mean() >= COVERED))
    return Hidden(
        str(hide), looks, len(heads), statistics.fmean(heads), statistics.fmean(bodies), statistics.fmean(painted)
    )


def _labelled(clip: Clip, index: int) -> Iterator[tuple[list[float], bool]]:
    people = clip.people.get(index)
    if people is not None:
        yield from zip(people.boxes.tolist(), people.counts.tolist(), strict=True)


def _within(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    return [min(max(side, 0), size[place % 2] - 1) for place, side in enumerate(box)]


def cost(clip: Clip, detector: RecordedDetector) -> Cost:
    """Cut frame 400 often, each way."""
    index, image = next(clip.pictures(range(400, 401)))
    detector.show(index, image)
    frame, found = Frame(CAMERA, index, image, 0.0), detector.detect(image, TrackSettings().low_score)
    asked = (0.4, 0.3, 0.46, 0.55)
    part = crop_around(asked, width=clip.size[0], height=clip.size[1], margin=0.6, min_px=160)

    def timed(hide: Hide, masks: Sequence[Polygon], *, crop: bool) -> float:
        door = PictureDoor({CAMERA: RedactionSettings(hide=hide)}, lambda _camera: masks)
        door.seen(frame, found, ())
        return _median_us(lambda: door.cut(frame, part if crop else None, asked))

    plain = PictureDoor({CAMERA: RedactionSettings()}, lambda _camera: ()).cut(frame)
    return Cost(
        nothing_us=timed(Hide.NOTHING, (), crop=False),
        masks_us=timed(Hide.NOTHING, MASKS, crop=False),
        heads_us=timed(Hide.HEADS, MASKS, crop=False),
        all_but_asked_us=timed(Hide.ALL_BUT_ASKED, MASKS, crop=False),
        crop_nothing_us=timed(Hide.NOTHING, (), crop=True),
        crop_all_us=timed(Hide.ALL_BUT_ASKED, MASKS, crop=True),
        encode_us=_median_us(lambda: encode_jpeg(plain, quality=80, max_px=4096)),
    )


def _median_us(work: object) -> float:
    spent = []
    for _ in range(100):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        spent.append(1e6 * (time.perf_counter() - began))
    return statistics.median(spent)


@dataclass(frozen=True, slots=True)
class Cloud:
    """What the cloud makes of pictures of the same frames.

    Attributes:
        recall, precision, f1: Of its model on whole frames, as an audit sends them, held against the labels.
        asked: Boxes of people with scores of ASKED.
        confirmed: Of them, those that the cloud's rules confirm from the picture that a question shows.
    """

    frames: int
    recall: float
    precision: float
    f1: float
    asked: int
    confirmed: int


def cloud(clip: Clip, frames: range, detector: RecordedDetector, hide: Hide) -> Cloud:
    """Look at every EVERYth frame, at half size and q60, and answer questions about uncertain people in it."""
    judge, tally, looked, asked, confirmed = open_default_detector(InferSettings()), Tally(), 0, 0, 0
    door = PictureDoor({CAMERA: RedactionSettings(hide=hide)}, lambda _camera: ())
    for index, image in clip.pictures(frames):
        people = clip.people.get(index)
        if index % EVERY or people is None:
            continue
        detector.show(index, image)
        frame, said = Frame(CAMERA, index, image, 0.0), detector.detect(image, TrackSettings().low_score)
        door.seen(frame, said, ())
        jpeg = encode_jpeg(door.cut(frame), quality=60, max_px=clip.size[0] // 2)
        shown = cv2.resize(cast("Image", cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)), (640, 480))
        found = judge.detect(cast("Image", shown), CLOUD_SCORE)
        rows = [row for row in range(len(found)) if found.label(row) == LABEL]
        tally.add(
            Truth(people.boxes, people.counts, NOWHERE),
            found.scores[rows].astype(float),
            found.boxes[rows].astype(float) * clip.scale,
        )
        looked += 1
        for row in range(len(said)):
            if said.label(row) == LABEL and ASKED[0] <= said.scores[row] < ASKED[1]:
                asked += 1
                confirmed += _confirmed(judge, door, frame, cast("Box", tuple(said.boxes[row].tolist())))
    judge.close()
    counts = tally.counts(0.0)
    precision, recall = counts.precision or 0.0, counts.recall or 0.0
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return Cloud(looked, recall, precision, f1, asked, confirmed)


def _confirmed(judge: DefaultDetector, door: PictureDoor, frame: Frame, box: Box) -> bool:
    """Whether the cloud's rules confirm a person in `box`, from what a question about it would show."""
    height, width = frame.image.shape[:2]
    part = crop_around(box, width=width, height=height, margin=0.6, min_px=160)
    jpeg = encode_jpeg(door.cut(frame, part), quality=80, max_px=640)
    shown = cast("Image", cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    question = Question(
        message_id="0" * 32, device="bench", made_at=ANY_DAY, boot_id="0" * 32, boot_seq=1, alert_id="0" * 32,
        camera=CAMERA, label=LABEL, score=0.5, box=box, region=part.region(width, height),
        reason=AskReason.UNCERTAIN, seen_at=ANY_DAY, deadline_ms=1, model_digest="sha256:" + "0" * 64,
    )  # fmt: skip
    rules = DecideSettings()
    view = look_at(question, shown.shape[1], shown.shape[0], rules)
    seen = judge.detect(np.ascontiguousarray(shown[view.top : view.bottom, view.left : view.right]), rules.min_score)
    return decide(question, seen, view.region, rules).decision is Decision.CONFIRMED


def faces(clip: Clip, frames: range) -> dict[str, int]:
    """What the finders that OpenCV ships find on every EVERYth frame, and how often that is on somebody."""
    found = {"people": 0}
    for name in ("haarcascade_frontalface_default.xml", "haarcascade_profileface.xml", "haarcascade_upperbody.xml"):
        finder = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
        finds = right = 0
        for index, image in clip.pictures(frames):
            if index % EVERY:
                continue
            labelled = [box for box, counts in _labelled(clip, index) if counts]
            if name.startswith("haarcascade_frontal"):
                found["people"] += len(labelled)
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            for x, y, wide, high in finder.detectMultiScale(grey, 1.1, 3, minSize=(10, 10)):
                finds += 1
                middle = (x + wide / 2, y + high / 2)
                right += any(b[0] < middle[0] < b[2] and b[1] < middle[1] < b[3] for b in labelled)
        found[f"{name.removesuffix('.xml')}: finds"] = finds
        found[f"{name.removesuffix('.xml')}: on somebody"] = right
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 where there are no labels, or a model can't be opened."""
    parser = clip_parser("bench.redaction", __doc__)
    chosen = parser.parse_args(arguments)
    labels = labels_or_why_not()
    if labels is None:
        return 1
    try:
        clip = read_clip(demo_clip(lambda line: print(line, file=sys.stderr)).path, labels)
        detector = RecordedDetector(open_detector("default"), chosen.cache.expanduser())
        frames = HALVES[chosen.half]
        result = {
            "hidden": [
                asdict(hidden(clip, frames, detector, hide, looks))
                for hide in (Hide.HEADS, Hide.PEOPLE)
                for looks in (0.0, GOOD_LOOKS)
            ],
            "cost": asdict(cost(clip, detector)),
            "cloud": {str(hide): asdict(cloud(clip, frames, detector, hide)) for hide in (Hide.NOTHING, Hide.HEADS)},
            "faces": faces(clip, frames),
        }
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return 1
    detector.save()
    print(json.dumps(result) if chosen.json else json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
