"""How frames drawn for audit are looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """What the cloud's model says of a frame that was drawn for audit.

    The defaults were chosen on 50 labelled frames of the demo clip: at half size and q60 (16 kB), cut into tiles, the
    default cloud model reaches its best F1, .90, at a score of .4; looked at whole it reaches .87.

    Attributes:
        min_score: The cloud's own score from which it stands behind an object.
        view_px: A frame whose longer side is below this is enlarged to it, so that it is cut into tiles.
        max_waiting: Frames that may wait to be looked at; more are refused, to be sent again.
        resume_every_s: How often frames that could not be looked at are tried again.
        attempts: How often, before one is left for the next start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_score: Annotated[float, Field(gt=0, le=1)] = 0.4
    view_px: Annotated[int, Field(ge=1, le=4096)] = 768
    max_waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    resume_every_s: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1)] = 3
