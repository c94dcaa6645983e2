"""Doors for tests of what stands behind them."""

from __future__ import annotations

from agent.redact.door import PictureDoor
from agent.redact.paint import Polygon
from agent.redact.settings import RedactionSettings
from wire.messages import Hide


class AnyCamera(dict[str, RedactionSettings]):
    """The same settings for every camera."""

    def __init__(self, settings: RedactionSettings) -> None:
        super().__init__()
        self._settings = settings

    def __missing__(self, camera: str) -> RedactionSettings:
        return self._settings


def plain_door(*masks: Polygon) -> PictureDoor:
    """Hides nothing but the masks, on every camera."""
    return PictureDoor(AnyCamera(RedactionSettings()), lambda _camera: masks)


def door(hide: Hide, *masks: Polygon, camera: str = "gate", people: tuple[str, ...] = ("person",)) -> PictureDoor:
    """Of one camera."""
    return PictureDoor({camera: RedactionSettings(hide=hide, people=people)}, lambda _camera: masks)
