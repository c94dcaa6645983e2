"""How many second looks a frame may have, so that the device keeps pace with its cameras. Pure.

All cameras share one judging thread, so what matters is how often a picture of any of them comes. Of that time a
share may be spent on judging; what the walk itself leaves of it is for looks. A fraction of a look is saved for the
next frame. A source that waits for the judge can't be fallen behind, and gets what the settings say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.detect.settings import LookSettings

MEMORY: Final = 0.2
"""What one frame counts in the averages: at ten frames a second, a device that became busy is noticed within one."""
GONE_S: Final = 5.0
"""A camera that gave nothing for so long takes no time from the others."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a camera's pictures come.

    Attributes:
        waits: The source waits until a frame was judged.
        fps_limit: Pictures above this rate are left out; None: no limit.
    """

    waits: bool = False
    fps_limit: float | None = None


class _Arrivals:
    """How often one camera's pictures come."""

    __slots__ = ("at", "index", "period_s", "saved")

    def __init__(self, index: int, at: float) -> None:
        self.index = index
        self.at = at
        self.period_s: float | None = None
        self.saved = 0.0

    def note(self, index: int, at: float) -> None:
        pictures, gap_s = index - self.index, at - self.at
        self.index, self.at = index, at
        if pictures > 0 and gap_s > 0.0:
            period_s = gap_s / pictures
            self.period_s = period_s if self.period_s is None else _average(self.period_s, period_s)


class LookBudget:
    """Grants looks, and learns from what they cost.

    Args:
        settings: See there.
        paces: By camera; one that is not named is taken for a live one.
        pay: How many looks a frame the model's manifest says do.
    """

    def __init__(self, settings: LookSettings, paces: Mapping[str, Pace] | None = None, pay: float = 0.0) -> None:
        self._settings = settings
        self.per_frame = settings.with_model(pay)
        """Looks a frame at the most, on average."""
        self._paces = dict(paces or {})
        self._arrivals: dict[str, _Arrivals] = {}
        self._walk_s: float | None = None
        self._look_s: float | None = None

    def follow_model(self, pay: float) -> None:
        """Go on with a model for which so many looks a frame pay."""
        self.per_frame = self._settings.with_model(pay)

    def grant(self, camera: str, index: int, at: float) -> int:
        """How many looks the frame may have.

        Args:
            camera: Whose frame it is.
            index: As `Frame.index`: what was left out counts.
            at: When it was captured, in seconds.
        """
        arrivals = self._arrivals.get(camera)
        if arrivals is None:
            arrivals = self._arrivals[camera] = _Arrivals(index, at)
        else:
            arrivals.note(index, at)
        allowed = min(self.per_frame, self._room(camera, at))
        # What is saved never makes more than one look beside the frame's own.
        arrivals.saved = min(arrivals.saved + allowed, allowed + 1.0)
        return int(arrivals.saved)

    def took(self, camera: str, looks: int) -> None:
        """So many of the looks granted were taken."""
        self._arrivals[camera].saved -= looks

    def spent(self, walk_s: float, looks: int, looks_s: float) -> None:
        """What a frame cost.

        Args:
            walk_s: All but the looks.
            looks: How many there were.
            looks_s: What they took together.
        """
        self._walk_s = walk_s if self._walk_s is None else _average(self._walk_s, walk_s)
        if looks:
            each_s = looks_s / looks
            self._look_s = each_s if self._look_s is None else _average(self._look_s, each_s)

    def _room(self, camera: str, at: float) -> float:
        """How many looks the time until the next picture has room for."""
        if self._pace(camera).waits:
            return self.per_frame
        if self._walk_s is None:
            return 0.0
        per_s = 0.0
        for name, arrivals in self._arrivals.items():
            if not self._pace(name).waits and at - arrivals.at <= GONE_S and arrivals.period_s is not None:
                limit = self._pace(name).fps_limit
                per_s += 1.0 / arrivals.period_s if limit is None else min(1.0 / arrivals.period_s, limit)
        if per_s <= 0.0:
            return 0.0
        # Before the first look is measured: it is an inference, as most of the walk is.
        look_s = self._look_s or self._walk_s
        return max(0.0, (self._settings.time_share / per_s - self._walk_s) / max(look_s, 1e-6))

    def _pace(self, camera: str) -> Pace:
        return self._paces.get(camera, Pace())


def _average(before: float, now: float) -> float:
    return before + MEMORY * (now - before)
