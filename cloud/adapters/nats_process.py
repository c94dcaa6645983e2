"""The embedded broker: a child process, kept running."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from cloud.adapters.child import start, stop
from cloud.adapters.files import replace_file
from cloud.adapters.nats_config import BrokerSecrets, BrokerSettings, render
from cloud.errors import BrokerFailed, BrokerMissing
from cloud.ingest.ports import Counter
from cloud.ports import Clock

log = logging.getLogger(__name__)

PROGRAM: Final = "nats-server"
_READY: Final = "Server is ready"
# It starts in 7 ms; recovering many sessions after a crash takes longer.
_READY_WITHIN_S: Final = 30.0
_STOP_PATIENCE_S: Final = 3.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
# Who ran that long did not fail at the start: the next restart is quick again.
_HEALTHY_S: Final = 30.0
_LAST_WORDS: Final = 12


class Broker:
    """Keeps the broker running while `open_broker` is open; `ready` says whether it is."""

    def __init__(self, program: Path, settings: BrokerSettings, counter: Counter, clock: Clock) -> None:
        self._program = program
        self._settings = settings
        self._counter = counter
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.ready = False

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it, and return when it takes connections.

        Raises:
            BrokerFailed: It ended instead; carries its last words.
        """
        command = [str(self._program), "-c", str(self._settings.folder / "broker.conf")]
        try:
            self._process = await start(command)
        except OSError as error:
            raise BrokerFailed(f"the broker can't be started: {error}", f"Look at {self._program}.") from error
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                self.ready = await self._listen(self._process, until=_READY)
        except TimeoutError:
            await self.stop()
        if not self.ready:
            said = " / ".join(self._last_words) or "nothing"
            raise BrokerFailed(
                f"the broker does not come up; it said: {said}", "Mend what it names, then start again."
            )

    async def supervise(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            since = self._clock.monotonic()
            if self._process is not None:
                await self._listen(self._process, until=None)
                code = await self._process.wait()
                self.ready = False
                self._counter.count("broker.restarts")
                log.error("the broker ended (exit code %s), it is started again", code)
            if self._clock.monotonic() - since > _HEALTHY_S:
                pause_s = _FIRST_PAUSE_S
            await self._clock.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not secrecy
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            try:
                await self.start()
                log.warning("the broker runs again")
            except BrokerFailed as failed:
                log.error("%s", failed)  # noqa: TRY400 - an error of ours, its trace says nothing more

    def read_again(self) -> None:
        """Have it read its configuration again, and with it its certificates; connections stay."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it."""
        self.ready = False
        if self._process is not None:
            await stop(self._process, _STOP_PATIENCE_S)

    async def _listen(self, process: asyncio.subprocess.Process, *, until: str | None) -> bool:
        """Read its log to its end, or to a line with `until`, which it says whether it found."""
        lines = process.stderr
        if lines is None:
            return False
        while raw := await lines.readline():
            line = raw.decode("utf-8", "replace").strip()
            self._last_words.append(line)
            if "[ERR]" in line or "[FTL]" in line:
                log.warning("broker: %s", line)
            if until is not None and until in line:
                return True
        return False


@asynccontextmanager
async def open_broker(
    settings: BrokerSettings, passwords: BrokerSecrets, issuer: str, counter: Counter, clock: Clock
) -> AsyncIterator[Broker]:
    """Run the broker while the context is open.

    Raises:
        BrokerMissing: Its program is not installed.
        BrokerFailed: It does not come up.
    """
    program = find_program()
    settings.folder.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(replace_file, settings.folder / "broker.conf", render(settings, passwords, issuer))
    broker = Broker(program, settings, counter, clock)
    try:
        await broker.start()
        yield broker
    finally:
        await broker.stop()


def find_program() -> Path:
    """The broker's program: beside this Python, where its wheel puts it, or on the path.

    Raises:
        BrokerMissing: It is in neither.
    """
    beside = Path(sys.executable).parent / PROGRAM
    if beside.is_file():
        return beside
    found = shutil.which(PROGRAM)
    if found is None:
        raise BrokerMissing(f"{PROGRAM} is not installed", "Install the extra: `pip install 'vedette[cloud]'`.")
    return Path(found)
