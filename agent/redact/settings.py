"""What of a camera's pictures is hidden before they leave."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agent.settings import Settings
from wire.fields import Label
from wire.messages import Hide


class RedactionSettings(Settings):
    """What is painted over in every picture of this camera before it is encoded, beside its masks.

    Attributes:
        hide: "people", their "heads" (the upper part of each), "all-but-asked", or "nothing". People are hidden where
            the device's model finds them, however unsure it is; whom it does not find is seen.
        people: The model's labels that mean a person.
    """

    hide: Hide = Hide.NOTHING
    people: Annotated[tuple[Label, ...], Field(min_length=1, max_length=16)] = ("person",)
