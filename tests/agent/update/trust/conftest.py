from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.tls import client_context
from agent.adapters.tuf_repository import TufRepository
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.update.trust import TrustSettings
from tests.agent.update.trust.hostile_server import HostileServer
from tests.agent.update.trust.signed_repository import SignedRepository, model_bytes, ref_of
from wire.updates import GroupRelease


class ManualClock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Device:
    """A device and the repository that it is shown."""

    signed: SignedRepository
    server: HostileServer
    folder: Path
    root_file: Path
    clock: Any = field(default_factory=ManualClock)
    faults: Faults = field(default_factory=Faults)
    ledger: Ledger = field(default_factory=Ledger)
    ca_file: Path | None = None

    @property
    def trust(self) -> Path:
        return self.folder / "trust"

    @property
    def staging(self) -> Path:
        return self.folder / "staging"

    def repository(self, wait: Callable[[float], object] | None = None, **settings: Any) -> TufRepository:
        """As after a restart."""
        return TufRepository(
            TrustSettings(root_file=self.root_file, **settings),
            url=self.server.url,
            folder=self.trust,
            clock=self.clock,
            faults=self.faults,
            ledger=self.ledger,
            tls=self._tls if self.server.url.startswith("https") else None,
            wait=wait or pytest.fail,
        )

    def _tls(self) -> ssl.SSLContext:
        return client_context("ask", self.ca_file, None, None)

    def fetch(self, ref=None, **settings: Any) -> None:
        self.repository(**settings).fetch(ref or REF, self.staging, lambda _: None, lambda: False)

    def installed(self) -> bool:
        return (self.staging / "model.tflite").exists()


MODEL = model_bytes(200_000)
REF = ref_of(MODEL)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is a folder for that: the same calls of fsync, without a disk behind them."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """The release `REF` is signed, and allowed for the group `default` with sequence 1."""
    signed = SignedRepository()
    signed.add_release(REF, MODEL)
    signed.add_group(GroupRelease(group="default", sequence=1, allowed=(REF,)))
    root_file = tmp_path / "root.json"
    root_file.write_bytes(signed.first_root)
    server = HostileServer(signed.files)
    yield Device(signed, server, tmp_path / "device", root_file)
    server.stop()
