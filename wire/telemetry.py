"""A device's figures: counts, bytes, budgets and tuned bands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wire.alerts import AlertState
from wire.envelope import Part, UpMessage
from wire.fields import Count, Digest, Label, Name, Seconds, Text, Unit


class CameraTelemetry(Part):
    """Counters of one camera since the agent started; `fps` and `_ms` over the last interval."""

    name: Name
    captured: Count
    judged: Count
    still: Count = 0
    dropped: Count = 0
    reopened: Count = 0
    fps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    inference_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    stream_bytes: Count = 0
    """What sending every captured frame whole as JPEG q80 would have cost, from frames encoded now and then."""


class EgressMark(Part):
    """Where the device's egress log ends.

    Attributes:
        records: Number of the last line.
        sha256: That line's hash.
    """

    records: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BandState(StrEnum):
    """How a band of scores stands to the device's objective."""

    PINNED = "pinned"
    """A person set it; nothing moves it."""
    GATHERING = "gathering"
    """Too few answers yet: it stays as it is."""
    MOVING = "moving"
    """On its way, a bounded step a day."""
    MET = "met"
    """The answers prove, at the confidence asked for, that it keeps what it was asked to."""
    UNPROVEN = "unproven"
    """Answers enough to move, and too few to prove any band: it stands where the objective is safest."""
    INFEASIBLE = "infeasible"
    """No band keeps the objective: the answers prove that as well."""


class TunedBand(Part):
    """The scores of one label before one camera that are worth a question, and how they came about.

    Attributes:
        lower, upper: Below `lower` an object is ignored; from `upper` on it is certain.
        model_digest: Of the model that it was tuned for.
        frames, objects: The answers behind it: audited frames with something there, and objects drawn.
        miss_rate, miss_rate_at_most: With this `lower`: the estimate, and the bound at the confidence asked for.
        best_miss_rate: The estimate with the lowest `lower` that there can be: what is attainable.
        false_per_day, false_per_day_at_most: With this `upper`: objects that the device alone is sure of, and that
            are not there.
        asked_share: Of the objects that are not ignored, how many lie between the two.
    """

    camera: Name
    label: Label
    lower: Unit
    upper: Unit
    state: BandState
    reason: Text = ""
    model_digest: Digest
    frames: Count = 0
    objects: Count = 0
    miss_rate: Unit | None = None
    miss_rate_at_most: Unit | None = None
    best_miss_rate: Unit | None = None
    false_per_day: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    false_per_day_at_most: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    asked_share: Unit | None = None


class BudgetLeft(Part):
    """What questions may still cost, of the whole device or of one camera.

    Attributes:
        camera: None: of the whole device.
        allowance: As it is set, such as `200MB/month`, or `unlimited`.
        left: Bytes that may be spent at once; None where there is no limit.
        most: Bytes that can be saved up; None where there is no limit.
        borrowed: Bytes that urgent rules took in advance, and that are paid back first.
        spent: Bytes since the agent started.
        questions_left: In the minute that ends now; None where there is no limit.
        bar: The gain for each kB from which a question is worth its price. It rises with what is spent.
    """

    camera: Name | None = None
    allowance: Text
    left: Count | None = None
    most: Count | None = None
    borrowed: Count = 0
    spent: Count = 0
    questions_left: Count | None = None
    bar: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Telemetry(UpMessage):
    """Small figures, every half minute or so; may be lost.

    Attributes:
        bytes_by_reason: Every byte that left the device since it started, by why it left.
        asks_again: Of `asks`, those with the whole frame about an alert that an answer had left in doubt.
        audits, audits_failed: Frames drawn for audit, and those of them that were dropped, refused or given up.
        errors: Named errors since the agent started, and how often each.
        egress: Kept by the cloud, it shows whether a device's log was written anew.
        bands: Those that are tuned or pinned; as many as fit.
        budgets: Of questions: the whole device's first, then those of cameras; none where nothing is asked.
    """

    uptime_s: Seconds
    rss_mib: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cpu_s: Seconds
    cameras: Annotated[tuple[CameraTelemetry, ...], Field(max_length=64)] = ()
    alerts: dict[AlertState, Count] = Field(default_factory=dict)
    outbox_depth: Count = 0
    alerts_dropped: Count = 0
    asks: Count = 0
    asks_again: Count = 0
    answers: Count = 0
    answers_late: Count = 0
    asks_failed: Count = 0
    audits: Count = 0
    audits_failed: Count = 0
    bytes_by_reason: Annotated[dict[Name, Count], Field(max_length=32)] = Field(default_factory=dict)
    errors: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)
    egress: EgressMark | None = None
    bands: Annotated[tuple[TunedBand, ...], Field(max_length=64)] = ()
    budgets: Annotated[tuple[BudgetLeft, ...], Field(max_length=65)] = ()
