"""A release for the demo's fleet: keys without a passphrase, the better model signed by them, and its rollout."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Final

import httpx

from cloud.adapters.clock import SystemClock
from cloud.deployment import DEFAULT_GROUP, Fate, Policy
from cloud.registry import ceremony
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import RegistryFolder
from cloud.registry.service import Registry
from cloud.registry.signing import sign_release
from cloud.registry.staging import Overrides, stage
from cloud.rollout.start import start
from cloud.store.database import open_database
from cloud.store.rollouts import RolloutStore
from cloud.web.rollouts import RolloutDetail
from vision.models import UPGRADE_MODEL
from wire.errors import VedetteError
from wire.updates import Gates, ModelRef
from workbench.demo.figures import RolloutFigures
from workbench.demo.parts import cloud_folder
from workbench.errors import DemoFailed

KEYS_FOLDER: Final = "keys"
ROOT_FILE: Final = "root.json"
POLICY: Final = Policy(
    stages=(20.0, 60.0, 100.0),
    soak_s=1.0,
    # Quick to watch; and a laptop that runs a service and its whole fleet says little about latencies.
    gates=Gates(shadow_frames=15, probation_frames=25, probation_s=5.0, max_latency_ratio=100.0),
)
AS_TYPED: Final = (
    "--stages 20,60,100 --soak 1s --shadow-frames 15 --probation-frames 25 --probation 5s --max-latency-ratio 100"
)
"""The same for whoever types it."""


def make_trust(folder: Path) -> Path:
    """The root of trust that the agents pin; keys and repository are made where a kept folder has none.

    Raises:
        RegistryError: They can't be made or read.
    """
    registry = RegistryFolder(cloud_folder(folder).registry)
    if not registry.metadata.is_dir():
        cloud_folder(folder).make()
        ceremony.create(registry, _keys(folder), SystemClock().wall())
    file = folder / ROOT_FILE
    file.write_bytes(Registry(registry.root, SystemClock()).root())
    return file


def publish(folder: Path, model: str) -> ModelRef:
    """Import, sign and publish a model; one that a kept folder has published already is taken as it is.

    Raises:
        VedetteError: It can't be had, or be run, or be signed.
    """
    registry = RegistryFolder(cloud_folder(folder).registry)
    service = Registry(registry.root, SystemClock())
    for release in service.releases():
        if release.published and release.ref.name == model:
            return release.ref
    manifest = stage(registry, model, Overrides())
    sign_release(registry, [_keys(folder)], manifest.name, manifest.version, SystemClock().wall())
    return service.publish(manifest.name, manifest.version)


def _keys(folder: Path) -> KeyFolder:
    return KeyFolder(folder / KEYS_FOLDER, None)


def command_for(folder: Path, ref: ModelRef) -> str:
    """What a person types to roll it out to the running demo."""
    return f"vedette rollout start {ref.name} --data-dir {cloud_folder(folder).root} {AS_TYPED}"


class Releasing:
    """Publishes a model in a thread of its own, once nothing more urgent is left to do."""

    def __init__(self, folder: Path, model: str = UPGRADE_MODEL) -> None:
        self._folder = folder
        self._model = model
        self._thread = threading.Thread(target=self._publish, name="release", daemon=True)
        self._begun = False
        self.published: ModelRef | None = None
        self.failed: VedetteError | None = None

    def begin(self) -> None:
        """Begin, if that was not done before."""
        if not self._begun:
            self._begun = True
            self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for its end, so that nothing is written into a folder that is removed."""
        if self._begun:
            self._thread.join(timeout_s)

    def _publish(self) -> None:
        try:
            self.published = publish(self._folder, self._model)
        except VedetteError as failed:
            self.failed = failed


class Rolling:
    """A rollout of the demo, begun here and followed over the service's API."""

    def __init__(self, folder: Path, cloud: httpx.Client, ref: ModelRef) -> None:
        """Begin it.

        Raises:
            RolloutRefused, RolloutOpen: It can't begin now, such as before a device is there.
        """
        self._cloud = cloud
        self._id = asyncio.run(_started(folder, ref))
        self.figures = RolloutFigures(id=self._id, model=ref.name)

    def look(self) -> None:
        """Bring the figures up to date.

        Raises:
            DemoFailed: The service does not answer.
        """
        try:
            detail = RolloutDetail.model_validate_json(self._cloud.get(f"/api/rollouts/{self._id}").content)
        except httpx.HTTPError as failed:
            raise DemoFailed(
                f"the service does not answer: {failed}", "See cloud.log in the demo's folder."
            ) from None
        figures = self.figures
        figures.phase, figures.reason = str(detail.phase), detail.reason
        figures.devices = {
            each.device: str(each.state or "told") if each.fate is not Fate.FAILED else f"failed: {each.reason}"
            for each in sorted(detail.devices, key=lambda each: each.device)
        }
        figures.updated = detail.counts.committed


async def _started(folder: Path, ref: ModelRef) -> str:
    data, clock = cloud_folder(folder), SystemClock()
    registry = Registry(data.registry, clock)
    model = f"{ref.name}@{ref.version}"
    async with open_database(data.database_url) as database:
        store = RolloutStore(database)
        rollout = await start(
            store=store, signer=registry, clock=clock, model=model, group=DEFAULT_GROUP, policy=POLICY
        )
        return rollout.id
