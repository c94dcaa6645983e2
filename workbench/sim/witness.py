"""Who is told of what happens to simulated devices."""

from __future__ import annotations

from typing import Protocol

from wire.updates import UpdateState
from workbench.sim.desk import Ending
from workbench.sim.lies import Lie


class Witness(Protocol):
    """Told of what happens, for the figures."""

    def raised(self, message_id: str, alert_id: str, *, first: bool) -> None:
        """An alert message went into the outbox."""

    def acked(self, device: str, alert_id: str, delay_s: float, *, cut: bool) -> None:
        """The cloud has a message about the alert, so long after it was raised.

        `cut`: the connection broke in between.
        """

    def lied(self, lie: Lie, message_id: str | None) -> None:
        """A lie left the device."""

    def answered(self, ending: Ending) -> None:
        """A command came to its end."""

    def came(self, *, first: bool) -> None:
        """A device is online; `first` where it never was before."""

    def went(self) -> None:
        """It no longer is."""

    def moved(self, before: UpdateState, after: UpdateState) -> None:
        """An update's state."""

    def refused(self, why: str) -> None:
        """The broker or a message was not as it should be."""

    def someone(self, liar: str) -> tuple[str, str]:
        """A device, and an alert that the cloud has of any but the liar, for a liar to abuse.

        There may be no such alert yet: an empty id. About one that is still under way nothing could be a lie: whose
        it is, the cloud learns from who speaks of it first.
        """
