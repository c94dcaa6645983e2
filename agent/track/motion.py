"""Where an object is, where it goes, and how sure that is: a constant-velocity Kalman filter on a box.

Noise is measured in the object's own size, so one variance serves all directions, any aspect ratio and any distance
from the camera, and a frame costs a few multiplications in plain Python: faster than numpy at ten objects.
"""

from __future__ import annotations

from typing import Final

from agent.domain import Box, Rider, Shift

# In box sizes and seconds, from searches over the first half of PETS09-S2L1: after second looks a box is placed
# within about a fifteenth of its size; people change their speed by a third of their width a second each second.
MEASURED_VAR: Final = 0.065**2
FIRST_SPEED_VAR: Final = 1.0**2
SPEED_NOISE: Final = 0.1
# How much of a new width and height is taken over: sizes jitter more than places, and change slowly.
SIZE_GAIN: Final = 0.35
# Half of an unseen object's speed is forgotten in this time: people who are hidden often stop or turn.
SPEED_HALF_LIFE_S: Final = 1.0
RIDDEN_SPEED_GAIN: Final = 0.5
RIDDEN_VAR: Final = 0.02
"""How fast the place of an object that goes with the pictures becomes uncertain, in squared box sizes a second."""
SMALLEST: Final = 1e-4
"""A side below a pixel of a 4K picture; keeps divisions by the size sound."""


class Motion:
    """One object's filter: centre with speed, and size."""

    __slots__ = (
        "_coasted_s",
        "_cx",
        "_cy",
        "_dx",
        "_dy",
        "_h",
        "_p00",
        "_p01",
        "_p11",
        "_vx",
        "_vy",
        "_w",
        "box",
        "gone",
    )

    box: Box
    """The box by now; it may reach beyond the picture."""
    gone: Shift
    """How far it has gone since it began, without what corrected its place."""

    def __init__(self, box: Box) -> None:
        x1, y1, x2, y2 = box
        self._cx, self._cy = (x1 + x2) / 2, (y1 + y2) / 2
        self._w, self._h = max(x2 - x1, SMALLEST), max(y2 - y1, SMALLEST)
        self._vx = self._vy = 0.0
        self._p00, self._p01, self._p11 = MEASURED_VAR, 0.0, FIRST_SPEED_VAR
        self.gone = (0.0, 0.0)
        self.pictured()
        self._place()

    def pictured(self) -> None:
        """Take note that there is a picture of just now, from which `rider` begins."""
        self._dx = self._dy = self._coasted_s = 0.0

    def rider(self, dt_s: float) -> Rider:
        """Where it was in the latest picture, for all that is known by now; it goes on for `dt_s`."""
        x1, y1, x2, y2 = self.box
        dx, dy = self._dx, self._dy
        return Rider((x1 - dx, y1 - dy, x2 - dx, y2 - dy), (dx + self._vx * dt_s, dy + self._vy * dt_s))

    def predict(self, dt_s: float, *, unseen: bool) -> None:
        """Move on by `dt_s`; an object that is `unseen` slows down."""
        if unseen:
            slower = 0.5 ** (dt_s / SPEED_HALF_LIFE_S)
            self._vx *= slower
            self._vy *= slower
        self._coast(dt_s)
        noise = SPEED_NOISE * dt_s
        self._p00 += dt_s * (2 * self._p01 + dt_s * self._p11) + noise * dt_s * dt_s / 3
        self._p01 += dt_s * self._p11 + noise * dt_s / 2
        self._p11 += noise
        self._place()

    def ride(self, box: Box, dt_s: float) -> None:
        """Go where the pictures show that it went since the latest one, instead of `predict`; its size stays."""
        x1, y1, x2, y2 = box
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        apart_s = self._coasted_s + dt_s
        if apart_s > 0.0:
            self._vx += RIDDEN_SPEED_GAIN * ((cx - self._cx + self._dx) / apart_s - self._vx)
            self._vy += RIDDEN_SPEED_GAIN * ((cy - self._cy + self._dy) / apart_s - self._vy)
        self.gone = (self.gone[0] + cx - self._cx, self.gone[1] + cy - self._cy)
        self._cx, self._cy = cx, cy
        self._p00 = min(self._p00 + RIDDEN_VAR * dt_s, FIRST_SPEED_VAR)
        self._p11 += SPEED_NOISE * dt_s
        self.pictured()
        self._place()

    def ride_on(self, dt_s: float) -> None:
        """Go on between two pictures at the speed that they show, instead of `ride`."""
        self._coast(dt_s)
        self._p00 = min(self._p00 + RIDDEN_VAR * dt_s, FIRST_SPEED_VAR)
        self._p11 += SPEED_NOISE * dt_s
        self._place()

    def stop(self) -> None:
        """Stand still from here on, until a detection says otherwise."""
        self._vx = self._vy = 0.0

    def correct(self, box: Box, size_gain: float = SIZE_GAIN) -> None:
        """Take in a detection; `size_gain` of its size is taken over."""
        x1, y1, x2, y2 = box
        total = self._p00 + MEASURED_VAR
        gain, speed_gain = self._p00 / total, self._p01 / total
        off_x, off_y = (x1 + x2) / 2 - self._cx, (y1 + y2) / 2 - self._cy
        self._cx += gain * off_x
        self._cy += gain * off_y
        self._vx += speed_gain * off_x
        self._vy += speed_gain * off_y
        self._p11 -= speed_gain * self._p01
        self._p01 *= 1 - gain
        self._p00 *= 1 - gain
        self._w = max(self._w + size_gain * (x2 - x1 - self._w), SMALLEST)
        self._h = max(self._h + size_gain * (y2 - y1 - self._h), SMALLEST)
        self._place()

    def shift(self, box: Box, share: float, size_share: float) -> None:
        """Go a part of the way to where the object really is; its speed stays, since it was only placed badly."""
        x1, y1, x2, y2 = box
        self._cx += share * ((x1 + x2) / 2 - self._cx)
        self._cy += share * ((y1 + y2) / 2 - self._cy)
        self._w = max(self._w + size_share * (x2 - x1 - self._w), SMALLEST)
        self._h = max(self._h + size_share * (y2 - y1 - self._h), SMALLEST)
        self._place()

    @property
    def inside(self) -> bool:
        """Whether the centre is still in the picture."""
        return 0.0 <= self._cx <= 1.0 and 0.0 <= self._cy <= 1.0

    def _coast(self, dt_s: float) -> None:
        dx, dy = self._vx * dt_s, self._vy * dt_s
        self._cx += dx
        self._cy += dy
        self._dx += dx
        self._dy += dy
        self.gone = (self.gone[0] + dx, self.gone[1] + dy)
        self._coasted_s += dt_s

    def _place(self) -> None:
        """Work the box out once for all who ask: it is read about five times as often as it changes."""
        half_w, half_h = self._w / 2, self._h / 2
        self.box = (self._cx - half_w, self._cy - half_h, self._cx + half_w, self._cy + half_h)
