"""How a device goes about model updates."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from agent.settings import Settings
from agent.update.swap import Swap


class UpdateSettings(Settings):
    """Bounds of an update, none of which the cloud can change.

    Attributes:
        swap: How a model takes over: "beside" opens it while the current one goes on judging; "in-place" closes the
            current one first, so that there are never two in memory, and leaves out the trial on live frames; "auto"
            does so where the memory that is available is less than what the proof measured, with a margin.
        max_attempts: Crashes, failed downloads and proofs killed for want of memory of one update; after them it is
            `failed`.
        max_crashes: Ends of the agent in probation that are forgiven, since they may be power cuts; one more brings
            the model before back.
        max_restore_attempts: Times that a rollback is tried before it waits for the next start.
        retry_min_s, retry_max_s: The pause after a failure doubles between them, with jitter.
        may_skip_window: Whether the command `update-model now=true` may begin outside of the maintenance windows.
        check_every_s: How often the signed metadata is looked at where nothing else asks for it.
        progress_every_s: Between two reports of a download's progress.
        min_free_mib: Of the disk, never taken by an update.
        max_model_mib: Room that must be there on top of it before a download begins.
    """

    swap: Swap = Swap.AUTO
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    max_crashes: Annotated[int, Field(ge=0, le=10)] = 1
    max_restore_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    retry_min_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    retry_max_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    may_skip_window: bool = False
    check_every_s: Annotated[float, Field(ge=60, le=7 * 86_400)] = 6 * 3_600.0
    progress_every_s: Annotated[float, Field(gt=0, le=600)] = 2.0
    min_free_mib: Annotated[int, Field(ge=0, le=100_000)] = 64
    max_model_mib: Annotated[int, Field(ge=1, le=100_000)] = 64

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.retry_min_s > self.retry_max_s:
            msg = "retry_min_s must not be over retry_max_s"
            raise ValueError(msg)
        return self
