"""What the demo's agents are told: the same source, watched for different things."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TELEMETRY_EVERY_S: Final = 2
"""More often than on duty, so that the figures on the screen move."""
AUDITED: Final = 0.01
"""Of the frames: some ten a minute from both cameras, so that there is something to see within it."""


@dataclass(frozen=True, slots=True)
class Device:
    """One agent of the demo.

    Attributes:
        part: The part of the picture that it watches: its edges left, top, right and bottom, 0..1; None is all of it.
    """

    name: str
    camera: str
    rule: str
    part: tuple[float, float, float, float] | None
    pictures: str


DEVICES: Final = (
    Device("gate-1", "gate", "anyone", None, "always"),
    Device("plaza-2", "plaza", "foreground", (0.0, 0.5, 1.0, 1.0), "asked"),
)
"""The demo's own two."""
FLEET: Final = (
    *DEVICES,
    Device("path-3", "path", "left", (0.0, 0.0, 0.5, 1.0), "asked"),
    Device("lawn-4", "lawn", "right", (0.5, 0.0, 1.0, 1.0), "asked"),
    Device("road-5", "road", "background", (0.0, 0.0, 1.0, 0.6), "asked"),
    Device("kerb-6", "kerb", "middle", (0.25, 0.2, 0.75, 0.9), "asked"),
    Device("steps-7", "steps", "near-left", (0.0, 0.4, 0.6, 1.0), "asked"),
    Device("yard-8", "yard", "near-right", (0.4, 0.4, 1.0, 1.0), "asked"),
)
"""As many as `--devices` may ask for."""
SHARED_FPS: Final = 5.0
"""Of each camera where there are more than two: they share the cores with the service."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen in a source, and by whom.

    Attributes:
        source: As `cameras.source` of the agent's configuration.
        recorded: It ends, so it is played in a loop.
        labels: What alerts are raised about.
        devices: The agents that watch it.
    """

    source: str
    recorded: bool
    labels: Sequence[str]
    devices: Sequence[Device]


def agent_config(device: Device, scene: Scene, folder: Path, *, identity: Path, root_file: Path) -> str:
    """The agent's TOML.

    Args:
        device: Which of the agents.
        scene: What is watched.
        folder: For its data.
        identity: What its enrolment made; says who it is, and where the service is.
        root_file: Whose models it believes.
    """
    zones, zone_names = "", []
    if device.part is not None:
        left, top, right, bottom = device.part
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        zone_names = [device.rule]
        zones = (
            f"\n[[zones]]\nname = {_text(device.rule)}\ncamera = {_text(device.camera)}\n"
            f"polygon = {json.dumps(corners)}\n"
        )
    limit = f"fps_limit = {SHARED_FPS}" if len(scene.devices) > len(DEVICES) else ""
    return f"""\
identity = {_text(identity)}
data_dir = {_text(folder)}

[[cameras]]
name = {_text(device.camera)}
source = {_text(scene.source)}
{"loop = true" if scene.recorded else ""}
{limit}

[[rules]]
name = {_text(device.rule)}
labels = {json.dumps(list(scene.labels), ensure_ascii=False)}
zones = {json.dumps(zone_names)}
picture = {_text(device.pictures)}
{zones}
[ask]

[trust]
root_file = {_text(root_file)}

[audit]
probability = {AUDITED}

[looks]
per_frame = "auto"

[telemetry]
every_s = {TELEMETRY_EVERY_S}
first_after_s = 1
"""


def _text(value: object) -> str:
    """A TOML basic string: JSON's escapes are a subset of its."""
    return json.dumps(str(value), ensure_ascii=False)
