"""Renewing the device's certificate in time, in a process of its own: making keys takes memory, watching does not.

Whoever connects reads the files anew. The link is told, and connects again at once: left to the broker, it would be
cut off at the old one's end, and the device be called offline for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from agent.adapters.identity_folder import IdentityFolder
from agent.deliver.faults import Faults
from agent.domain import Clock
from agent.errors import ConfigInvalid, EnrolmentFailed

log: Final = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 3600.0
"""A clock that was set, or a month that went by, is noticed within the hour."""
TRY_AGAIN_S: Final = 2.0
TRY_AGAIN_MAX_S: Final = 300.0
"""A try that failed is repeated after pauses that double between these. Where certificates live for minutes, a third
of that is all there is: once it is over, the device must be enrolled anew."""
GIVE_UP_S: Final = 120.0
SETTLE_S: Final = 5.0
"""However short the certificates that a service gives out: not one after the other."""


class CertificateRenewal:
    """`run` is its one task."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        faults: Faults,
        renewed: Callable[[], object],
        program: Sequence[str] = (sys.executable, "-m", "agent"),
        look_every_s: float = LOOK_EVERY_S,
        try_again_s: float = TRY_AGAIN_S,
    ) -> None:
        self._folder = IdentityFolder(folder)
        self._clock = clock
        self._faults = faults
        self._renewed = renewed
        self._command = [*program, "renew", "--identity", str(folder)]
        self._look_every_s = look_every_s
        self._try_again_s = try_again_s
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Renew when it is time, until `stop` is set."""
        while not stop.is_set():
            wait_s = await self.look()
            try:
                async with asyncio.timeout(wait_s):
                    await stop.wait()
            except TimeoutError:
                continue

    async def look(self) -> float:
        """Renew if it is time; seconds until the next look."""
        try:
            enrolled = await asyncio.to_thread(self._folder.enrolled)
            if enrolled is None:
                return self._look_every_s
            left_s = (enrolled.renew_at - self._clock.wall()).total_seconds()
            if left_s > 0:
                return min(left_s, self._look_every_s)
            await self._renew()
        except (ConfigInvalid, EnrolmentFailed) as failed:
            self._faults.note(failed)
            self._failures += 1
            return min(TRY_AGAIN_MAX_S, self._try_again_s * 2.0 ** min(self._failures - 1, 16))
        self._failures = 0
        log.info("the device's certificate was renewed")
        self._renewed()
        return SETTLE_S

    async def _renew(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as refused:
            raise EnrolmentFailed(
                f"the certificate is not renewed: {self._command[0]} can't be started ({refused.strerror})",
                "Free memory, or restart the agent after an upgrade; it is tried again by itself.",
            ) from None
        try:
            async with asyncio.timeout(GIVE_UP_S):
                _, said = await process.communicate()
        except TimeoutError:
            raise EnrolmentFailed(
                f"renewing took more than {GIVE_UP_S:g} s", "It is tried again by itself."
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise EnrolmentFailed(
                f"the certificate is not renewed: {last[0][:400] if last else 'no reason was given'}",
                "It is tried again by itself; a device that is revoked or expired must be enrolled anew.",
            )
