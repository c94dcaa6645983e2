"""The page: one HTML file that needs no network, with a chart of cost against catch, and which setting to use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from workbench.replay.budget import Budget
from workbench.replay.policies import Policy
from workbench.replay.results import Run
from workbench.replay.telling import (
    ABOUT_ALERTS,
    ALERTS,
    COST_AND_CATCH,
    Told,
    advised,
    beside,
    cells,
    facts,
    fine_print,
    lead,
    meanings,
    own_cost,
    settings,
    steps,
    where,
)

TEMPLATE: Final = "page.html"
PLACE: Final = "__DATA__"
MOST_BINS: Final = 120
"""Bars of eight pixels are as narrow as a person can point at."""
BETTER: Final = "Higher and more to the left is better."
METRICS: Final = (
    ("f1", "F1", "How well it catches what is there, both ways of being wrong counted alike."),
    ("ap50", "AP50", "The area under precision over recall, by the system's own belief."),
    ("recall", "Recall", "The share of what is there that is found."),
    ("precision", "Precision", "The share of what is found that is there."),
)  # fmt: skip


def page(runs: Sequence[Run], budgets: Sequence[Budget], told: Told) -> str:
    """The whole page."""
    data = json.dumps(_data(runs, budgets, told), ensure_ascii=False, separators=(",", ":"))
    template = files(__package__).joinpath(TEMPLATE).read_text("utf-8")
    # A clip's name may hold what would end the script.
    return template.replace(PLACE, data.replace("<", "\\u003c"))


def _data(runs: Sequence[Run], budgets: Sequence[Budget], told: Told) -> dict[str, Any]:
    against = "agreement with the cloud" if told.by_cloud else "against labels"
    policies = list(dict.fromkeys(run.policy for run in runs))
    best = advised(runs, told)
    return {
        "title": f"vedette replay: {told.source}",
        "lead": lead(runs, told),
        "set": _set(best.run, told),
        "note": best.note,
        "where": where(told),
        "facts": facts(told),
        "fine_print": f"{fine_print(told)} {own_cost(runs)}".strip(),
        "steps": [
            {"heading": step.heading, "use": step.use, "note": step.note, "set": _set(step.run, told)}
            for step in steps(runs, budgets, told)
        ],
        "meanings": meanings(policies),
        "columns": COST_AND_CATCH,
        "alerts": {"columns": ALERTS, "caption": ABOUT_ALERTS} if any(any(run.alertings) for run in runs) else None,
        "metrics": [
            {"key": key, "name": name, "axis": f"{name}, {against}", "caption": f"{caption} {BETTER}"}
            for key, name, caption in METRICS
        ],
        "runs": [_run(run) for run in runs],
        "timeline": _timeline(runs),
    }


def _set(run: Run | None, told: Told) -> dict[str, Any]:
    """The tables for the agent's file, and what is to be said beside them."""
    if run is None:
        return {"tables": (), "beside": ""}
    chosen = settings(run, told)
    return {"tables": () if chosen is None else chosen.tables, "beside": beside(chosen)}


def _run(run: Run) -> dict[str, Any]:
    found = run.catch
    return {
        "policy": run.policy.value,
        "name": run.name,
        "bytes": run.outcome.sent_bytes,
        "asks": run.outcome.asks,
        "share": run.share,
        "metrics": {key: None if found is None else round(getattr(found, key), 5) for key, _, _ in METRICS},
        "cells": cells(run),
    }


def _timeline(runs: Sequence[Run]) -> dict[str, Any] | None:
    """What our own policy sent over the clip, under the largest budget."""
    own = [run for run in runs if run.policy is Policy.OURS and run.outcome.sent]
    if not own:
        return None
    run = max(own, key=lambda one: one.outcome.sent_bytes)
    seconds = max(1, -(-int(run.lasts_s) // MOST_BINS))
    reasons = sorted({sent.reason for sent in run.outcome.sent})
    began = run.outcome.seen[0].at
    bins = [[0] * len(reasons) for _ in range(int(run.lasts_s / seconds) + 1)]
    for seen in run.outcome.seen:
        for sent in seen.sent:
            bins[int((seen.at - began) / seconds)][reasons.index(sent.reason)] += sent.bytes
    return {"bins": bins, "seconds": seconds, "reasons": reasons, "run": run.name}
