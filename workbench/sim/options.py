"""What a person asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.sim.personality import Personality


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A service that runs already.

    Attributes:
        http: Where its API is, and for devices with tokens the repository.
        broker: Where devices connect; None where their credentials are claims, which say so themselves.
        credentials: JSON lines, as `vedette device enroll --from FILE --json` prints them.
        root_file: The root of trust that the devices pin; without it they take no updates.
        data_dir: The service's own, where it lies on this machine; the store is held against what was raised there.
    """

    http: str
    broker: str | None
    credentials: Path
    root_file: Path | None = None
    data_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class SimOptions:
    """The options of `vedette sim`.

    Attributes:
        duration_s: Of the time in which alerts are raised, from when all are online; None is until Ctrl-C.
        alerts_per_minute: Of each device, on average.
        commands: How many are given to the fleet.
        rollout: The model that is rolled out over it; None for none.
        data_dir: Kept afterwards; None is a temporary folder, removed.
        elsewhere: None starts a service for the simulation.
    """

    devices: int
    mix: Mapping[Personality, int]
    seed: int
    duration_s: float | None
    alerts_per_minute: float
    commands: int
    rollout: str | None
    data_dir: Path | None = None
    http_port: int = 0
    elsewhere: Elsewhere | None = None
