"""The base of every settings object. Each lives beside its owner; `agent.config` only puts them together."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen, and strict about names: an unknown key is a mistake worth a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
