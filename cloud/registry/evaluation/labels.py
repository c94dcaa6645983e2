"""What labels say, before it is known whether the pictures agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud.registry.errors import BoxOutside, LabelsUnreadable
from cloud.registry.evaluation.document import Kind, LabelledBox

MAX_LABELS_BYTES: Final = 256 << 20
"""Twelve times the labels of COCO's 5,000 validation pictures."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class RawBox:
    """A box as it was labelled: x1 y1 x2 y2 in pixels, not held against its picture yet."""

    corners: Corners
    label: str
    kind: Kind
    where: str
    """How a person finds it in the labels."""


@dataclass(frozen=True, slots=True)
class RawPicture:
    """A picture as the labels have it; `size` is width and height where they say it."""

    name: str
    boxes: tuple[RawBox, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RawLabels:
    """All of a file of labels.

    Attributes:
        pictures: By file name.
        frames: By frame, from 0, for a video or a folder of numbered frames.
    """

    pictures: tuple[RawPicture, ...] = ()
    frames: Mapping[int, tuple[RawBox, ...]] | None = None

    def labelled_frames(self) -> range:
        """From the first labelled frame to the last; what has no entry in between shows nothing.

        Whether the frames before and after were looked at, no label can tell.
        """
        frames = self.frames or {}
        return range(min(frames, default=0), max(frames, default=-1) + 1)

    def asked(self) -> tuple[str, ...]:
        """The labels of which there is at least one object, in alphabetical order."""
        boxes = [box for picture in self.pictures for box in picture.boxes]
        boxes += [box for found in (self.frames or {}).values() for box in found]
        return tuple(sorted({box.label for box in boxes if box.kind is Kind.OBJECT}))


def read_bounded(file: Path) -> bytes:
    """The bytes of a file of labels.

    Raises:
        LabelsUnreadable: It can't be read, or is over the limit.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_LABELS_BYTES + 1)
    except OSError as refused:
        raise LabelsUnreadable(
            f"{file} can't be read: {refused.strerror}", "Correct the path or its rights."
        ) from None
    if len(data) > MAX_LABELS_BYTES:
        raise LabelsUnreadable(f"{file} is over {MAX_LABELS_BYTES >> 20} MiB", "Label fewer pictures.")
    return data


def settled(raw: RawBox, picture: str, size: tuple[int, int], labels: tuple[str, ...], slack: float) -> LabelledBox:
    """A box within its picture of `size` (width, height).

    Args:
        raw: As it was labelled.
        picture: The picture's name.
        size: Its width and height.
        labels: Those that are asked for.
        slack: By how many pixels it may reach over the edge; what does is cut off.

    Raises:
        BoxOutside: It reaches further, or has no size.
    """
    x1, y1, x2, y2 = raw.corners
    width, height = size
    beyond = max(-x1, -y1, x2 - width, y2 - height)
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    # Written so that NaN is refused too.
    if not (beyond <= slack and inside[0] < inside[2] and inside[1] < inside[3]):
        raise BoxOutside(
            f"{raw.where}: the box {x1:g} {y1:g} {x2:g} {y2:g} is not in {picture} with its {width}×{height} pixels",
            "Correct or delete it; boxes are in pixels of the picture as it lies there.",
        )
    return LabelledBox(box=inside, label=labels.index(raw.label), kind=raw.kind)
