"""The agent's condition as one line for `systemctl status`; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wire.messages import CameraState

MAX_STATUS: Final = 500
"""Two or three lines of a terminal; the journal has the rest."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the line is made of.

    Attributes:
        cameras: Each camera's state and detail.
        fps: Frames looked at a second, over all cameras.
        alerts: Raised since the start.
        waiting: Messages that the cloud has not acknowledged.
        online: Whether the broker has us.
        broker: Its address.
        model: The model that judges, in words.
        trouble: What a person should look at first; empty where there is nothing.
    """

    cameras: Mapping[str, tuple[CameraState, str]]
    fps: float
    alerts: int
    waiting: int
    online: bool
    broker: str
    model: str
    trouble: str = ""


def status_line(condition: Condition) -> str:
    """The line, without line breaks."""
    link = f"connected to {condition.broker}" if condition.online else f"not connected to {condition.broker}"
    parts = [
        condition.trouble,
        f"{_cameras(condition.cameras)}, {condition.fps:.1f} frames/s",
        f"{condition.alerts} {'alert' if condition.alerts == 1 else 'alerts'}, {condition.waiting} undelivered",
        link,
        condition.model,
    ]
    return one_line("; ".join(part for part in parts if part))


def one_line(text: str) -> str:
    """Fit for a status: the lines of an error joined, unprintable characters replaced, cut to a bearable length."""
    joined = " | ".join(line.strip() for line in text.splitlines() if line.strip())
    printable = "".join(c if c.isprintable() else "?" for c in joined)
    return printable if len(printable) <= MAX_STATUS else printable[: MAX_STATUS - 1] + "…"


def _cameras(cameras: Mapping[str, tuple[CameraState, str]]) -> str:
    live = sum(state is CameraState.LIVE for state, _ in cameras.values())
    others = [
        f"{name} {state}{f': {detail}' if detail and state is CameraState.LOST else ''}"
        for name, (state, detail) in cameras.items()
        if state is not CameraState.LIVE
    ]
    counted = f"{live} of {len(cameras)} {'camera' if len(cameras) == 1 else 'cameras'} live"
    return f"{counted} ({', '.join(others)})" if others else counted
