"""The data directory: made where it is missing, and worked in by one service at a time."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cloud.adapters.files import replace_file
from cloud.errors import DataDirInUse, DataDirUnusable
from cloud.store.database import sqlite_url

SERVE_FILE: Final = "serve.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running service is to be found; written to `serve.json`.

    Attributes:
        devices: Where devices call over HTTP or, with `tls`, HTTPS.
    """

    http: str
    mqtt: str
    dashboard: str
    pid: int
    devices: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class DataDir:
    """What lies where."""

    root: Path

    @property
    def database_url(self) -> str:
        """The database's address."""
        return sqlite_url(self.root / "vedette.db")

    @property
    def blobs(self) -> Path:
        """The pictures."""
        return self.root / "blobs"

    @property
    def broker(self) -> Path:
        """The broker's sessions and configuration."""
        return self.root / "broker"

    @property
    def registry(self) -> Path:
        """Releases, online keys, and the signed repository."""
        return self.root / "registry"

    @property
    def identity(self) -> Path:
        """The authority, and the certificates under which the service is served."""
        return self.root / "identity"

    def make(self) -> None:
        """Make it, for its owner's eyes only.

        Raises:
            DataDirUnusable: The disk refused.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as refused:
            raise DataDirUnusable(
                f"the data directory {self.root} can't be made: {refused.strerror}",
                "Choose another with --data-dir or VEDETTE_DATA_DIR.",
            ) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other service out while the context is open; the kernel lets go when we end, however we end.

        Raises:
            DataDirInUse: Another service is in.
            DataDirUnusable: It can't be written.
        """
        try:
            lock = (self.root / "serve.lock").open("w")
        except OSError as refused:
            raise DataDirUnusable(
                f"the data directory {self.root} can't be written: {refused.strerror}",
                "Give it to the user that runs the service.",
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirInUse(
                    f"another service works in {self.root}",
                    f"Stop it ({SERVE_FILE} there names its process), or choose another with --data-dir.",
                ) from None
            yield

    def announced_addresses(self) -> Addresses | None:
        """What `serve.json` says; None where there is none that can be read."""
        try:
            said = json.loads((self.root / SERVE_FILE).read_text("utf-8"))
            return Addresses(said["http"], said["mqtt"], said["dashboard"], said["pid"], said["devices"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def announced(self, addresses: Addresses) -> Iterator[None]:
        """Say in `serve.json` where the service is, while the context is open."""
        file = self.root / SERVE_FILE
        replace_file(file, addresses.to_json() + "\n")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
