"""The agent's file that is replayed, and whether the agent would take it with what a replay advises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from agent.app.check import whole_frames_held
from agent.ask.settings import AskSettings
from agent.config import CameraConfig, Config, check_config, read_values
from agent.errors import ConfigInvalid
from vision.detections import Image
from workbench.replay.advice import OnDevice
from workbench.replay.device import NOWHERE, camera_of


@dataclass(frozen=True, slots=True)
class AgentFile:
    """As it was read.

    Attributes:
        name: Without its folder.
        values: What stands in it.
        config: The same, checked, with what the environment says.
    """

    name: str
    values: Mapping[str, Any]
    config: Config

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check it.

        Raises:
            ConfigInvalid: See `agent.config.load_config`.
        """
        values = read_values(path)
        return cls(path.name, values, check_config(values, str(path)))


class Acceptance:
    """Whether `vedette-agent check` takes the file with other settings in it; a `workbench.replay.advice.Checks`.

    Args:
        file: See there.
        camera: Which of its cameras the clip is of.
        picture: A frame of the clip, in the place of the picture that `check` takes of the camera.

    Attributes:
        name: The file's.
        asks: It has the table `[ask]`.
        cameras: How many it has.
    """

    def __init__(self, file: AgentFile, camera: str, picture: Callable[[], Image]) -> None:
        self.name = file.name
        self.asks = file.config.ask is not None
        self.cameras = len(file.config.cameras)
        self._file = file
        self._camera: CameraConfig = camera_of(file.config, camera)
        self._picture = cache(picture)
        self._known: dict[OnDevice, str | None] = {}

    def complaint(self, chosen: OnDevice) -> str | None:
        """What it says against these settings; None where it takes them."""
        if chosen not in self._known:
            # By the camera's own frame first: the amount that it names is enough for the smallest frame as well.
            self._known[chosen] = "; ".join(self._by_picture(chosen)) or "; ".join(self._by_values(chosen)) or None
        return self._known[chosen]

    def _by_picture(self, chosen: OnDevice) -> Iterator[str]:
        config = self._file.config
        if chosen.budget is None or not any(rule.shows_context(self._camera.name) for rule in config.rules):
            return
        budget = config.asking.budget.model_copy(update={"bytes": chosen.budget})
        asking = config.asking.model_copy(update={"budget": budget})
        ask = config.ask or AskSettings(url=NOWHERE)
        told = config.model_copy(update={"asking": asking})
        for finding in whole_frames_held(told, ask, self._camera, self._picture()):
            if finding.error is not None:
                yield f"{finding.what}: {finding.said}"

    def _by_values(self, chosen: OnDevice) -> Iterator[str]:
        values = chosen.within(self._file.values)
        if chosen.budget is not None and not self.asks:
            values["ask"] = {"url": NOWHERE}
        try:
            check_config(values, self.name)
        except ConfigInvalid as refused:
            # The first line names the file.
            yield from (line.strip() for line in refused.what.splitlines()[1:])
