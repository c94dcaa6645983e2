"""What the update worker needs from the disk, as ports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from agent.update.ports import Candidate
from agent.update.record import UpdateRecord
from wire.updates import ModelRef


class Records(Protocol):
    """Keeps the one record."""

    def load(self) -> UpdateRecord | None:
        """What was saved last; None where nothing was.

        Raises:
            ModelStoreBroken: What lies there is no record; it was set aside.
        """

    def save(self, record: UpdateRecord) -> None:
        """Keep it; it survives a power cut from here on.

        Raises:
            NoRoom, ModelStoreBroken: What was kept before is still kept.
        """


class Models(Protocol):
    """Keeps the models: the one that the device was born with, and two more.

    All calls but those that say otherwise raise `NoRoom` or `ModelStoreBroken`, and leave what runs as it was.
    """

    @property
    def built_in(self) -> Candidate:
        """What the device was born with; never deleted."""

    def startup_models(self) -> Iterator[Candidate]:
        """What to start with, best first: current, previous, built-in; only such as are whole. Never raises."""

    def current(self) -> ModelRef:
        """What the pointer names; the built-in model where there is no pointer. Never raises."""

    def previous(self) -> ModelRef | None:
        """What the pointer named before. Never raises."""

    def room(self) -> bool:
        """Whether a download may go on taking space."""

    def held(self, ref: ModelRef) -> Candidate | None:
        """The release, if it is stored and whole."""

    def stage(self, ref: ModelRef) -> Path:
        """A folder to download into; holds what was downloaded of it before."""

    def discard(self) -> None:
        """Remove what was staged."""

    def verify_staged(self, ref: ModelRef) -> Candidate:
        """Hash what was downloaded.

        Raises:
            DownloadFailed: It is not the release; it was removed.
        """

    def adopt(self, ref: ModelRef) -> Candidate:
        """Move what was staged to its place, or find it there already."""

    def point(self, ref: ModelRef, previous: ModelRef | None) -> None:
        """Let the pointer name it, and remember what it named before."""

    def collect(self) -> None:
        """Remove all but the built-in, the current and the previous model."""
