"""The tables of metrics in the documents, made by the code that tells the metrics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from agent.app.status import Sources, families
from agent.capture.camera import CameraCounts
from agent.deliver.messages import Boot
from agent.deliver.telemetry import Snapshot
from cloud.adapters.metrics import every_family
from wire.messages import BudgetLeft, ModelStatus
from wire.updates import UpdateState

Row = tuple[str, str, list[str], str]


def service_metrics() -> str:
    """What the service tells."""
    return _table(
        (
            f"{family.name}_total" if family.type == "counter" else family.name,
            family.type,
            [label for label in dict.fromkeys(key for one in family.samples for key in one.labels) if label != "le"],
            family.documentation,
        )
        for family in every_family()
    )


def agent_metrics() -> str:
    """What a device tells."""
    return _table(
        (
            family.name,
            family.kind,
            list(dict.fromkeys(label for one in family.samples for label, _ in one.labels)),
            family.meaning,
        )
        for family in families(_idle_agent())
    )


def _idle_agent() -> Sources:
    """One that has seen nothing yet; what it would be looked at for is all that it has."""
    model = ModelStatus(name="x", version="1", digest="sha256:" + "0" * 64, runtime="x", delegate="x")
    budget = BudgetLeft(allowance="", left=0, questions_left=0)
    snapshot = Snapshot(uptime_s=0, rss_mib=0, cpu_s=0, bytes_by_reason={"x": 0}, errors={"x": 0}, budgets=(budget,))
    parts: dict[str, Any] = {
        "boot": Boot("x", "0" * 32, "0", datetime.fromtimestamp(0, UTC), model.digest),
        "clock": None,
        "board": SimpleNamespace(now=(model, ())),
        "broker": "",
        "online": lambda: False,
        "lanes": {"x": SimpleNamespace(judged=0, still=0, inference_s=0.0)},
        "counts": lambda: {"x": CameraCounts(0, 0, 0, 0)},
        "figures": SimpleNamespace(totals=lambda: snapshot),
        "update": lambda: SimpleNamespace(state=UpdateState.IDLE, trust="ok"),
        "views": None,
        "door": None,
    }
    return Sources(**cast("Any", parts))


def _table(rows: Iterable[Row]) -> str:
    lines = ["| Metric | Kind | Labels | What it says |", "|---|---|---|---|"]
    for name, kind, labels, meaning in rows:
        lines.append(f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |")
    return "\n".join(lines)
