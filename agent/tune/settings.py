"""What the operator wants of a camera, and what is pinned."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from agent.settings import Settings
from wire.fields import Label, Unit


class Prefer(StrEnum):
    """What comes first where both can't be had."""

    MISSES = "misses"
    FALSE_ALERTS = "false_alerts"


class Objective(Settings):
    """What a device is held to, before each camera and for each label. Without this table, bands stay as they are.

    Attributes:
        max_miss_rate: Of the objects that the cloud's model sees in a frame, how many may be ignored; sets the lower
            end of the band. Without it, that end stays.
        max_false_alerts_per_day: How many objects a day the device may be sure of, by itself, that are not there;
            sets the upper end. Without it, that end stays.
        prefer: What comes first where both can't be had.
        confidence: How sure it must be that a band keeps the objective before it is called met; for each end.
        fewest_answers: Below so many answers (audited frames with something there; objects drawn) no end moves.
        max_step_per_day: How far an end moves in a day at most.
        ask_about: Of all objects that are followed long enough for an alert, how many are asked about at random, to
            learn how many are not there. Each costs as much as a question; only with `max_false_alerts_per_day`.
        window_days: Answers older than this are not looked at any more: scenes change.
    """

    max_miss_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_false_alerts_per_day: Annotated[float, Field(gt=0, le=100_000)] | None = None
    prefer: Prefer = Prefer.MISSES
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    fewest_answers: Annotated[int, Field(ge=10, le=10_000)] = 30
    max_step_per_day: Annotated[float, Field(gt=0, le=1)] = 0.05
    ask_about: Annotated[float, Field(gt=0, le=1)] = 0.1
    window_days: Annotated[float, Field(ge=1, le=365)] = 30.0

    @model_validator(mode="after")
    def _wants_something(self) -> Self:
        if self.max_miss_rate is None and self.max_false_alerts_per_day is None:
            msg = "wants nothing; give max_miss_rate, max_false_alerts_per_day or both, or leave the table out"
            raise ValueError(msg)
        return self


class PinnedBand(Settings):
    """Scores of one label that are worth a question before this camera, whatever the answers say.

    Attributes:
        label: Of the model's labels, the one that it is for.
        lower: Below it, an object is ignored.
        upper: From it on, an object is certain.
    """

    label: Label
    lower: Unit
    upper: Unit

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower > self.upper:
            msg = f"lower ({self.lower:g}) is above upper ({self.upper:g}); swap them"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one camera."""

    objective: Objective | None
    pins: tuple[PinnedBand, ...]

    @property
    def anything(self) -> bool:
        """Or nothing."""
        return self.objective is not None or bool(self.pins)

    @property
    def tuned_to(self) -> Objective:
        """What the bands that are not pinned are tuned to; only where an objective is given there are such.

        Raises:
            LookupError: None is.
        """
        if self.objective is None:
            msg = "no objective is given"
            raise LookupError(msg)
        return self.objective

    @property
    def ask_about(self) -> float:
        """Of the objects, how many are drawn."""
        wanted = self.objective
        return wanted.ask_about if wanted is not None and wanted.max_false_alerts_per_day is not None else 0.0
