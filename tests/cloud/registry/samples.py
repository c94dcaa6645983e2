"""A registry with keys and releases, its HTTP door, and the device's side of it: python-tuf's own client."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from cloud.registry.ceremony import create
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import RegistryFolder
from cloud.registry.service import Registry
from cloud.registry.signing import sign_release
from cloud.web.repository import repository_router
from cloud.web.server import HttpServer, listening, make_application
from tests.cloud.samples import BOUND_S, ManualClock
from wire.updates import GROUP_TARGET, ModelRef


@dataclass
class Shop:
    """A registry, its offline keys, and a clock that starts at the real time, as the client reads that."""

    registry: Registry
    keys: KeyFolder
    clock: ManualClock
    root: bytes

    @property
    def folder(self) -> RegistryFolder:
        return self.registry.folder

    def stage(self, name: str = "tiny", version: str = "1", model: bytes = b"a model") -> None:
        stage_bytes(self.folder, name, version, model)

    def sign(self, name: str = "tiny", version: str = "1", folder: RegistryFolder | None = None) -> ModelRef:
        return sign_release(folder or self.folder, [self.keys], name, version, self.clock.wall())

    def release(self, name: str = "tiny", version: str = "1", model: bytes = b"a model") -> ModelRef:
        self.stage(name, version, model)
        self.sign(name, version)
        return self.registry.publish(name, version)


def stage_bytes(folder: RegistryFolder, name: str, version: str, model: bytes) -> None:
    """Staged without a trial: what is signed need not be a model that runs."""
    staged = folder.staged(name, version)
    staged.mkdir(parents=True)
    (staged / "model.tflite").write_bytes(model)
    manifest = {
        "name": name,
        "version": version,
        "digest": f"sha256:{hashlib.sha256(model).hexdigest()}",
        "size": len(model),
        "input": {"width": 64, "height": 64},
        "output": {"kind": "yolov8"},
        "labels": ["person"],
        "licence": "Apache-2.0",
        "provenance": {"source": "a test"},
    }
    (staged / "manifest.json").write_text(json.dumps(manifest))


def open_shop(folder: Path) -> Shop:
    create(RegistryFolder(folder / "registry"), KeyFolder(folder / "keys"), datetime.now(UTC))
    return reopen_shop(folder)


def reopen_shop(folder: Path) -> Shop:
    clock = ManualClock()
    clock.now = datetime.now(UTC)
    keys = folder / "keys"
    return Shop(Registry(folder / "registry", clock), KeyFolder(keys), clock, (keys / "root.json").read_bytes())


@contextmanager
def served(folder: RegistryFolder) -> Iterator[str]:
    """The repository over HTTP, as `vedette serve` has it; yields its address."""
    with listening("127.0.0.1", 0) as taken:
        server = HttpServer(make_application([repository_router(folder.repository)]))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            server.stop()
            thread.join(BOUND_S)


class FolderFetcher(FetcherInterface):
    """The repository straight from its folder, with the bytes counted by file."""

    def __init__(self, folder: RegistryFolder) -> None:
        super().__init__()
        self._folder = folder
        self.fetched: dict[str, int] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        place = url.partition("/v1/repository/")[2]
        try:
            data = (self._folder.repository / place).read_bytes()
        except FileNotFoundError:
            raise DownloadHTTPError("not there", 404) from None
        self.fetched[place] = len(data)
        yield data


@dataclass
class Device:
    """A device's trust: a pinned root, and what it saw before."""

    home: Path
    url: str
    root: bytes
    fetcher: FetcherInterface | None = None

    def updater(self, fetcher: FetcherInterface | None = None) -> Updater:
        (self.home / "metadata").mkdir(parents=True, exist_ok=True)
        return Updater(
            metadata_dir=str(self.home / "metadata"),
            metadata_base_url=f"{self.url}/v1/repository/metadata/",
            target_dir=str(self.home),
            target_base_url=f"{self.url}/v1/repository/targets/",
            fetcher=fetcher or self.fetcher,
            bootstrap=self.root,
        )

    def fetch(self, path: str) -> bytes:
        updater = self.updater()
        found = updater.get_targetinfo(path)
        assert found is not None, f"the repository vouches for no {path}"
        return Path(updater.download_target(found)).read_bytes()

    def group(self, group: str = "default") -> dict[str, object]:
        document = json.loads(self.fetch(GROUP_TARGET.format(group=group)))
        assert isinstance(document, dict)
        return document
