"""The agent's own figures, gathered for telemetry."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.adapters.http_asker import AskCounts
from agent.adapters.receipt_log import ReceiptLog
from agent.capture.camera import CameraCounts
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.outbox import Outbox
from agent.deliver.telemetry import Snapshot
from agent.domain import Clock
from agent.judging.lane import Lane
from agent.pipeline import Pipeline
from wire.messages import CameraTelemetry, EgressMark, TunedBand

PAGE_MIB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(slots=True)
class _Before:
    at: float
    judged: int
    inference_s: float


class AgentFigures:
    """Implements `agent.deliver.telemetry.Figures`."""

    def __init__(
        self,
        *,
        clock: Clock,
        pipeline: Pipeline,
        lanes: Mapping[str, Lane],
        counts: Callable[[], Mapping[str, CameraCounts]],
        outbox: Outbox,
        ask_counts: Callable[[], AskCounts],
        answers_by_mqtt: Callable[[], int],
        faults: Faults,
        ledger: Ledger,
        receipts: ReceiptLog,
        bands: Callable[[], tuple[TunedBand, ...]] = tuple,
    ) -> None:
        self._clock = clock
        self._pipeline = pipeline
        self._lanes = lanes
        self._counts = counts
        self._outbox = outbox
        self._ask_counts = ask_counts
        self._answers_by_mqtt = answers_by_mqtt
        self._faults = faults
        self._ledger = ledger
        self._receipts = receipts
        self._bands = bands
        self._started_at = clock.monotonic()
        self._before: dict[str, _Before] = {}

    def snapshot(self) -> Snapshot:
        """The figures now; rates are over the time since this was called last."""
        now, counts = self._clock.monotonic(), self._counts()
        cameras = tuple(self._camera(name, lane, counts[name], now) for name, lane in self._lanes.items())
        return replace(self.totals(), cameras=cameras)

    def totals(self) -> Snapshot:
        """The figures now, without the cameras'."""
        now = self._clock.monotonic()
        asking = self._ask_counts()
        by_mqtt = self._answers_by_mqtt()
        mark = self._receipts.mark
        return Snapshot(
            uptime_s=round(now - self._started_at, 3),
            rss_mib=round(rss_mib(), 1),
            cpu_s=round(time.process_time(), 2),
            alerts=self._pipeline.tally.alerts(),
            outbox_depth=self._outbox.depth(),
            alerts_dropped=self._outbox.dropped(),
            asks=self._pipeline.tally.asks,
            asks_again=self._pipeline.tally.asks_again,
            answers=asking.answers + asking.answers_late + by_mqtt,
            answers_late=asking.answers_late + by_mqtt,
            asks_failed=asking.asks_failed,
            audits=asking.audits,
            audits_failed=asking.audits_failed,
            bytes_by_reason=self._ledger.bytes_by_reason(),
            errors=self._faults.counts(),
            egress=EgressMark(records=mark.n, sha256=mark.hash),
            bands=self._bands(),
            budgets=self._pipeline.budgets,
        )

    def _camera(self, name: str, lane: Lane, counts: CameraCounts, now: float) -> CameraTelemetry:
        before = self._before.get(name) or _Before(self._started_at, 0, 0.0)
        judged, inference_s = lane.judged, lane.inference_s
        self._before[name] = _Before(now, judged, inference_s)
        fresh = judged - before.judged
        return CameraTelemetry(
            name=name,
            captured=counts.captured,
            judged=judged,
            still=lane.still,
            dropped=counts.dropped + counts.thinned,
            reopened=counts.reopened,
            fps=round(fresh / max(now - before.at, 1e-3), 2),
            inference_ms=round(1e3 * (inference_s - before.inference_s) / fresh, 2) if fresh else 0.0,
            stream_bytes=lane.stream_cost.bytes_for(counts.captured) if lane.stream_cost else 0,
        )


def rss_mib() -> float:
    """This process's resident memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_MIB
