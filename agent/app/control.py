"""The running agent, as commands reach it."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pydantic import JsonValue

from agent.adapters.cloud_http import CloudHttp, Shown, TryAgain
from agent.app.live_config import LiveConfig
from agent.ask.settings import AskSettings
from agent.command.clip import Clip
from agent.command.errors import CloudUnreachable, CommandFailed, CommandRefused
from agent.command.log_tail import LogTail, tail_within
from agent.command.ports import Picture
from agent.deliver.ledger import Ledger
from agent.deliver.messages import Boot
from agent.deliver.receipts import Receipts
from agent.deliver.telemetry import Figures
from agent.domain import Clock
from agent.errors import AskRefused
from agent.judging.inbox import Inbox, Mute
from wire.log_lines import without_secrets

MAX_REPORT_BYTES: Final = 11_000
"""Of the 16 KiB of an answer, which as JSON spends two bytes on each line's end and quote."""
UPLOAD_TIMEOUT_S: Final = 60.0
UPLOAD_TRIES: Final = 3
SLOWEST_BYTES_S: Final = 50_000
"""A clip may take as long as a link of 50 kB/s needs for it."""
COMMIT_TIMEOUT_S: Final = 10.0
"""The judging thread takes up events between two frames, of which it has at least one a second or waits for none."""


class AgentControl:
    """Implements `agent.command.ports.Control`. `on_restart` is set by whoever runs the agent."""

    def __init__(
        self,
        *,
        live_config: LiveConfig,
        boot: Boot,
        figures: Figures,
        inbox: Inbox,
        clock: Clock,
        tail: LogTail,
        model: Callable[[], str],
    ) -> None:
        self._live_config = live_config
        self._boot = boot
        self._figures = figures
        self._inbox = inbox
        self._clock = clock
        self._tail = tail
        self._model = model
        self._began = clock.monotonic()
        self.on_restart: Callable[[], None] = _nobody

    def restart(self) -> None:
        """Stop cleanly, to be started again; see the port."""
        self.on_restart()

    async def mute(self, rule: str | None, camera: str | None, for_s: float) -> None:
        """Raise no new alerts; see the port."""
        rules = self._live_config.rules
        if rule is not None and rule not in rules:
            raise CommandRefused(f"there is no rule {rule!r}", f"The rules are {', '.join(sorted(rules))}.")
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await asyncio.wrap_future(self._inbox.put(Mute(rule, camera, for_s)))
        except TimeoutError:
            raise CommandFailed("the judging thread did not take it up in time", "Look at `diagnose`.") from None

    def set_log_level(self, level: str) -> None:
        """Log from `level` on."""
        logging.getLogger().setLevel(level.upper())

    def set_config(self, overrides: Mapping[str, object] | None) -> list[str]:
        """Replace rules, zones, masks or asking; see the port."""
        try:
            plain = None if overrides is None else json.loads(json.dumps(overrides))
        except (TypeError, ValueError):
            raise CommandRefused("it holds a date or time", 'Write it in quotes, as "08:00".') from None
        return self._live_config.override(plain)

    def facts(self) -> dict[str, JsonValue]:
        """Uptime and versions."""
        return {
            "uptime_s": round(self._clock.monotonic() - self._began, 1),
            "agent_version": self._boot.agent_version,
            "model": self._model(),
            "model_digest": self._boot.model_digest,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "boot_id": self._boot.boot_id,
        }

    def report(self) -> str:
        """How the agent is doing; see the port."""
        figures = self._figures.snapshot()
        alerts = ", ".join(f"{count} {state}" for state, count in figures.alerts.items())
        lines = [f"{key}: {value}" for key, value in self.facts().items()]
        lines.append(f"memory: {figures.rss_mib} MiB, {figures.cpu_s} s of CPU")
        lines += [
            f"camera {camera.name}: {camera.fps} fps, {camera.inference_ms} ms, {camera.judged} judged,"
            f" {camera.dropped} left out, {camera.reopened} reopened"
            for camera in figures.cameras
        ]
        lines.append(f"alerts: {alerts}, {figures.outbox_depth} waiting, {figures.alerts_dropped} dropped")
        lines.append(
            f"questions: {figures.asks}, {figures.answers} answered, {figures.asks_failed} failed,"
            f" {figures.asks_again} again with the whole frame"
        )
        lines.append(f"audits: {figures.audits}, {figures.audits_failed} lost")
        lines.append(f"bytes sent: {_counted(figures.bytes_by_reason)}")
        lines.append(f"errors: {_counted(figures.errors)}")
        lines.append(f"overridden by command: {', '.join(sorted(self._live_config.overridden)) or 'nothing'}")
        head = [without_secrets(line) for line in lines]
        room = MAX_REPORT_BYTES - sum(len(line.encode()) + 2 for line in head)
        return "\n".join([*head, "", *tail_within(self._tail.lines(), room)])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


class CommandUploads:
    """What commands send over the device's HTTP door. Each call has a connection of its own."""

    def __init__(
        self,
        settings: AskSettings,
        *,
        token: Callable[[], str | None],
        ledger: Ledger,
        receipts: Receipts,
        pause_s: float = 1.0,
    ) -> None:
        self._settings = settings
        self._token = token
        self._ledger = ledger
        self._receipts = receipts
        self._pause_s = pause_s

    async def send(self, what: str, send: Callable[[CloudHttp], Awaitable[None]]) -> None:
        """Try a few times.

        Raises:
            CloudUnreachable: It did not get through.
            CommandFailed: The cloud did not take it.
        """
        cloud = await asyncio.to_thread(
            CloudHttp, self._settings, token=self._token, ledger=self._ledger, receipts=self._receipts
        )
        try:
            for left in reversed(range(UPLOAD_TRIES)):
                try:
                    await send(cloud)
                    break
                except TryAgain as later:
                    if not left:
                        raise CloudUnreachable(f"the {what} did not get through: {later.error}") from later
                    await asyncio.sleep(max(self._pause_s, min(later.at_least_s, UPLOAD_TIMEOUT_S)))
        except AskRefused as refused:
            raise CommandFailed(f"the cloud did not take the {what}: {refused}") from refused
        finally:
            await cloud.close()


class SnapshotUpload:
    """Implements `agent.command.ports.SnapshotStore`."""

    def __init__(self, uploads: CommandUploads) -> None:
        self._uploads = uploads

    async def put(self, command_id: str, picture: Picture) -> None:
        """Send it; see the port."""
        shown = Shown(command_id, picture.camera, picture.redaction)
        await self._uploads.send(
            "picture", lambda cloud: cloud.put_snapshot(shown, picture.jpeg, timeout_s=UPLOAD_TIMEOUT_S)
        )


class ClipUpload:
    """Implements `agent.command.clip.ClipStore`."""

    def __init__(self, uploads: CommandUploads) -> None:
        self._uploads = uploads

    async def put(self, command_id: str, camera: str, clip: Clip) -> None:
        """Send it; see the port."""
        shown = Shown(command_id, camera, clip.redaction)
        timeout_s = UPLOAD_TIMEOUT_S + clip.size / SLOWEST_BYTES_S
        try:
            await self._uploads.send(
                "clip", lambda cloud: cloud.put_clip(shown, clip.path, clip.media_type, timeout_s=timeout_s)
            )
        except OSError as gone:
            raise CommandFailed(f"the clip can't be read any more: {gone}", "Look after the disk.") from gone


def _nobody() -> None:
    """Nobody runs the agent: it can't be started again."""
    raise CommandRefused("nobody would start this agent again")
