"""What the judging thread needs of the rest of the agent, and who watches it, as ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.ask.budget import Balance
from agent.decide.zones import Polygon
from agent.domain import AlertChange, Ask, Frame, Track
from vision.detections import Detections
from vision.errors import InferenceFailed


class FrameSupply(Protocol):
    """Where frames come from: the cameras' slots."""

    def take(self, timeout_s: float) -> Frame | None:
        """The frame that waited longest, or None when there was none in time, or on `wake`."""

    def wake(self) -> None:
        """Make a waiting `take` return."""


class AlertOutbox(Protocol):
    """Where alert changes are made safe."""

    def record(self, changes: Sequence[AlertChange]) -> object:
        """Commit the changes, or hold them while the disk refuses; never raises for the disk's sake."""


class Asker(Protocol):
    """Where questions and pictures leave; never blocks on the network."""

    def submit(self, ask: Ask, frame: Frame) -> bool:
        """Ask about an object of the frame; whether it was taken."""

    def submit_picture(self, change: AlertChange, frame: Frame) -> object:
        """Send the picture of an alert."""


class BalanceKeeper(Protocol):
    """Where what is left of the budget is kept."""

    def keep(self, balance: Balance) -> None:
        """Write it down; never raises for the disk's sake."""


class Viewer(Protocol):
    """Shows people what is judged. The judging thread waits for it: it must return at once."""

    def looked(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """These objects are in the frame; of one too still to be judged, those of the last before it."""

    def changed(self, change: AlertChange) -> None:
        """An alert changed; it is in the outbox."""


class Door(Protocol):
    """Through which pictures leave; told what is in a frame before any of it does."""

    def seen(
        self, frame: Frame, detections: Detections | None, tracks: Sequence[Track], close: Detections | None = None
    ) -> None:
        """All that the model said of the frame, and what is followed; None where it was too still to be judged.

        `close` is what its second looks showed, in shares of the frame; None where there were none.
        """


class Onlooker(Protocol):
    """Told of each frame by the judging thread, which waits for it: it must return at once."""

    def judged(self, frame: Frame, detections: Detections, inference_s: float) -> None:
        """The model said this of the frame."""

    def failed(self, failure: InferenceFailed) -> None:
        """The model failed on a frame."""

    def skipped(self) -> None:
        """A frame was too still to be judged."""


class Audience(Protocol):
    """Told of each judged frame what is in it; what it does takes time from the judging."""

    def followed(self, frame: Frame, tracks: Sequence[Track], looks: int) -> None:
        """These objects are followed, and the frame was looked at so often beside the first time."""


class Auditor(Protocol):
    """Draws frames for audit; told of each by the judging thread, which waits for it: it must return at once."""

    def judged(
        self, frame: Frame, detections: Detections, tracks: Sequence[Track], masks: tuple[Polygon, ...]
    ) -> None:
        """This was said of the frame; what stands in a mask is not among it."""

    def still(self, frame: Frame, masks: tuple[Polygon, ...]) -> None:
        """The frame was too still to be judged: what was said of the one before stands."""
