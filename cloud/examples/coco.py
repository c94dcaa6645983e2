"""From questions and audits to a COCO document. Pure.

A question is about one object: nobody looked at what else its picture shows, so everything around the object is
marked as a crowd, which training leaves out and evaluation counts neither as right nor as wrong. An audit is about
all objects of the labels that the device's rules look for. Annotations are the cloud's (or a reviewer's) boxes; the
device's own stand beside them, in fields that COCO does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import JsonValue

from cloud.received import Answered, Concluded
from wire.messages import Decision, Redaction

Box = tuple[float, float, float, float]

NOTICE: Final = (
    "Pictures from cameras of your own: they may show people. Whoever stores, passes on or trains with them answers"
    " for that under the law of the place. Vedette gives no licence for them. Labels are a model's, not the truth,"
    " unless `decided_by` says `reviewer`."
)
MOVED_IOU: Final = 0.5
"""Below it the cloud's box counts as another than the device's: that is what evaluation would say of it."""
WHOLE_FRAME: Final[Box] = (0.0, 0.0, 1.0, 1.0)


class Reason(StrEnum):
    """Why a picture is a hard example."""

    RETRACTED = "retracted"
    """The device saw something, and the cloud nothing of the kind."""
    CORRECTED = "corrected"
    """It is there, under another label or in another place."""
    UNCERTAIN = "uncertain"
    """It is there as the device said, which was not sure of it."""
    MISSED = "missed"
    """An audited frame of which the device did not show all that the cloud sees."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted; nothing named means everything."""

    devices: frozenset[str] = frozenset()
    cameras: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    reasons: frozenset[Reason] = frozenset()

    def takes(self, example: Example) -> bool:
        """Whether the example is wanted."""
        labels = {one.label for one in example.objects} | {example.label} - {None}
        return (
            (not self.devices or example.device in self.devices)
            and (not self.cameras or example.camera in self.cameras)
            and (not self.reasons or example.reason in self.reasons)
            and (not self.labels or bool(labels & self.labels))
        )


@dataclass(frozen=True, slots=True)
class Object:
    """An annotation.

    Attributes:
        box: In shares of the full frame.
        crowd: Neither right nor wrong to find here.
        more: Fields that COCO does not know.
    """

    label: str
    box: Box
    crowd: bool = False
    more: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """A picture and what is in it.

    Attributes:
        name: Of its file, below the data set's folder.
        key: Of its bytes in the store; empty where they were deleted since.
        region: Which part of the full frame it shows.
        label: What it was asked about; None where it was not about one object.
        exhaustive: Every object of the annotated labels is annotated.
    """

    name: str
    key: str
    reason: Reason
    device: str
    camera: str
    label: str | None
    region: Box
    objects: tuple[Object, ...]
    exhaustive: bool
    received_at: datetime
    redaction: Redaction | None
    more: Mapping[str, JsonValue]


def of_question(one: Answered) -> Example:
    """What a question and its verdict teach."""
    question, verdict = one.question, one.verdict
    reason = _reason(one)
    device: dict[str, JsonValue] = {
        "device_label": question.label,
        "device_score": question.score,
        "device_box": list(question.box),
    }
    objects: list[Object] = []
    keep = question.box
    labels = {question.label}
    if verdict.label is not None and verdict.box is not None:
        more: dict[str, JsonValue] = {
            "score": verdict.score,
            "decided_by": verdict.decided_by,
            "model": verdict.model,
        }
        objects.append(Object(verdict.label, verdict.box, more=more | device))
        keep = _around(keep, verdict.box)
        labels.add(verdict.label)
    objects += [
        Object(label, rest, crowd=True, more={"why": "nobody looked"})
        for label in sorted(labels)
        for rest in _beside(keep, question.region)
    ]
    return Example(
        name=f"images/question-{question.device}-{question.message_id}.jpg",
        key=one.key,
        reason=reason,
        device=question.device,
        camera=question.camera,
        label=question.label,
        region=question.region,
        objects=tuple(objects),
        exhaustive=False,
        received_at=one.received_at,
        redaction=question.redaction,
        more=device | {"decision": verdict.decision, "verdict": verdict.reason},
    )


def _reason(one: Answered) -> Reason:
    question, verdict = one.question, one.verdict
    if verdict.decision is Decision.RETRACTED:
        return Reason.RETRACTED
    moved = verdict.box is not None and _iou(question.box, verdict.box) < MOVED_IOU
    return Reason.CORRECTED if moved or verdict.label not in {None, question.label} else Reason.UNCERTAIN


