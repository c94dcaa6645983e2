"""What is known of frames that devices drew for audit, added up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vision.estimates import Sums


@dataclass(frozen=True, slots=True)
class Audited:
    """Sums over the frames of one camera that one model judged.

    Attributes:
        device, camera: None where it is those of all.
        label: None where it is every label that rules look for, together.
        model: Name and version, as the devices said.
        audits: Frames that were looked at, those with nothing in them included.
        first_at, last_at: When the first and the last of them arrived.
    """

    device: str | None
    camera: str | None
    label: str | None
    model_digest: str
    model: str
    sums: Sums
    audits: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class CameraAudits:
    """How complete the sample of one camera is.

    Attributes:
        kept: Audits that arrived.
        waiting: Of these, how many were not looked at yet.
        lost: Drawn on the device between the first and the last that arrived of a boot, and never arrived.
        walked: Frames that the camera had dealt with by the last that arrived, over all boots.
        picture_bytes: Of the frames that arrived.
    """

    device: str
    camera: str
    kept: int
    waiting: int
    lost: int
    walked: int
    picture_bytes: int
