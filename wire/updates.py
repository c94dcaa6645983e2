"""What a device should run, what it runs, and the signed documents that say what it may run.

`Desired` and `Reported` are hints and reports; they are not trusted with anything. What may be installed is decided
by signed metadata alone: the group's `GroupRelease` names the releases that its devices may run, and the repository's
offline keys vouch for each release's bytes (docs/threat-model.md).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from wire.envelope import KIB, Message, Part, UpMessage
from wire.fields import Count, Digest, MessageId, Seconds, Text, Unit
from wire.model import ModelName, Version

GroupName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
ReleaseNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Counts releases of one model name in the order in which they were signed; 0 is the model a device was born with."""

MODEL_TARGET: Final = "models/{name}/{version}/model.tflite"
MANIFEST_TARGET: Final = "models/{name}/{version}/manifest.json"
GROUP_TARGET: Final = "groups/{group}/current.json"
"""Paths of targets in the repository. A device builds its own file names from digests, never from these."""


class UpdateState(StrEnum):
    """Where a device's update stands; the moves between them are the table in `agent.update.machine`."""

    IDLE = "idle"
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    PROVING = "proving"
    SHADOWING = "shadowing"
    INSTALLING = "installing"
    PROBATION = "probation"
    COMMITTED = "committed"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    REJECTED = "rejected"
    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    PAUSED = "paused"
    ALREADY_INSTALLED = "already_installed"


class ModelRef(Part):
    """Names a release: what it is called, and by the digest of its model file what it is."""

    name: ModelName
    version: Version
    digest: Digest
    number: ReleaseNumber = 0


class Gates(Part):
    """What a candidate must show before and after the switch; set in the rollout.

    Attributes:
        max_load_s: From opening to the first answer, in the proving process.
        max_latency_ratio: Median latency of the candidate ÷ that of the current model.
        max_memory_mib: Resident memory of the proving process.
        shadow_frames: Live frames on which the candidate runs beside the current model; 0 leaves the trial out.
        shadow_cpu_share: Of one core, for the trial.
        min_agreement: F1 of the candidate's detections against the current model's, at IoU ≥ .5.
        min_detection_ratio, max_detection_ratio: Detections a frame, candidate ÷ current.
        ask_disagreements: At most so many questions to the cloud in a trial, about objects that one model finds and
            the other doesn't; what it answers counts for the one that is right.
        probation_frames, probation_s: Both must be over before the model is committed.
        max_error_share: Of frames on which the model failed, in probation.
        max_accuracy_drop: Of the audited F1, against the model before, in probation; where enough was audited.
        audit_factor: In probation, frames are drawn for audit as many times as often.
    """

    max_load_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    max_latency_ratio: Annotated[float, Field(gt=0, le=1000)] = 15.0
    max_memory_mib: Annotated[float, Field(gt=0, le=65536)] = 512.0
    shadow_frames: Annotated[int, Field(ge=0, le=100_000)] = 30
    shadow_cpu_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    min_agreement: Unit = 0.3
    min_detection_ratio: Annotated[float, Field(ge=0, le=1000)] = 0.3
    max_detection_ratio: Annotated[float, Field(gt=0, le=1000)] = 4.0
    ask_disagreements: Annotated[int, Field(ge=0, le=1000)] = 0
    probation_frames: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    probation_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 20.0
    max_error_share: Unit = 0.02
    max_accuracy_drop: Unit = 0.05
    audit_factor: Annotated[float, Field(ge=1, le=1_000_000)] = 20.0


class Window(Part):
    """A maintenance window in the device's own time of day; it may cross midnight.

    Attributes:
        from_minute, to_minute: Minutes since midnight.
    """

    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Field(max_length=7)] = ()
    from_minute: Annotated[int, Field(ge=0, le=1440)] = 0
    to_minute: Annotated[int, Field(ge=0, le=1440)] = 1440


class Desired(Message):
    """On `down/desired`, retained: a hint to look at the repository.

    Attributes:
        version: Counts up per device; a lower one than was seen is old news and ignored.
        deployment_id: The rollout that it belongs to.
        paused: Don't begin, and stop what has not been switched yet.
        start_jitter_s: Begin at a random time within this.
        timeout_s: From `queued` to `probation`; then the update is `timed_out` and nothing has changed.
    """

    MAX_BYTES: ClassVar[int] = 8 * KIB

    version: Annotated[int, Field(ge=1, le=2**53)]
    deployment_id: MessageId | None = None
    group: GroupName
    model: ModelRef | None = None
    gates: Gates = Gates()
    windows: Annotated[tuple[Window, ...], Field(max_length=14)] = ()
    paused: bool = False
    start_jitter_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    timeout_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = 3_600.0


class TrialFigures(Part):
    """What the trial on live frames showed; see `Gates`.

    Attributes:
        asked: Questions to the cloud about objects that one model found and the other didn't.
        candidate_right, current_right: How often the cloud's answer was on whose side; the rest was not answered.
    """

    frames: Count
    agreement: Unit
    detections_candidate: Annotated[float, Field(ge=0)]
    detections_current: Annotated[float, Field(ge=0)]
    latency_candidate_ms: Annotated[float, Field(ge=0)]
    latency_current_ms: Annotated[float, Field(ge=0)]
    asked: Count = 0
    candidate_right: Count = 0
    current_right: Count = 0


class Reported(UpMessage):
    """On `up/reported`, retained: what runs, and how the latest update stands.

    Attributes:
        desired_version: The `Desired` that this echoes.
        running: What judges frames now.
        previous: What a rollback would return to.
        target: What the update is about.
        reason: Why it is in this state, in words.
        progress: Of the download, 0..1.
        trust: How the signed metadata stands: `ok`, or the name of what is wrong, such as `MetadataExpired`.
        quarantined: Digests that did harm here; they are not tried again.
    """

    MAX_BYTES: ClassVar[int] = 8 * KIB

    desired_version: Annotated[int, Field(ge=0, le=2**53)] = 0
    deployment_id: MessageId | None = None
    state: UpdateState
    running: ModelRef
    previous: ModelRef | None = None
    target: ModelRef | None = None
    reason: Text = ""
    progress: Unit | None = None
    trial: TrialFigures | None = None
    since_s: Seconds = 0.0
    trust: Text = "ok"
    quarantined: Annotated[tuple[Digest, ...], Field(max_length=16)] = ()


class GroupRelease(Part):
    """The signed document `groups/<group>/current.json`: what the devices of a group may run.

    Attributes:
        sequence: Counts up with every change; a device takes none below the highest it has seen.
        allowed: The releases that may run: the rollout's, and the one it started from. A deliberate rollback is a
            higher sequence that allows an older release.
        min_release: By model name: no release of a lower number may ever run again, whatever else is signed.
    """

    group_release: Literal[1] = 1
    group: GroupName
    sequence: Annotated[int, Field(ge=1, le=2**53)]
    allowed: Annotated[tuple[ModelRef, ...], Field(min_length=1, max_length=8)]
    min_release: Annotated[dict[ModelName, ReleaseNumber], Field(max_length=64)] = Field(default_factory=dict)
