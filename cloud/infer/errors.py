"""What can go wrong between a picture and its detections, beside `vision.errors`."""

from __future__ import annotations

from cloud.errors import CloudError


class Overloaded(CloudError):
    """More pictures wait for the model than may."""
