"""Reads the demo's figures where the dashboard reads them, and counts from what a kept data folder held already."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

import httpx
import psutil

from cloud.web.views import DeviceView, Summary
from wire.messages import Presence
from workbench.demo.figures import Figures
from workbench.demo.processes import Child
from workbench.errors import DemoFailed

LOOK_EVERY_S: Final = 0.25
SETTLE_S: Final = 15.0
"""How long after the agents' end their last messages may take to be stored, on a busy machine; a moment is usual."""
MIB: Final = 2**20


class Looking:
    """Keeps `figures` current.

    Attributes:
        before: What the service knew before the agents began.
    """

    def __init__(self, cloud: httpx.Client, figures: Figures, started_at: float) -> None:
        self._cloud = cloud
        self._figures = figures
        self._started_at = started_at
        self.before, devices = self._asked()
        self._old_boots = {device.telemetry.boot_id for device in devices if device.telemetry is not None}

    def look(self, agents: Sequence[Child]) -> None:
        """Bring the figures up to date, the memory from the agents that are given, and cameras while there are any.

        Raises:
            DemoFailed: The service does not answer.
        """
        summary, devices = self._asked()
        figures, before = self._figures, self.before
        figures.frames = summary.frames - before.frames
        figures.alerts_stored = summary.alerts_total - before.alerts_total
        figures.alerts_raised = sum(
            sum(device.telemetry.alerts.values())
            for device in devices
            if device.telemetry is not None and device.telemetry.boot_id not in self._old_boots
        )
        # An alert of an earlier run that is decided only now leaves one state for another.
        figures.confirmed = max(0, summary.alerts.confirmed - before.alerts.confirmed)
        figures.retracted = max(0, summary.alerts.retracted - before.alerts.retracted)
        figures.provisional = max(0, summary.alerts.provisional - before.alerts.provisional)
        figures.asks = summary.asks - before.asks
        figures.answers = summary.answers + summary.late_answers - before.answers - before.late_answers
        figures.bytes_sent = summary.bytes_sent - before.bytes_sent
        figures.bytes_if_streamed = summary.bytes_if_streamed - before.bytes_if_streamed
        figures.devices = {device.device: device.presence.value for device in devices}
        for device in devices:
            # An agent that ends says before its goodbye that its cameras did.
            if agents and device.presence is Presence.ONLINE:
                for camera in device.cameras:
                    said = f"{camera.state}: {camera.detail}" if camera.detail else str(camera.state)
                    figures.cameras[camera.name] = said
        if figures.first_alert_s is None and figures.alerts_stored:
            figures.first_alert_s = round(time.time() - self._started_at, 2)
        holder = figures.rollout or figures
        holder.agent_rss_mib = round(max([holder.agent_rss_mib, *map(_rss_mib, agents)]), 1)

    def settle(self) -> None:
        """Wait until what the agents delivered at their end is in the figures.

        Raises:
            DemoFailed: The service does not answer.
        """
        until = time.monotonic() + SETTLE_S
        figures = self._figures
        while True:
            self.look(())
            gone = all(state == Presence.OFFLINE for state in figures.devices.values())
            if (gone and figures.alerts_raised <= figures.alerts_stored) or time.monotonic() > until:
                return
            threading.Event().wait(LOOK_EVERY_S)

    def _asked(self) -> tuple[Summary, list[DeviceView]]:
        try:
            summary = Summary.model_validate_json(self._cloud.get("/api/summary").content)
            return summary, [DeviceView.model_validate(one) for one in self._cloud.get("/api/devices").json()]
        except httpx.HTTPError as failed:
            raise DemoFailed(
                f"the service does not answer: {failed}", "See cloud.log in the demo's folder."
            ) from None


def _rss_mib(agent: Child) -> float:
    try:
        return float(psutil.Process(agent.process.pid).memory_info().rss) / MIB
    except psutil.NoSuchProcess:
        return 0.0
