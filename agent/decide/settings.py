"""What the rules, zones, masks and questions can be told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from agent.decide.schedule import Period
from agent.decide.zones import Polygon, crossing, signed_area
from agent.settings import Settings
from wire.fields import Label, Name, Unit

SMALLEST_AREA: Final = 1e-6
"""A polygon below two pixels of a full-HD picture was surely not meant."""
MAX_CORNERS: Final = 64


def _sound(polygon: Polygon) -> Polygon:
    if len(polygon) < 3:  # noqa: PLR2004 - a triangle is the smallest area
        msg = f"has {len(polygon)} points; give at least 3"
        raise ValueError(msg)
    for i, (x, y) in enumerate(polygon):
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            msg = (
                f"point {i} ({x:g}, {y:g}) is outside of the picture; divide pixels by the picture's width and height"
            )
            raise ValueError(msg)
        if (x, y) in polygon[:i]:
            msg = f"point {i} ({x:g}, {y:g}) is there already; remove it (the last point joins the first by itself)"
            raise ValueError(msg)
    if abs(signed_area(polygon)) < SMALLEST_AREA and crossing(polygon) is None:
        msg = "has no area; move a point off the line"
        raise ValueError(msg)
    crossed = crossing(polygon)
    if crossed is not None:
        sides = " and ".join(f"{i}–{(i + 1) % len(polygon)}" for i in crossed)
        msg = f"the sides {sides} cross or touch; give the points in the order in which they follow round the edge"
        raise ValueError(msg)
    return polygon


RelativePolygon = Annotated[Polygon, Field(max_length=MAX_CORNERS), AfterValidator(_sound)]
"""Corners (x, y), 0..1, in order round the edge."""


class ZoneSettings(Settings):
    """A named part of a camera's picture.

    Attributes:
        name: Several cameras may have zones of the same name; a rule that names it means them all.
        camera: Whose picture it is a part of.
        polygon: Its corners `[x, y]` in shares of the picture, 0 to 1, in order round the edge.
    """

    name: Name
    camera: Name
    polygon: RelativePolygon


class MaskSettings(Settings):
    """A part of a camera's picture in which nothing is looked for.

    Attributes:
        camera: Whose picture it is a part of.
        polygon: As a zone's.
    """

    camera: Name
    polygon: RelativePolygon


Deadline = Annotated[float, Field(gt=0.0, le=600.0)]
"""For how long an answer is awaited, in seconds."""


class WhenUnsure(StrEnum):
    """What to do while the cloud's answer is awaited."""

    ALERT = "alert"
    """Raise a provisional alert at once, and amend it."""
    WAIT = "wait"
    """Say nothing until the answer or the deadline."""


class Fallback(StrEnum):
    """What becomes of an uncertain object without an answer in time; a late answer still amends it."""

    KEEP = "keep"
    """The alert is, or stays, provisional."""
    CONFIRM = "confirm"
    RETRACT = "retract"


class PicturePolicy(StrEnum):
    """When pictures of this rule's objects leave the device."""

    ASKED = "asked"
    """Only to ask about them."""
    ALWAYS = "always"
    NEVER = "never"
    """Not even to ask: to what is uncertain, the fallback applies at once."""


class RuleSettings(Settings):
    """What to raise an alert about.

    Attributes:
        name: Unique; alerts carry it.
        cameras: None named means all.
        labels: Of the model's labels, those that matter.
        min_score: Detections below it don't count for this rule. Where it is left out and a band is tuned or pinned,
            the band alone says what counts.
        frames_to_confirm: In how many frames an object must be detected, at a certain score, before an alert.
        zones: The object must stand in one of them; none named means anywhere.
        cooldown_s: For so long after an alert was raised, and again after it ended, no other is raised for the same
            camera, zone and label. An object that is still there afterwards is alerted then. Retracted alerts don't
            count.
        schedule: When alerts may be raised, in the device's local time; empty means always. An alert that is open
            goes on.
        deadline_s: For how long an answer to its questions is awaited; left out: `asking.deadline_s`.
        urgent: Its questions may borrow from what the budget gives later; see `asking.budget`.
        context: Its questions show the whole frame instead of the object with what is close to it, at some twenty
            times the bytes; see `ask.context_px`.
        update_every_s: How often an open alert's place and score are told again; 0: only when state, zone or label
            change.
        end_after_s: The alert ends when its object was not seen (in the zones) for so long. Until then an object
            that appears nearly at the same place is taken for the same, and raises no alert of its own.
    """

    name: Name
    cameras: tuple[Name, ...] = ()
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=256)]
    min_score: Unit = 0.35
    frames_to_confirm: Annotated[int, Field(ge=1, le=1000)] = 3
    zones: tuple[Name, ...] = ()
    cooldown_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0
    schedule: tuple[Period, ...] = ()
    when_unsure: WhenUnsure = WhenUnsure.ALERT
    fallback: Fallback = Fallback.KEEP
    deadline_s: Deadline | None = None
    picture: PicturePolicy = PicturePolicy.ASKED
    urgent: bool = False
    context: bool = False
    update_every_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0
    end_after_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 5.0

    def asks_about(self, camera: str) -> bool:
        """Whether its questions are about this camera, among others."""
        return self.picture is not PicturePolicy.NEVER and (not self.cameras or camera in self.cameras)

    def shows_context(self, camera: str) -> bool:
        """Whether its questions show whole frames of this camera."""
        return self.context and self.asks_about(camera)


class AskPolicySettings(Settings):
    """When the cloud is asked. Each alert is asked about once, and once more where its answer leaves a doubt.

    Attributes:
        uncertain: Scores from the first up to the second are worth a question; the model's manifest says it where
            this doesn't.
        deadline_s: For how long an answer is awaited before the rule's fallback applies; a rule may say its own.
        max_per_minute: Questions of the whole device; to what is over, the fallback applies at once.
        min_hits: In how many frames an uncertain object must be detected before the question.
        again_with_context: Where the cloud retracts an object, and yet saw something like it there, the alert is
            asked about once more with the whole frame, as far as deadline and budget allow. Off: only rules with
            `context` show whole frames.
        keep_for_s: For how long an answer may still amend an alert that has ended.
    """

    uncertain: tuple[Unit, Unit] | None = None
    deadline_s: Deadline = 2.0
    max_per_minute: Annotated[int, Field(ge=0, le=6000)] = 60
    min_hits: Annotated[int, Field(ge=1, le=1000)] = 5
    again_with_context: bool = True
    keep_for_s: Annotated[float, Field(ge=0.0, le=30 * 86_400.0)] = 86_400.0

    @model_validator(mode="after")
    def _band_in_order(self) -> Self:
        if self.uncertain is not None and self.uncertain[0] > self.uncertain[1]:
            msg = f"uncertain is [lower, upper]; swap {self.uncertain[0]:g} and {self.uncertain[1]:g}"
            raise ValueError(msg)
        return self
