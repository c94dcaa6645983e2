"""The values that walk through the agent, from a frame to an alert.

Times called `at`, `…_at` or `now` here are seconds of the agent's monotonic clock; they become wall-clock times only
where a message is made, so that a clock that jumps never changes a decision. A `box` is (x1, y1, x2, y2) in
shares of the full frame, origin at the upper left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from vision.detections import Image
from wire.messages import AlertEvent, AlertState, AskReason, DecidedBy, Decision

Box = tuple[float, float, float, float]
Shift = tuple[float, float]
"""How far something goes, across and down, in shares of the frame."""
STANDS_FROM: Final = 0.5
"""How likely an object must be for the cloud to stand behind it."""
Appearance = tuple[float, ...]
"""What an object looks like: colours, 0..255; two of one kind have as many numbers."""


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
class Found:
    """An object that the cloud found.

    Attributes:
        score: How likely it is there, 0..1; from STANDS_FROM on the cloud stands behind it.
        box: In the frame that was asked about.
        gone: Where the device's pictures show that it is by now; None where they don't.
    """

    label: str
    score: float
    box: Box
    gone: Box | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """What the cloud said last of an object.

    Attributes:
        question_id: Of the question that it answered, which may have been about something beside it.
        at: When the frame was captured that was asked about.
        label: As what it was seen; None where nothing was.
        score: How likely it is there, 0..1; from STANDS_FROM on the cloud stands behind it.
        after_look: The device goes by its own eyes: it had looked closely there and seen it, or it makes such looks,
            and the cloud has doubts.
    """

    question_id: str
    at: float
    label: str | None
    score: float
    after_look: bool = False

    @property
    def vouches(self) -> bool:
        """Whether the cloud stands behind the object."""
        return self.score >= STANDS_FROM


@dataclass(frozen=True, slots=True)
class Report:
    """What the cloud says of a part of a frame, beside what the device knew then.

    Attributes:
        question_id: Of the question that it answers.
        track: The object in question; None where the tracker followed none.
        at: When the frame was captured.
        looked: The part of the frame that the cloud looked at.
        found: What it saw there.
        known: Where the tracker had its objects in that frame, by their numbers.
    """

    question_id: str
    track: int | None
    at: float
    looked: Box
    found: tuple[Found, ...]
    known: Mapping[int, Box]


@dataclass(frozen=True, slots=True)
class Track:
    """One object as the tracker follows it, at one frame.

    Attributes:
        id: Unique within a boot and camera; never used again.
        score: Of the latest detection that matched.
        best_score: The highest so far.
        hits: In how many frames it was detected.
        seen_now: Whether it was detected in this frame; otherwise `box` is where it should be.
        belief: How sure it is that the object is there, 0..1: rises with each sighting as far as that one's score,
            and sinks while nothing is seen.
        stands: Whether the device stands behind it in this frame, seen or not.
        word: What the cloud said of it last; None where it has not.
        appearance: What it looks like by now; None where nobody looked.
        seen_well: It is seen, and as well as the device can: it has looked closely within half a second, or the
            object is so large that a closer look shows no more. Only of a device that makes second looks.
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
    belief: float = 1.0
    stands: bool = True
    word: Word | None = None
    appearance: Appearance | None = None
    seen_well: bool = False


class Rider(NamedTuple):
    """An object that goes where the pictures show that it went.

    Attributes:
        box: Where it was in the latest picture.
        ahead: How far it should have gone since, by its speed.
    """

    box: Box
    ahead: Shift


@dataclass(frozen=True, slots=True)
class Expected:
    """An object where the tracker expects it in the frame at hand, before that frame was looked at.

    Attributes:
        box: It may reach beyond the picture.
        belief: As a `Track`'s.
        looked_at: When its place was last looked at closely; None where it never was.
    """

    id: int
    label: str
    box: Box
    belief: float
    looked_at: float | None


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
        context: The whole frame is to be shown.
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
    context: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to an `Ask`, in time or late.

    Attributes:
        looked: The part of the frame that the cloud looked at; None where it does not say.
        found: All that it saw there; None where it does not say.
    """

    question_id: str
    alert_id: str | None
    decision: Decision
    label: str | None
    score: float | None
    box: Box | None
    decided_by: DecidedBy
    model: str
    reason: str
    looked: Box | None = None
    found: tuple[Found, ...] | None = None
