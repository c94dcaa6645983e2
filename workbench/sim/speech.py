"""What a simulated device says of itself, as messages of the protocol. Pure: ids, numbers and times come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from wire.commands import Command, Phase, Response
from wire.messages import (
    AlertState,
    CameraState,
    CameraStatus,
    CameraTelemetry,
    ModelStatus,
    Presence,
    Status,
    Telemetry,
)
from wire.updates import ModelRef, Reported
from workbench.sim.desk import Ending
from workbench.sim.personality import Traits
from workbench.sim.updating import FRAMES_PER_S, Update

CAMERA: Final = "camera-1"
INFERENCE_MS: Final = 30.0
RSS_MIB: Final = 60.0
CPU_SHARE: Final = 0.3
"""Made up, and about what a small board shows."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every message of a device carries."""

    device: str
    message_id: str
    boot_id: str
    boot_seq: int
    made_at: datetime

    def fields(self) -> dict[str, Any]:
        """By name, for the message's maker."""
        return {name: getattr(self, name) for name in self.__slots__}


def status_of(
    said: Envelope, traits: Traits, running: ModelRef, presence: Presence, started_at: datetime, reason: str = ""
) -> Status:
    """Birth, last will and goodbye; an old agent's says nothing of models and cameras."""
    model = ModelStatus(
        name=running.name, version=running.version, digest=running.digest, runtime="simulated", delegate="none"
    )
    return Status(
        **said.fields(),
        presence=presence,
        reason=reason,
        agent_version=traits.agent_version,
        started_at=started_at,
        model=model if traits.updates else None,
        cameras=(CameraStatus(name=CAMERA, state=CameraState.LIVE),) if traits.updates else (),
    )


def telemetry_of(said: Envelope, uptime_s: float, alerts: int, waiting: int) -> Telemetry:
    """The figures: those of the alerts are true."""
    frames = int(uptime_s * FRAMES_PER_S)
    camera = CameraTelemetry(name=CAMERA, captured=frames, judged=frames, fps=FRAMES_PER_S, inference_ms=INFERENCE_MS)
    return Telemetry(
        **said.fields(),
        uptime_s=uptime_s,
        rss_mib=RSS_MIB,
        cpu_s=uptime_s * CPU_SHARE,
        cameras=(camera,),
        alerts={AlertState.CONFIRMED: alerts},
        outbox_depth=waiting,
    )


def response_of(said: Envelope, command: Command, phase: Phase, ending: Ending | None) -> Response:
    """An answer to a command."""
    return Response(
        **said.fields(),
        command_id=command.message_id,
        name=command.name,
        phase=phase,
        outcome=None if ending is None else ending.outcome,
        reason="" if ending is None else ending.reason,
        result={} if ending is None else ending.result,
    )


def reported_of(said: Envelope, update: Update) -> Reported:
    """What runs, and how the update stands."""
    return Reported(
        **said.fields(),
        desired_version=update.version,
        deployment_id=None if update.wanted is None else update.wanted.deployment_id,
        state=update.state,
        running=update.running,
        previous=update.previous,
        target=update.target,
        reason=update.reason,
    )
