"""What the judging thread keeps: of each camera from frame to frame, and of the run for whoever asks how it goes."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.ask.objects import CHOOSE_EVERY_S
from agent.ask.suspects import Sign
from agent.decide.masks import MaskFilter
from agent.deliver.stream_cost import StreamCost
from agent.detect.flow import Flow
from agent.detect.motion import MotionGate
from agent.detect.movement import Movement
from agent.detect.regions import Target
from agent.domain import AlertChange, Track
from agent.track.tracker import Tracker
from wire.messages import AlertEvent, AlertState


@dataclass(slots=True)
class Lane:
    """What one camera keeps from frame to frame."""

    tracker: Tracker
    masks: MaskFilter
    gate: MotionGate | None = None
    movement: Movement | None = None
    """Where second looks and questions go beside what the detector shows."""
    stream_cost: StreamCost | None = None
    flow: Flow | None = None
    """Where what the cloud placed goes; None where nobody is asked about objects."""
    tracks: Sequence[Track] = ()
    """Of the last frame that was judged."""
    judged: int = 0
    still: int = 0
    looks: int = 0
    """Second looks at all judged frames."""
    inference_s: float = 0.0
    """Sum over all judged frames."""
    moving: Sequence[Sign] | None = None
    """Where something moved in the frame at hand; None where that was not looked for."""
    on_turn: bool = False
    """Whether it is the turn of the frame at hand to be made small, followed in, and chosen questions from."""
    _turned_at: float = -math.inf

    def signs(self, moving: Sequence[Target]) -> list[Sign]:
        """What moves in the picture at hand: what nothing explains, as `moving` has it, and who passes by."""
        passed = () if self.movement is None else self.movement.passed
        return [*(Sign(target.box) for target in moving), *(Sign(box, passing=True) for box in passed)]

    def turn(self, at: float) -> None:
        """Whether it is a frame's turn, captured at that time; see CHOOSE_EVERY_S."""
        self.on_turn = not 0.0 <= at - self._turned_at < CHOOSE_EVERY_S
        if self.on_turn:
            self._turned_at = at


@dataclass(slots=True)
class Stages:
    """Seconds spent in each stage since the start, for `vedette-agent bench` and `vedette replay`.

    Attributes:
        ride: Making pictures small and following in them what the cloud placed.
        choose: Choosing what to ask.
        ask: Handing questions over.
        hear: Taking in what answers say of objects.
    """

    gate: float = 0.0
    detect: float = 0.0
    look: float = 0.0
    track: float = 0.0
    decide: float = 0.0
    deliver: float = 0.0
    ask: float = 0.0
    ride: float = 0.0
    choose: float = 0.0
    hear: float = 0.0

    @property
    def policy(self) -> float:
        """What a device spends because it asks about objects: all that one which never asks does not do at all."""
        return self.ride + self.choose + self.hear


class Tally:
    """What became of the alerts since the start; written by the judging thread, read by any.

    Attributes:
        asks: Questions of every reason.
        asks_again: Of them, those about an alert that an answer had left in doubt.
    """

    REMEMBERED: Final = 10_000
    """An alert that changes after so many newer ones stays counted where it was."""

    def __init__(self) -> None:
        self._now: OrderedDict[str, AlertState] = OrderedDict()
        self._counts: Counter[AlertState] = Counter()
        self.asks = 0
        self.asks_again = 0

    def note(self, change: AlertChange) -> None:
        """Count an alert where it stands by now."""
        before = self._now.pop(change.id, None)
        if before is None and change.event is not AlertEvent.NEW:
            return
        if before is not None:
            self._counts[before] -= 1
        self._counts[change.state] += 1
        self._now[change.id] = change.state
        if len(self._now) > self.REMEMBERED:
            self._now.popitem(last=False)

    def alerts(self) -> dict[AlertState, int]:
        """How many alerts stand in each state."""
        return {state: self._counts[state] for state in AlertState}
