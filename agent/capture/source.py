"""The port behind which files, folders, devices and streams stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vision.detections import Image


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture as a source gives it.

    Attributes:
        image: uint8 (H, W, 3), BGR; the source never writes to it again.
        position_s: Its place in a recorded source, never less than the one before; None for a live one.
    """

    image: Image
    position_s: float | None


class Source(Protocol):
    """Gives pictures one after another, to one thread. May be opened again after it was closed."""

    def open(self) -> None:
        """Begin, a recorded source at its start.

        Raises:
            agent.errors.SourceMissing: No such file, folder or device.
            agent.errors.SourceUnreadable: It is there, but can't be read.
            agent.errors.SourceEmpty: A file or folder without a single picture.
        """

    def read(self) -> Shot | None:
        """The next picture; None when a recorded source is at its end.

        May block for as long as the source's own timeouts allow.

        Raises:
            agent.errors.CameraLost: A live source stopped giving pictures.
            agent.errors.SourceEmpty: A recorded source ended before its first picture.
        """

    def close(self) -> None:
        """Let go of it; harmless when it is not open, and never fails."""

    @property
    def remark(self) -> str:
        """What a person should know about the reading so far, such as pictures that were skipped; mostly empty."""
