"""From what the cloud's model sees in the picture to the verdict on the object in question. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from vision.detections import Detections
from wire.fields import Sighting
from wire.messages import MAX_FOUND, Decision, Hide, Question
from wire.pictures import SHOWN_AROUND

Box = tuple[float, float, float, float]
DIGITS: Final = 4
"""A ten-thousandth of a frame is below a pixel."""
LEAST_LIKELY: Final = 0.1
"""What is less likely is not worth its bytes."""

# Labels that a small model takes for one another. Within a family the object was there and only its name was wrong,
# so the alert stands under the better name; across families it was a mistake.
FAMILIES: Final[tuple[frozenset[str], ...]] = (
    frozenset({"car", "truck", "bus", "train"}),
    frozenset({"bicycle", "motorcycle"}),
    frozenset({"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}),
    frozenset({"backpack", "handbag", "suitcase"}),
    frozenset({"chair", "couch", "bench"}),
    frozenset({"tv", "laptop"}),
    frozenset({"cup", "bottle", "wine glass", "vase"}),
)


class DecideSettings(BaseModel):
    """When the cloud takes an object for the one in question.

    The defaults come from uncertain people in the demo clip's first half (206 boxes of the default device model with
    scores of .3 to .6). The device's box is often placed badly: asking for an overlap of .5 retracts 30 % of the
    people who are there, .35 retracts 14 %, with no more mistakes confirmed. Scores of .4 and .5 decide alike, .3
    confirms more mistakes. With a margin of .6, crops of 8 kB are judged as well as whole frames of 76 kB in tiles.

    Attributes:
        min_score: The cloud's own score from which it stands behind an object.
        min_iou: How well the cloud's box must lie over the box in question (intersection over union).
        margin: What is judged around the box in question, on each side, as part of the box's side.
        min_view_px: What is judged measures at least this much each way, where the picture does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_score: Annotated[float, Field(gt=0, le=1)] = 0.4
    min_iou: Annotated[float, Field(gt=0, le=1)] = 0.35
    margin: Annotated[float, Field(ge=0, le=10)] = 0.6
    min_view_px: Annotated[int, Field(ge=1)] = 48


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict's content; label, score and box are None where the cloud saw nothing.

    Attributes:
        box: x1, y1, x2, y2 in shares of the full frame.
        reason: Why, for a person.
        looked: The part of the full frame that was looked at, as far as it was to be seen.
        found: All that was seen there; each score says how likely it is that the object is there.
    """

    decision: Decision
    label: str | None
    score: float | None
    box: Box | None
    reason: str
    looked: Box = (0.0, 0.0, 1.0, 1.0)
    found: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    label: str
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class View:
    """The part of a question's picture that is judged.

    Attributes:
        left, top, right, bottom: Pixels of the picture; `right` and `bottom` are exclusive.
        region: The same part in shares of the full frame.
    """

    left: int
    top: int
    right: int
    bottom: int
    region: Box


def look_at(question: Question, width: int, height: int, settings: DecideSettings) -> View:
    """Where to look in the question's picture of `width` × `height` pixels.

    At the object, with some of what is around: a model sees an object best when it fills a good part of the picture,
    however much the device sent. At all of the picture where the device does not see the object itself, as what is
    mostly hidden shows only among what is around it; and where the device asks for that.
    """
    if question.context or question.reason.unseen:
        return View(0, 0, width, height, question.region)
    left, right = _span(question.box[0::2], question.region[0::2], width, settings)
    top, bottom = _span(question.box[1::2], question.region[1::2], height, settings)
    x1, y1, x2, y2 = question.region
    across, down = (x2 - x1) / width, (y2 - y1) / height
    region = (
        x1 + left * across,
        y1 + top * down,
        min(x1 + right * across, x2),
        min(y1 + bottom * down, y2),
    )
    return View(left, top, right, bottom, region)


def _span(
    box: tuple[float, ...], region: tuple[float, ...], length: int, settings: DecideSettings
) -> tuple[int, int]:
    """The view's pixels in one direction, of a picture that shows `region` in `length` pixels."""
    if region[1] <= region[0]:
        return 0, length
    pixels = length / (region[1] - region[0])
    start, end = (box[0] - region[0]) * pixels, (box[1] - region[0]) * pixels
    side = min(length, math.ceil(max((end - start) * (1 + 2 * settings.margin), settings.min_view_px)))
    first = min(max(math.floor((start + end - side) / 2), 0), length - side)
    return first, first + side


def decide(question: Question, seen: Detections, region: Box, settings: DecideSettings) -> Judgement:
    """Hold what is `seen` in the picture of `region` against the object in question.

    Confirmed if something of the asked label lies there, or failing that something that the asked label is easily
    taken for, then under its own name; retracted otherwise.
    """
    judgement = _about_the_object(question, seen, region, settings)
    looked = _told_of(question, region, settings)
    found = survey(seen, region, settings)
    if question.context:
        found = tuple(one for one in found if overlap(one.box, looked) > 0.0)
    return replace(judgement, looked=looked, found=found[:MAX_FOUND])


