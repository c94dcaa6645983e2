"""Which frames are sent whole, so that the cloud can tell how good the device is. Pure: time and chance come in.

Each frame that is dealt with is drawn by itself, with a probability that its content does not move: neither what was
found in it nor how busy the device is. What is lost afterwards (no room, no link) leaves a gap in `number`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from agent.boxes import inside
from agent.domain import Box, Track
from agent.settings import Settings
from vision.detections import Detections
from wire.audits import MAX_SIGHTINGS, Audit, FrameKind
from wire.codec import encode
from wire.errors import MessageTooLarge
from wire.fields import Sighting
from wire.messages import Redaction
from wire.model import Manifest

LONGEST_GAP_S: Final = 1.0
"""A frame after a longer pause stands for no more time than this: it would otherwise be drawn nearly for certain."""
DIGITS: Final = 4
"""A ten-thousandth of a frame is below a pixel, and so is the header below what proxies let through."""

Polygon = Sequence[tuple[float, float]]


class AuditRate(Settings):
    """How often frames are drawn for audit.

    Attributes:
        per_hour: On average, of each camera; 0: never.
        probability: Of each judged frame, instead of `per_hour`; 0: never.
        still_share: How often a frame that was too still to be judged is drawn, against one that was judged.
    """

    per_hour: Annotated[float, Field(ge=0, le=3600)] = 6.0
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    still_share: Annotated[float, Field(ge=0, le=1)] = 0.25


class AuditSettings(AuditRate):
    """Frames that are sent whole, drawn at random, so that the cloud can tell how good the device is.

    Attributes:
        scale: Size at which a frame is sent, against the camera's own.
        jpeg_quality: Of these pictures, 1 to 100.
        answer_within_s: How long the cloud's outcome is waited for; the estimate has it in any case.
        ask_again_after_s: An outcome that was not there by then is asked for after such a pause, which doubles.
        ask_again_for_s: For so long, counted from the frame; 0: never.
    """

    scale: Annotated[float, Field(gt=0, le=1)] = 0.5
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 60
    answer_within_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    ask_again_after_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    ask_again_for_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 86_400.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame was drawn; see `wire.audits.Audit`."""

    probability: float
    number: int
    walked: int


class Draw:
    """The draws of one camera in one boot."""

    def __init__(self, rate: AuditRate) -> None:
        self._rate = rate
        self._before: float | None = None
        self._walked = 0
        self._number = 0

    def take(self, at: float, chance: float, *, still: bool, factor: float = 1.0) -> Drawn | None:
        """Deal with one frame.

        Args:
            at: When it was captured, monotonic.
            chance: Uniform in [0, 1), independent of all others.
            still: It was not judged, because nothing moved.
            factor: As many times as often as the settings say.
        """
        gap_s = LONGEST_GAP_S if self._before is None else min(LONGEST_GAP_S, max(0.0, at - self._before))
        self._before = at
        self._walked += 1
        probability = self.probability(gap_s, still=still, factor=factor)
        if chance >= probability:
            return None
        self._number += 1
        return Drawn(probability, self._number, self._walked)

    def probability(self, gap_s: float, *, still: bool, factor: float) -> float:
        """With which a frame is drawn that comes `gap_s` after the one before it."""
        share = factor * (self._rate.still_share if still else 1.0)
        if self._rate.probability is not None:
            return min(1.0, share * self._rate.probability)
        return -math.expm1(-share * self._rate.per_hour * gap_s / 3600.0)


@dataclass(frozen=True, slots=True)
class Said:
    """What the device says of a frame.

    Attributes:
        labels: What its rules look for.
        shown: What the device stands behind: tracked objects that its rules would look at.
        weaker: Tracked objects, seen in the frame, that are too weak for that.
        detections: What the model said, highest scores first.
        left_out: Detections that are not among them.
        model_digest, model: The model that said so, its name and version.
    """

    kind: FrameKind
    labels: tuple[str, ...]
    shown: tuple[Sighting, ...]
    weaker: tuple[Sighting, ...]
    detections: tuple[Sighting, ...]
    left_out: int
    model_digest: str
    model: str


