"""`python -m bench.context`: what the cloud makes of whole frames and of cut-outs, of objects that are asked about.

The device's default model judges every EVERYth frame of the labelled clip. Each uncertain person is shown to the
cloud's default model as a question shows it, as a cut-out and with the whole frame. The cloud is right where it
confirms a box that lies over a labelled person as well as it wants its own to lie, or retracts another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, cast

import cv2
import numpy as np

from agent.adapters.crops import encode_jpeg
from agent.ask.crop import crop_of_question
from agent.ask.questions import question_message
from agent.ask.settings import AskSettings
from agent.boxes import overlap
from agent.decide.doubt import leaves_in_doubt
from agent.domain import Answer, Ask, Box, Found, Frame
from agent.redact.door import PictureDoor
from agent.redact.settings import RedactionSettings
from agent.track import TrackSettings
from bench.labelled import labels_or_why_not
from bench.recorded import RecordedDetector
from bench.tracking import CAMERA, HALVES, LABEL, Clip, clip_parser, read_clip
from cloud.infer.default import DefaultDetector, InferSettings, open_default_detector
from cloud.offload.decide import DecideSettings, Judgement, decide, look_at
from cloud.offload.service import SURVEY_FROM
from cloud.offload.squaring import in_picture, squared
from vision.detections import Image
from vision.detector import open_detector
from wire.errors import VedetteError
from wire.messages import AskReason, DecidedBy, Decision
from workbench.clip import demo_clip

EVERY: Final = 4
ASKED: Final = (0.3, 0.6)
"""Scores of the default model's boxes that are worth a question."""
SHOWN: Final = AskSettings(url="http://127.0.0.1")
RULES: Final = DecideSettings()
ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
ID: Final = "0" * 32


@dataclass(frozen=True, slots=True)
class Asked:
    """One object that was asked about in both ways."""

    is_person: bool
    in_doubt: bool
    cut_out: Decision
    whole: Decision


@dataclass(slots=True)
class Verdicts:
    """How many objects were asked about, how many were people, and of how many the cloud was right."""

    asked: int = 0
    people: int = 0
    cut_out_right: int = 0
    whole_right: int = 0

    def add(self, one: Asked) -> None:
        """One more."""
        self.asked += 1
        self.people += one.is_person
        self.cut_out_right += (one.cut_out is Decision.CONFIRMED) == one.is_person
        self.whole_right += (one.whole is Decision.CONFIRMED) == one.is_person


def uncertain(clip: Clip, frames: range, detector: RecordedDetector) -> Iterator[Asked]:
    """Ask about every uncertain person of every EVERYth frame."""
    judge = open_default_detector(InferSettings())
    door = PictureDoor({CAMERA: RedactionSettings()}, lambda _camera: ())
    for index, image in clip.pictures(frames):
        people = clip.people.get(index)
        if index % EVERY or people is None:
            continue
        detector.show(index, image)
        frame, said = Frame(CAMERA, index, image, 0.0), detector.detect(image, TrackSettings().low_score)
        labelled = [cast("Box", tuple((box / clip.scale).tolist())) for box in people.boxes]
        for row in range(len(said)):
            if said.label(row) != LABEL or not ASKED[0] <= said.scores[row] < ASKED[1]:
                continue
            box = cast("Box", tuple(said.boxes[row].tolist()))
            cut_out, whole = (judged(judge, door, frame, box, context=context) for context in (False, True))
            yield Asked(
                is_person=any(overlap(box, person) >= RULES.min_iou for person in labelled),
                in_doubt=leaves_in_doubt(_answer(cut_out), box, LABEL),
                cut_out=cut_out.decision,
                whole=whole.decision,
            )
    judge.close()


def judged(judge: DefaultDetector, door: PictureDoor, frame: Frame, box: Box, *, context: bool) -> Judgement:
    """What the cloud makes of a question about a person in `box`, shown as a device shows it."""
    height, width = frame.image.shape[:2]
    ask = Ask(ID, ID, CAMERA, None, LABEL, 0.5, box, AskReason.UNCERTAIN, 0.0, 1.0, context=context)
    part = crop_of_question(ask, width=width, height=height, margins=SHOWN.margins, min_px=SHOWN.question_min_px)
    longest = SHOWN.context_px if context else SHOWN.max_crop_px
    jpeg = encode_jpeg(door.cut(frame, part, box), quality=SHOWN.question_quality, max_px=longest)
    shown = cast("Image", cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    question = question_message(
        ask,
        region=part.region(width, height),
        device="bench",
        boot_id=ID,
        boot_seq=1,
        made_at=ANY_DAY,
        seen_at=ANY_DAY,
        model_digest=f"sha256:{0:064x}",
    )
    view = look_at(question, shown.shape[1], shown.shape[0], RULES)
    made = squared(shown[view.top : view.bottom, view.left : view.right])
    return decide(question, in_picture(judge.detect(made.image, SURVEY_FROM), made), view.region, RULES)


def _answer(judgement: Judgement) -> Answer:
    found = tuple(Found(one.label, one.score, one.box) for one in judgement.found)
    decided = (judgement.decision, judgement.label, judgement.score, judgement.box)
    return Answer(ID, ID, *decided, DecidedBy.CLOUD, "", judgement.reason, judgement.looked, found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 where there are no labels, or a model can't be opened."""
    parser = clip_parser("bench.context", __doc__)
    chosen = parser.parse_args(arguments)
    labels = labels_or_why_not()
    if labels is None:
        return 1
    every, in_doubt = Verdicts(), Verdicts()
    try:
        clip = read_clip(demo_clip(lambda line: print(line, file=sys.stderr)).path, labels)
        detector = RecordedDetector(open_detector("default"), chosen.cache.expanduser())
        for one in uncertain(clip, HALVES[chosen.half], detector):
            every.add(one)
            if one.in_doubt:
                in_doubt.add(one)
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return 1
    detector.save()
    result = {"all": asdict(every), "in doubt": asdict(in_doubt)}
    print(json.dumps(result) if chosen.json else json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
