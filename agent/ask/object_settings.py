"""Which objects the cloud is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from agent.ask.crop import Margins
from agent.ask.settings import CONTEXT_PX
from agent.settings import Settings


class ObjectSettings(Settings):
    """Which objects the cloud is asked about, beside those that a rule asks about.

    Attributes:
        enabled: Whether any is.
        new: Objects that it was not asked about yet.
        refresh: Objects whose last answer is old, or that have changed since.
        lost: Objects that the device stood behind, and that broke off in the middle of the scene.
        weak: Places where the model says something too weakly for an object, over several frames.
        motion: Places where something moves, and nothing is detected.
        refresh_after_s: An object is asked about again after so long, or up to .12 s sooner; at once where it
            has changed.
        min_hits: In how many frames an object must be detected before it is asked about.
    """

    enabled: bool = True
    new: bool = True
    refresh: bool = True
    lost: bool = True
    weak: bool = True
    motion: bool = True
    refresh_after_s: Annotated[float, Field(ge=0.1, le=86_400)] = 0.5
    min_hits: Annotated[int, Field(ge=1, le=1000)] = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """What a question's picture shows.

    Attributes:
        margins: Around the object.
        min_px: At least so wide and high.
        alone: Cameras whose pictures show nothing but the object in question: all else is painted over.
        context_px: The longer side of a whole frame, at most, where a question shows that.
    """

    margins: Margins
    min_px: int
    alone: frozenset[str] = frozenset()
    context_px: int = CONTEXT_PX