def _told_of(question: Question, region: Box, settings: DecideSettings) -> Box:
    """The part of a picture's part where something would have been seen: only there may its absence count.

    What is painted over is no such part. Nor is, of a whole frame, what is not close to the object: scaled down,
    other objects may be too small to be seen, and there may be more of them than a verdict can name.
    """
    if question.redaction is not None and question.redaction.hide is Hide.ALL_BUT_ASKED:
        around = SHOWN_AROUND
    elif question.context:
        around = settings.margin
    else:
        return region
    x1, y1, x2, y2 = question.box
    across, down = around * (x2 - x1), around * (y2 - y1)
    left, right = (min(max(x, region[0]), region[2]) for x in (x1 - across, x2 + across))
    top, bottom = (min(max(y, region[1]), region[3]) for y in (y1 - down, y2 + down))
    return (left, top, right, bottom)


def survey(seen: Detections, region: Box, settings: DecideSettings) -> tuple[Sighting, ...]:
    """All that is `seen` in the picture of `region`, likeliest first."""
    found = []
    for row in range(len(seen)):
        x1, y1, x2, y2 = (float(edge) for edge in seen.boxes[row])
        left, top, right, bottom = (round(edge, DIGITS) for edge in in_frame((x1, y1, x2, y2), region))
        likely = likelihood(float(seen.scores[row]), settings)
        if likely >= LEAST_LIKELY:
            found.append(Sighting(seen.label(row), round(likely, DIGITS), (left, top, right, bottom)))
    return tuple(sorted(found, key=lambda one: -one.score))


def likelihood(score: float, settings: DecideSettings) -> float:
    """How likely an object of this score is there."""
    score = min(max(score, 0.0), 1.0)
    at = settings.min_score
    return 0.5 * score / at if score < at else 0.5 + 0.5 * (score - at) / max(1.0 - at, 1e-9)


def _about_the_object(question: Question, seen: Detections, region: Box, settings: DecideSettings) -> Judgement:
    there = _over_the_box(question, seen, region, settings)
    asked = with_article(question.label)
    for one in there:
        if one.label == question.label:
            return Judgement(Decision.CONFIRMED, one.label, one.score, one.box, f"{_said(one)} too")
    for one in there:
        if akin(one.label, question.label):
            reason = f"{_said(one)} where the device saw {asked}"
            return Judgement(Decision.CONFIRMED, one.label, one.score, one.box, reason)
    for one in there:
        reason = f"{_said(one)} where the device saw {asked}"
        return Judgement(Decision.RETRACTED, one.label, one.score, one.box, reason)
    nothing = f"the cloud sees nothing where the device saw {asked}{_painted_over(question)}"
    return Judgement(Decision.RETRACTED, None, None, None, nothing)


def akin(one: str, other: str) -> bool:
    """Whether the two labels are of a family whose members are taken for one another."""
    return any(one in family and other in family for family in FAMILIES)


def with_article(label: str) -> str:
    """A person, an elephant."""
    return f"{'an' if label[0].lower() in 'aeiou' else 'a'} {label}"


def in_frame(box: Box, region: Box) -> Box:
    """A box in shares of the picture of `region`, as shares of the full frame; never outside the region."""
    x1, y1, x2, y2 = region
    width, height = x2 - x1, y2 - y1
    left, top, right, bottom = (min(max(share, 0.0), 1.0) for share in box)
    return (
        min(x1 + left * width, x2),
        min(y1 + top * height, y2),
        min(x1 + right * width, x2),
        min(y1 + bottom * height, y2),
    )


def overlap(one: Box, other: Box) -> float:
    """Intersection over union; 0 where both are empty."""
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0.0, min(one[3], other[3]) - max(one[1], other[1])
    )
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / union if union > 0 else 0.0


def _over_the_box(question: Question, seen: Detections, region: Box, settings: DecideSettings) -> list[_Seen]:
    """What the cloud stands behind that lies over the box in question, surest first."""
    there = []
    for row in range(len(seen)):
        x1, y1, x2, y2 = (float(edge) for edge in seen.boxes[row])
        box = in_frame((x1, y1, x2, y2), region)
        score = round(min(max(float(seen.scores[row]), 0.0), 1.0), 4)
        if score >= settings.min_score and overlap(box, question.box) >= settings.min_iou:
            there.append(_Seen(seen.label(row), score, box))
    return sorted(there, key=lambda one: -one.score)


def _painted_over(question: Question) -> str:
    """What the device had painted over may be why nothing was seen; a person who reads the verdict should know."""
    redaction = question.redaction
    share = 0.0 if redaction is None else redaction.masked + redaction.hidden
    return f", in a picture of which {min(share, 1.0):.0%} is painted over" if share else ""


def _said(one: _Seen) -> str:
    return f"the cloud sees {with_article(one.label)} ({one.score:.2f})"
