"""How long what devices sent is kept."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Days = Annotated[float, Field(ge=0, le=36_500)]


class RetentionSettings(BaseModel):
    """How long what devices sent is kept, from its receipt on; 0: for ever.

    A picture takes a hundred times the space of its alert, and shows people, so it goes first. What still waits for a
    verdict or for its audit is kept until it has one.

    Attributes:
        pictures_days: Pictures of alerts, questions, audits and snapshots, and clips.
        alerts_days: Alerts with their history, questions and verdicts, and commands with their answers.
        audits_days: What audits found, which the figures on accuracy come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pictures_days: Days = 30.0
    alerts_days: Days = 365.0
    audits_days: Days = 365.0

    @model_validator(mode="after")
    def _pictures_first(self) -> Self:
        pictures = self.pictures_days or math.inf
        for key in ("alerts_days", "audits_days"):
            if (getattr(self, key) or math.inf) < pictures:
                raise ValueError(f"{key} must be no less than pictures_days: of what is forgotten no picture is kept")
        return self
