"""What the demo's two agents are told: the same source, watched for different things."""

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
    """One agent of the demo."""

    name: str
    camera: str
    rule: str
    zoned: bool
    pictures: str


DEVICES: Final = (
    Device("gate-1", "gate", "anyone", zoned=False, pictures="always"),
    Device("plaza-2", "plaza", "foreground", zoned=True, pictures="asked"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen in a source, and by whom.

    Attributes:
        source: As `cameras.source` of the agent's configuration.
        recorded: It ends, so it is played in a loop.
        labels: What alerts are raised about.
        devices: The agents that watch it.
        zone: The part of the picture that the second agent watches: corners (x, y), 0..1.
    """

    source: str
    recorded: bool
    labels: Sequence[str]
    devices: Sequence[Device]
    zone: Sequence[tuple[float, float]] = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))


def agent_config(device: Device, scene: Scene, folder: Path, token_file: Path, mqtt: str, http: str) -> str:
    """The agent's TOML."""
    zones = (
        f'\n[[zones]]\nname = "foreground"\ncamera = {_text(device.camera)}\n'
        f"polygon = {json.dumps([list(corner) for corner in scene.zone])}\n"
        if device.zoned
        else ""
    )
    return f"""\
device = {_text(device.name)}
data_dir = {_text(folder)}

[[cameras]]
name = {_text(device.camera)}
source = {_text(scene.source)}
{"loop = true" if scene.recorded else ""}

[[rules]]
name = {_text(device.rule)}
labels = {json.dumps(list(scene.labels), ensure_ascii=False)}
zones = {json.dumps(["foreground"] if device.zoned else [])}
picture = {_text(device.pictures)}
{zones}
[link]
url = {_text(mqtt)}
token_file = {_text(token_file)}

[ask]
url = {_text(http)}

[audit]
probability = {AUDITED}

[telemetry]
every_s = {TELEMETRY_EVERY_S}
first_after_s = 1
"""


def _text(value: object) -> str:
    """A TOML basic string: JSON's escapes are a subset of its."""
    return json.dumps(str(value), ensure_ascii=False)
