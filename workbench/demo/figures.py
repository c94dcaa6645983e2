"""The demo's figures: what it prints while it runs and hands to programs at the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class RolloutFigures:
    """How a rollout stands.

    Attributes:
        devices: What each device last answered, of those that were told.
        updated: Devices that run it and have come through their probation.
        agent_rss_mib: The largest agent's resident memory since it began: with the other model, and beside it.
    """

    id: str
    model: str
    phase: str = "running"
    reason: str = ""
    devices: dict[str, str] = field(default_factory=dict)
    updated: int = 0
    agent_rss_mib: float = 0.0


@dataclass(slots=True)
class Figures:
    """What the demo has shown so far; of a kept data folder, only what came since the start.

    Attributes:
        first_alert_s: From the start of the command to the first alert that the dashboard can show.
        alerts_raised: New alerts, as the agents counted them.
        alerts_stored: Alerts in the cloud's store.
        duplicates: Alert messages stored more than once; anything but 0 is a fault.
        bytes_if_streamed: Every frame whole as JPEG q80, from frames that the agents encode now and then.
        agent_rss_mib: The largest agent's resident memory, on the model that it began with.
        updated: Devices that a rollout has brought to another model.
        rollout: How that stands; None where there is none.
        cameras: How each was doing when last heard of, and why.
    """

    first_alert_s: float | None = None
    alerts_raised: int = 0
    alerts_stored: int = 0
    duplicates: int = 0
    confirmed: int = 0
    retracted: int = 0
    provisional: int = 0
    asks: int = 0
    answers: int = 0
    bytes_sent: int = 0
    bytes_if_streamed: int = 0
    frames: int = 0
    agent_rss_mib: float = 0.0
    source: str = ""
    dashboard: str = ""
    updated: int = 0
    rollout: RolloutFigures | None = None
    devices: dict[str, str] = field(default_factory=dict)
    cameras: dict[str, str] = field(default_factory=dict)

    @property
    def saved_share(self) -> float | None:
        """The share of the bytes that streaming would have cost and that did not leave the device."""
        return 1 - self.bytes_sent / self.bytes_if_streamed if self.bytes_if_streamed else None

    def for_programs(self) -> dict[str, Any]:
        """The `--json` object."""
        return asdict(self)
