"""What a tracker can be told."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from agent.settings import Settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]
BoxSizes = Annotated[float, Field(ge=0.0, le=5.0)]


class TrackSettings(Settings):
    """How detections become objects; the defaults were tuned on the first half of PETS09-S2L1.

    Attributes:
        low_score: Detections below it are ignored; ask the detector for no less.
        strong_score: Detections from here on choose their objects first, and may find one again at a distance.
        new_score: What a detection needs to begin an object; those below only keep a known one alive.
        min_iou: Overlap with the predicted box from which a detection is taken for the same object.
        reach: Where nothing overlaps enough: how far off, in box sizes, a strong detection may be.
        reach_per_s: How much farther for each second that the object was not seen.
        crowding: A detection that covers a seen object by this much (intersection over union) begins no new one:
            detectors often box one person twice.
        coast_s: An object not seen for this long is still reported, at its predicted place.
        max_age_s: An object not seen for this long is forgotten; until then it can be found again under its id. One
            that the picture's edge cuts off is forgotten after a second at the latest.
        tentative_s: The same for an object that was detected only once.
        belief_s: How slowly the scores of its detections become the belief in an object.
        stand_belief: From which belief on the device stands behind an object: it is shown, and may be alerted.
    """

    low_score: Share = 0.2
    strong_score: Share = 0.5
    new_score: Share = 0.35
    min_iou: Share = 0.15
    reach: BoxSizes = 0.8
    reach_per_s: BoxSizes = 0.4
    crowding: Share = 0.2
    coast_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.5
    max_age_s: Annotated[float, Field(gt=0.0, le=600.0)] = 3.0
    tentative_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.5
    belief_s: Annotated[float, Field(gt=0.0, le=60.0)] = 0.4
    stand_belief: Share = 0.4

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low_score > self.new_score:
            msg = f"low_score ({self.low_score}) is above new_score ({self.new_score}); lower it"
            raise ValueError(msg)
        if max(self.coast_s, self.tentative_s) > self.max_age_s:
            msg = f"coast_s and tentative_s must not be above max_age_s ({self.max_age_s}); lower them or raise it"
            raise ValueError(msg)
        return self
