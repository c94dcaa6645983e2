"""When operators are asked to log in, and for how long that counts."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class LoginSettings(BaseModel):
    """How operators log in to the dashboard and the API; beyond loopback they are asked to.

    Attributes:
        always: Ask on loopback, too, and where `allow_plaintext` would let anyone look.
        idle_minutes: A session that is not used ends after this; a dashboard that is open uses its session.
        session_hours: A session ends after this, used or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    always: bool = False
    idle_minutes: Annotated[float, Field(ge=1, le=60 * 24 * 365)] = 60.0
    session_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 12.0
