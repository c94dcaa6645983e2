"""A device's only camera. Things come by at random and are gone some seconds later: an alert of two messages each."""

from __future__ import annotations

import secrets
from typing import Final

from agent.domain import Clock
from wire.messages import Alert
from wire.updates import ModelRef
from workbench.sim.alerts import Sight, alert_of, seen
from workbench.sim.delivery import Delivery
from workbench.sim.dice import Dice
from workbench.sim.timers import Timers
from workbench.sim.voice import Voice
from workbench.sim.witness import Witness

SIGHT_S: Final = 8.0
"""Mean time from an alert's first message to its last."""
LAST_SIGHTS_S: Final = 4.0
"""Within so long the alerts that are open at the end of a simulation end, instead of all at once."""


class Camera:
    """Raises alerts, one with another every `every_s` seconds; none where that is None.

    Attributes:
        raised: How many alerts so far.
        open: How many of them have not ended.
        model: What judges its frames.
    """

    __slots__ = (
        "_calm", "_clock", "_delivery", "_dice", "_every_s", "_invented", "_muted_until", "_sequence", "_timers",
        "_voice", "_witness", "model", "open", "raised",
    )  # fmt: skip

    def __init__(
        self,
        every_s: float | None,
        model: ModelRef,
        *,
        voice: Voice,
        delivery: Delivery,
        timers: Timers,
        dice: Dice,
        clock: Clock,
        witness: Witness,
    ) -> None:
        self.model = model
        self.raised = 0
        self.open = 0
        self._every_s = every_s
        self._voice = voice
        self._delivery = delivery
        self._timers = timers
        self._dice = dice
        self._clock = clock
        self._witness = witness
        self._calm = False
        self._muted_until = 0.0
        self._sequence = 0
        self._invented = 0
        if every_s is not None:
            timers.after(dice.wait(every_s), self._raise)

    def mute(self, for_s: float) -> None:
        """Raise nothing new for so long."""
        self._muted_until = self._clock.monotonic() + for_s

    def calm_down(self) -> None:
        """Raise nothing new any more; what is open ends soon."""
        self._calm = True
        self._timers.move(self._end, lambda: self._dice.between(0.0, LAST_SIGHTS_S))

    def invent(self) -> Alert:
        """An alert about nothing, for a liar.

        It is of a camera of its own, so that a refusal is about what is wrong with it, and about nothing else.
        """
        self._invented += 1
        sight = seen(self._dice, secrets.token_hex(16), 0, self._clock.wall())
        alert = alert_of(sight, self._voice.envelope(), sequence=1, ends=False, model_digest=self.model.digest)
        return alert.model_copy(update={"camera": f"invented-{self._invented}"})

    def _raise(self) -> None:
        if self._calm or self._every_s is None:
            return
        self._timers.after(self._dice.wait(self._every_s), self._raise)
        if self._clock.monotonic() < self._muted_until:
            return
        self.raised += 1
        self.open += 1
        sight = seen(self._dice, secrets.token_hex(16), self.raised, self._clock.wall())
        self._record(sight, ends=False)
        self._timers.after(self._dice.wait(SIGHT_S), self._end, sight)

    def _end(self, sight: Sight) -> None:
        self.open -= 1
        self._record(sight, ends=True)

    def _record(self, sight: Sight, *, ends: bool) -> None:
        self._sequence += 1
        digest = self.model.digest
        alert = alert_of(sight, self._voice.envelope(), sequence=self._sequence, ends=ends, model_digest=digest)
        self._witness.raised(alert.message_id, alert.id, first=not ends)
        self._delivery.add(alert)
