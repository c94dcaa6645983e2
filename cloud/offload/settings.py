"""Settings of the offload service."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cloud.offload.decide import DecideSettings


class OffloadSettings(BaseModel):
    """How questions are answered.

    Attributes:
        max_open: Questions under way at once; more are refused, to be asked again.
        at_once: Questions before the model at once; the rest wait here. Keep it within the model's own queue.
        resume_every_s: How often questions left without a verdict are looked for.
        attempts: How often one of those fails for its own picture's sake before it is left for the next start.
        decide: When an object counts as the one in question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_open: Annotated[int, Field(ge=1, le=4096)] = 64
    at_once: Annotated[int, Field(ge=1, le=256)] = 4
    resume_every_s: Annotated[float, Field(gt=0)] = 30.0
    attempts: Annotated[int, Field(ge=1)] = 3
    decide: DecideSettings = DecideSettings()
