"""Names of cameras and labels as parts of topics and ids. Pure.

Labels come out of model files and may hold anything printable: `+`, `#`, `/`, quotes, braces. None of that reaches a
topic, an id or a template: each name is made into a key of harmless characters, and itself stands in JSON text only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

_HARMLESS: Final = re.compile(r"[a-z0-9-]{1,32}")
_OTHER: Final = re.compile(r"[^a-z0-9-]+")
_LONGEST: Final = 24
_DIGEST: Final = 10


def key(name: str) -> str:
    """A key for a name: itself where that is harmless, else what is left of it and a part of its digest.

    Only the latter kind holds a `_`, so that no name can be chosen to have another's key.
    """
    if _HARMLESS.fullmatch(name):
        return name
    left = _OTHER.sub("-", name.lower()).strip("-")[:_LONGEST]
    return f"{left}_{hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]}"


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic that is used on Home Assistant's broker.

    Attributes:
        base: First level of states and commands.
        prefix: Under which Home Assistant looks for discovery.
    """

    base: str
    prefix: str

    @property
    def bridge(self) -> str:
        """Whether the service is there: `online` or `offline`."""
        return f"{self.base}/bridge"

    @property
    def own_states(self) -> str:
        """The subscription to all states of ours."""
        return f"{self.base}/#"

    @property
    def discoveries(self) -> str:
        """The subscription to everybody's discovery of the form that is used here."""
        return f"{self.prefix}/+/+/+/config"

    @property
    def orders(self) -> str:
        """The subscription to what is asked of devices."""
        return f"{self.base}/+/command/+"

    def presence(self, device: str) -> str:
        """Whether the device is there: `online` or `offline`."""
        return f"{self.base}/{device}/presence"

    def device(self, device: str) -> str:
        """What is shown of the device, as JSON."""
        return f"{self.base}/{device}/device"

    def model(self, device: str) -> str:
        """Of the update entity, as JSON."""
        return f"{self.base}/{device}/model"

    def muted(self, device: str) -> str:
        """Whether it is muted: `ON` or `OFF`."""
        return f"{self.base}/{device}/muted"

    def command(self, device: str, name: str) -> str:
        """Where it is asked for."""
        return f"{self.base}/{device}/command/{name}"

    def camera(self, device: str, camera: str, what: str) -> str:
        """`what` of a camera: `state`, `alert`, `picture` or `snapshot`."""
        return f"{self.base}/{device}/camera/{key(camera)}/{what}"

    def label(self, device: str, camera: str, label: str, what: str) -> str:
        """`what` of a label at a camera: `on` or `count`."""
        return f"{self.base}/{device}/camera/{key(camera)}/label/{key(label)}/{what}"

    def discovery(self, component: str, device: str, of: str) -> str:
        """Where Home Assistant finds the entity."""
        return f"{self.prefix}/{component}/{self.base}_{device}/{of}/config"

    def is_own(self, topic: str) -> bool:
        """Whether it is a state or a discovery of this service, and no command."""
        levels = topic.split("/")
        if levels[0] == self.base:
            return not (len(levels) == 4 and levels[2] == "command")  # noqa: PLR2004 - as `command` above
        below = topic.removeprefix(f"{self.prefix}/").split("/")
        is_discovery = topic.startswith(f"{self.prefix}/") and len(below) == 4 and below[3] == "config"  # noqa: PLR2004
        # The base holds no `_`, so that one service's `a` and a device `b_c` are not another's `a_b` and `c`.
        return is_discovery and below[1].partition("_")[0] == self.base and "_" in below[1]

    def ordered(self, topic: str) -> tuple[str, str] | None:
        """The device and the command's name of a command topic; None where it is none."""
        levels = topic.split("/")
        if len(levels) != 4 or levels[0] != self.base or levels[2] != "command":  # noqa: PLR2004
            return None
        return levels[1], levels[3]