def of_audit(one: Concluded) -> Example | None:
    """What an audited frame teaches; None where the device missed nothing in it.

    The outcome names what the device missed. Of a label whose shown objects all matched, the device's boxes are
    taken, since the cloud agrees; of others it is not known which were right, so those are crowds.
    """
    audit, outcome = one.audit, one.outcome
    if not outcome.missed:
        return None
    decided: dict[str, JsonValue] = {"decided_by": "cloud", "model": outcome.model}
    objects = [
        Object(found.label, found.box, more={"score": found.score, "missed": True, **decided})
        for found in outcome.missed
    ]
    agreed = {counts.label for counts in outcome.counts if counts.matched == counts.shown}
    for shown in audit.shown:
        more: dict[str, JsonValue] = {"device_score": shown.score, "device_box": list(shown.box)}
        if shown.label in agreed:
            objects.append(Object(shown.label, shown.box, more=more | {"decided_by": "device, the cloud agrees"}))
        elif shown.label in audit.labels:
            objects.append(
                Object(shown.label, shown.box, crowd=True, more=more | {"why": "not known which were right"})
            )
    labels = sorted({found.label for found in objects})
    for mask in audit.masks:
        across, down = [x for x, _ in mask], [y for _, y in mask]
        around = (min(across), min(down), max(across), max(down))
        objects += [Object(label, around, crowd=True, more={"why": "masked"}) for label in labels]
    counted = sum(counts.there - counts.matched for counts in outcome.counts)
    return Example(
        name=f"images/audit-{audit.device}-{audit.message_id}.jpg",
        key=one.key,
        reason=Reason.MISSED,
        device=audit.device,
        camera=audit.camera,
        label=None,
        region=WHOLE_FRAME,
        objects=tuple(objects),
        exhaustive=counted <= len(outcome.missed),
        received_at=one.received_at,
        redaction=audit.redaction,
        more={"probability": audit.probability, "frame": audit.kind},
    )


def document(examples: Sequence[Example], sizes: Mapping[str, tuple[int, int]], version: str) -> dict[str, Any]:
    """The COCO document: the same examples in the same order give the same bytes.

    Args:
        examples: In the order in which they came.
        sizes: Width and height of each file, by its name.
        version: Of the program.
    """
    labels = sorted({one.label for example in examples for one in example.objects})
    numbers = {label: number for number, label in enumerate(labels, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, example in enumerate(examples, 1):
        size = sizes[example.name]
        images.append(_image(number, example, size))
        for one in example.objects:
            placed = _placed(one.box, example.region, size)
            if placed is not None:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": numbers[one.label],
                        "bbox": placed,
                        "area": round(placed[2] * placed[3], 2),
                        "segmentation": [],
                        "iscrowd": int(one.crowd),
                        **one.more,
                    }
                )
    newest = max((example.received_at for example in examples), default=None)
    return {
        "info": {
            "description": "Hard examples, exported by Vedette",
            "version": version,
            "year": 0 if newest is None else newest.year,
            "date_created": None if newest is None else newest.isoformat(),
            "notice": NOTICE,
            "reasons": dict(sorted(Counter(str(example.reason) for example in examples).items())),
        },
        "licenses": [{"id": 1, "name": "None: see info.notice", "url": ""}],
        "categories": [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()],
        "images": images,
        "annotations": annotations,
    }


def _image(number: int, example: Example, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": example.name,
        "width": size[0],
        "height": size[1],
        "license": 1,
        "date_captured": example.received_at.isoformat(),
        "device": example.device,
        "camera": example.camera,
        "reason": str(example.reason),
        "region": list(example.region),
        "exhaustive": example.exhaustive,
        "redaction": None if example.redaction is None else example.redaction.model_dump(mode="json"),
        **example.more,
    }


def _placed(box: Box, region: Box, size: tuple[int, int]) -> list[float] | None:
    """x, y, width and height in pixels of the picture of `region`; None of what it does not show."""
    wide, high = region[2] - region[0], region[3] - region[1]
    if wide <= 0 or high <= 0:
        return None
    x1, x2 = (min(max((x - region[0]) / wide, 0.0), 1.0) * size[0] for x in (box[0], box[2]))
    y1, y2 = (min(max((y - region[1]) / high, 0.0), 1.0) * size[1] for y in (box[1], box[3]))
    placed = [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)]
    return placed if placed[2] >= 1 and placed[3] >= 1 else None


def _around(one: Box, other: Box) -> Box:
    return (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))


def _beside(keep: Box, region: Box) -> Iterable[Box]:
    """The parts of `region` left, right, above and below of `keep`."""
    x1, y1, x2, y2 = region
    kept = (max(keep[0], x1), max(keep[1], y1), min(keep[2], x2), min(keep[3], y2))
    parts = (
        (x1, y1, kept[0], y2),
        (kept[2], y1, x2, y2),
        (kept[0], y1, kept[2], kept[1]),
        (kept[0], kept[3], kept[2], y2),
    )
    return [part for part in parts if part[2] > part[0] and part[3] > part[1]]


def _iou(one: Box, other: Box) -> float:
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0.0, min(one[3], other[3]) - max(one[1], other[1])
    )
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0