@dataclass(frozen=True, slots=True)
class FrameAudit:
    """A frame to be audited.

    Attributes:
        at: When it was captured, monotonic.
        masks: Corners in shares of the frame; what stands in one was ignored.
    """

    id: str
    camera: str
    at: float
    drawn: Drawn
    said: Said
    masks: tuple[Polygon, ...]


def said_of(
    detections: Detections,
    tracks: Iterable[Track],
    *,
    labels: Iterable[str],
    model: Manifest,
) -> Said:
    """What the device says of a frame that it judged.

    It stands behind a tracked object that was seen in this frame with a score worth a question: the tracker follows
    weaker ones too, to keep an object that was strong before, but nobody is shown what only they say. Where that
    begins is the model's own word, whatever the bands are tuned to: models are compared by it.

    Args:
        detections: Without what stands in a mask; highest scores first.
        tracks: As the tracker reported them for this frame.
        labels: What the rules look for.
        model: The one that judged it.
    """
    looked_for = tuple(sorted(labels))
    sightings = [
        _sighting(detections.label(row), float(detections.scores[row]), tuple(detections.boxes[row].tolist()))
        for row in range(min(len(detections), MAX_SIGHTINGS))
    ]
    followed = sorted((track for track in tracks if track.seen_now), key=lambda track: -track.score)
    behind = sum(track.score >= model.uncertain[0] for track in followed)
    shown = [_sighting(track.label, track.score, track.box) for track in followed[:behind]]
    weaker = [_sighting(track.label, track.score, track.box) for track in followed[behind:]]
    return Said(
        kind=_kind((one.score for one in sightings if one.label in looked_for), model.uncertain),
        labels=looked_for,
        shown=tuple(shown[:MAX_SIGHTINGS]),
        weaker=tuple(weaker[:MAX_SIGHTINGS]),
        detections=tuple(sightings),
        left_out=len(detections) - len(sightings),
        model_digest=model.digest,
        model=f"{model.name} {model.version}",
    )


def audit_message(
    audit: FrameAudit,
    *,
    device: str,
    boot_id: str,
    boot_seq: int,
    made_at: datetime,
    seen_at: datetime,
    deadline_ms: int,
    redaction: Redaction | None = None,
) -> Audit:
    """The message beside the frame; the weakest detections are left out where it would not fit.

    Raises:
        pydantic.ValidationError: A field breaks the contract of the wire.
        MessageTooLarge: Even without detections.
    """
    said, drawn = audit.said, audit.drawn
    message = Audit(
        message_id=audit.id,
        device=device,
        made_at=made_at,
        boot_id=boot_id,
        boot_seq=boot_seq,
        camera=audit.camera,
        kind=said.kind,
        probability=drawn.probability,
        number=drawn.number,
        walked=drawn.walked,
        labels=said.labels,
        shown=said.shown,
        weaker=said.weaker,
        detections=said.detections,
        left_out=said.left_out,
        masks=tuple(tuple((round(x, DIGITS), round(y, DIGITS)) for x, y in mask) for mask in audit.masks),
        seen_at=seen_at,
        deadline_ms=deadline_ms,
        model_digest=said.model_digest,
        model=said.model,
        redaction=redaction,
    )
    while True:
        try:
            encode(message)
        except MessageTooLarge:
            if not message.detections:
                raise
            kept = message.detections[: len(message.detections) // 2]
            left_out = message.left_out + len(message.detections) - len(kept)
            message = message.model_copy(update={"detections": kept, "left_out": left_out})
        else:
            return message


def _sighting(label: str, score: float, box: Box) -> Sighting:
    x1, y1, x2, y2 = (round(side, DIGITS) for side in inside(box))
    return Sighting(label, round(min(1.0, max(0.0, score)), DIGITS), (x1, y1, x2, y2))


def _kind(scores: Iterable[float], band: tuple[float, float]) -> FrameKind:
    worth_a_question = [score for score in scores if score >= band[0]]
    if not worth_a_question:
        return FrameKind.EMPTY
    return FrameKind.CONFIDENT if min(worth_a_question) >= band[1] else FrameKind.UNCERTAIN
