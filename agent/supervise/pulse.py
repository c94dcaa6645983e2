"""When the agent is ready, and whether it lives; pure.

*Ready* is an agent that has looked at a frame, or all of whose cameras are known to be lost or at their end: a camera
that is unplugged must not keep the others, or the alerts of the last run, from being delivered. How soon a camera
counts as lost is bounded by its `stall_timeout_s`, so the start is bounded too.

*Alive* is an agent
1. whose link's task runs: without it nothing is ever delivered, and connecting again is that task's own business;
2. whose judging thread comes round: it does at least four times a second, unless it is stuck in a frame;
3. that looks at frames, where a live camera must give some. A camera that stops is known as lost soon after, which
   excuses it; one that is called live and gives nothing for longer than that means that our own reading is broken.

An outage of the network is no reason to be restarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wire.messages import CameraState

GONE: Final = frozenset({CameraState.LOST, CameraState.ENDED})


@dataclass(frozen=True, slots=True)
class Vitals:
    """What there is to see of the agent at one moment.

    Attributes:
        at: Seconds of the monotonic clock.
        turns: How often the judging thread came round since the start, with a frame or without one.
        looked: Frames that it looked at since the start: judged, found still, or failed on.
        cameras: Each camera's state.
        must_show: Cameras that give pictures as long as they are live; a recorded one may pause as long as it likes.
        link_runs: The link's task has not ended.
    """

    at: float
    turns: int
    looked: int
    cameras: Mapping[str, CameraState]
    must_show: frozenset[str]
    link_runs: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """What follows from the vitals.

    Attributes:
        trouble: Why the agent does not count as alive; empty where it does.
    """

    ready: bool
    trouble: str

    @property
    def alive(self) -> bool:
        """The watchdog may be fed."""
        return not self.trouble


class Pulse:
    """Compares each moment's vitals with those before.

    Args:
        turn_patience_s: How long the judging thread may take for one frame.
        frame_patience_s: How long there may be no frame of a live camera; above what makes a camera count as lost.
    """

    def __init__(self, *, turn_patience_s: float, frame_patience_s: float) -> None:
        self._turn_patience_s = turn_patience_s
        self._frame_patience_s = frame_patience_s
        self._turns = self._looked = -1
        self._turned_at = self._looked_at = 0.0
        self._ready = False

    def take(self, vitals: Vitals) -> Beat:
        """What follows from how things are now."""
        if vitals.turns != self._turns:
            self._turns, self._turned_at = vitals.turns, vitals.at
        shows = any(vitals.cameras.get(name) is CameraState.LIVE for name in vitals.must_show)
        if vitals.looked != self._looked or not shows:
            self._looked, self._looked_at = vitals.looked, vitals.at
        gone = bool(vitals.cameras) and all(state in GONE for state in vitals.cameras.values())
        self._ready = self._ready or vitals.looked > 0 or gone
        return Beat(self._ready, self._trouble(vitals))

    def _trouble(self, vitals: Vitals) -> str:
        if not vitals.link_runs:
            return "the link's task has ended"
        if (stuck_s := vitals.at - self._turned_at) > self._turn_patience_s:
            return f"judging is stuck in a frame for {stuck_s:.0f} s"
        if (blind_s := vitals.at - self._looked_at) > self._frame_patience_s:
            return f"cameras are live, and no frame was looked at for {blind_s:.0f} s"
        return ""
