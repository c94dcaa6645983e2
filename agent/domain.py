"""The values that walk through the agent, from a frame to an alert.

Times called `at`, `…_at` or `now` here are seconds of the agent's monotonic clock; they become wall-clock times only
where a message is made, so that a clock that jumps never changes a decision. A `box` is (x1, y1, x2, y2) in
shares of the full frame, origin at the upper left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vision.detections import Image
from wire.messages import AlertEvent, AlertState, AskReason, DecidedBy, Decision

Box = tuple[float, float, float, float]


class Clock(Protocol):
    """Time, as a port: tests turn it by hand."""

    def monotonic(self) -> float:
        """Seconds since some point in the past; never goes back."""

    def wall(self) -> datetime:
        """The time of day with its offset, as the device believes it to be."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one camera.

    Attributes:
        index: Counts the source's pictures from 0, dropped ones included; goes on over a loop or a reopening.
        image: uint8 (H, W, 3), BGR; whoever holds the frame may read it, nobody writes to it.
        at: When it was captured.
        position_s: Its place in a recorded source, in seconds; None for a live one.
    """

    camera: str
    index: int
    image: Image
    at: float
    position_s: float | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """One object as the tracker follows it, at one frame.

    Attributes:
        id: Unique within a boot and camera; never used again.
        score: Of the latest detection that matched.
        best_score: The highest so far.
        hits: In how many frames it was detected.
        seen_now: Whether it was detected in this frame; otherwise `box` is where it should be.
    """

    id: int
    label: str
    score: float
    best_score: float
    box: Box
    first_at: float
    last_at: float
    hits: int
    seen_now: bool


@dataclass(frozen=True, slots=True)
class AlertChange:
    """One event in an alert's life, as decided; delivery adds sequence, message id and wall-clock times."""

    id: str
    event: AlertEvent
    revision: int
    state: AlertState
    camera: str
    rule: str
    zone: str | None
    label: str
    track: int
    score: float
    box: Box
    first_at: float
    last_at: float
    decided_at: float
    decided_by: DecidedBy
    reason: str
    wants_picture: bool = False
    """The rule asks for a picture of this alert to be sent."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about an object.

    Attributes:
        id: The question's own id.
        alert_id: The alert that the answer decides; None where it decides none.
        track: None where the tracker does not follow the object.
        deadline_s: Counted from `asked_at`; then the fallback applies, and a later answer amends.
        model_digest: Of the model that found it; None for the one that judges frames.
    """

    id: str
    alert_id: str | None
    camera: str
    track: int | None
    label: str
    score: float
    box: Box
    reason: AskReason
    asked_at: float
    deadline_s: float
    model_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to an `Ask`, in time or late."""

    question_id: str
    alert_id: str | None
    decision: Decision
    label: str | None
    score: float | None
    box: Box | None
    decided_by: DecidedBy
    model: str
    reason: str
