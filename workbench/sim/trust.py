"""The signed repository, asked for by thousands of devices in one process.

What each device does itself: it fetches `timestamp.json`, over HTTP, each time that it looks. What it then finds is
verified in full by the agent's own client (`agent.adapters.tuf_repository`: signatures, floors, clock, the group's
document), but once for each distinct `timestamp.json` and group, since the same bytes verify the same way; and the
model and its manifest are fetched and hashed once for the process. Whether the group's document allows the release is
decided for each device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx

from agent.adapters.durable_file import named_errors
from agent.adapters.tuf_repository import METADATA_PATH, TufRepository
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.domain import Clock
from agent.errors import RepositoryUnreachable
from agent.update.record import admitted
from agent.update.trust import TrustSettings
from wire.updates import GroupRelease, ModelRef

T = TypeVar("T")
AT_ONCE: Final = 16
"""Connections to the repository; a real fleet's are one a device, and as short."""
MAX_TIMESTAMP_BYTES: Final = 16 * 1024
REMEMBERED: Final = 16
"""Verified documents: the timestamp is signed anew with each step of a rollout, and before it expires."""
ATTEMPTS: Final = 3
"""The repository may be signed anew between a device's request and the verification."""


class SharedTrust:
    """Asked by all devices of the process; use it as a context."""

    def __init__(
        self,
        url: str,
        root_file: Path,
        folder: Path,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Read the root of trust.

        Args:
            url: The service's base URL.
            root_file: What the devices pin.
            folder: For metadata and what is fetched.
            clock: Holds expiry against the time of day.
            transport: Under the requests for `timestamp.json`; None for connections of its own.

        Raises:
            ConfigInvalid: The root can't be used.
        """
        settings = TrustSettings(root_file=root_file)
        self._url = url.rstrip("/")
        self._folder = folder
        self._timestamp = folder / "metadata" / "timestamp.json"
        self._repository = TufRepository(
            settings, url=self._url, folder=folder, clock=clock, faults=Faults(), ledger=Ledger()
        )
        self._http = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=AT_ONCE), timeout=30.0, transport=transport
        )
        # The client goes through its own queue whenever a request begins or ends. With 750 in it that held up the
        # loop, and so all devices' messages, for one to two seconds.
        self._turn = asyncio.Semaphore(AT_ONCE)
        # The agent's client is for one thread alone.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sim-trust")
        self._lock = asyncio.Lock()
        self._verified: dict[tuple[bytes, str], GroupRelease] = {}
        self._sizes: dict[str, int] = {}
        self.verifications = 0
        """How often metadata was verified in full."""

    async def __aenter__(self) -> Self:
        """Ready."""
        return self

    async def __aexit__(self, *ended: object) -> None:
        """Let go of connections and thread."""
        await self._http.aclose()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def look(self, group: str, wanted: ModelRef) -> int:
        """One device's look; the model's size in bytes.

        Raises:
            TrustError: What is signed forbids it, or can't be trusted.
            RepositoryUnreachable, DownloadFailed: Try again later.
            NoRoom, ModelStoreBroken: The disk refuses.
        """
        for _ in range(ATTEMPTS):
            timestamp = await self._fetch_timestamp()
            async with self._lock:
                release = self._verified.get((timestamp, group)) or await self._verify(timestamp, group)
                if release is None:
                    continue
                ref = admitted(release, wanted)
                if ref.digest not in self._sizes:
                    self._sizes[ref.digest] = await self._apart(lambda ref=ref: self._fetch(ref))  # type: ignore[misc]
                return self._sizes[ref.digest]
        raise RepositoryUnreachable("the repository is signed anew faster than it can be read", "It is tried again.")

    async def _fetch_timestamp(self) -> bytes:
        try:
            async with self._turn:
                answer = await self._http.get(f"{self._url}{METADATA_PATH}timestamp.json")
        except httpx.HTTPError as failed:
            raise RepositoryUnreachable(f"{self._url} can't be reached ({failed})", "It is tried again.") from None
        if answer.status_code != httpx.codes.OK or len(answer.content) > MAX_TIMESTAMP_BYTES:
            raise RepositoryUnreachable(f"{self._url} answers {answer.status_code}", "It is tried again.")
        return answer.content

    async def _verify(self, timestamp: bytes, group: str) -> GroupRelease | None:
        """The group's document under exactly this timestamp; None where another one is served by now."""
        kept, release = await self._apart(lambda: self._read(group))
        self.verifications += 1
        if len(self._verified) >= REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[kept, group] = release
        return release if kept == timestamp else None

    def _read(self, group: str) -> tuple[bytes, GroupRelease]:
        release = self._repository.group_release(group)
        with named_errors(self._timestamp):
            return self._timestamp.read_bytes(), release

    def _fetch(self, ref: ModelRef) -> int:
        if ref.number == 0:
            return 0  # What the device was born with needs no fetching.
        into = self._folder / "models" / ref.digest.removeprefix("sha256:")
        self._repository.fetch(ref, into, lambda _: None, lambda: False)
        with named_errors(into):
            return (into / "model.tflite").stat().st_size

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
