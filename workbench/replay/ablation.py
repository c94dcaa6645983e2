"""What each reason for asking is worth: our policy again, each time without one of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from workbench.replay.budget import Budget
from workbench.replay.device import Workbench
from workbench.replay.policies import Policy
from workbench.replay.results import Run
from workbench.replay.scoring import standard_error
from workbench.replay.sweep import Measure, Planned, one_run
from workbench.replay.telling import ABOUT_ALERTS, ALERTS, alerts, figure, share

COLUMNS = (
    "budget", "switched off", "sent", "asked", "F1", "of it lost", "AP50", "of it lost",
    *(f"alerts: {name}" for name in ALERTS),
)  # fmt: skip
"""Of a row; the losses are against the same budget with every reason."""
NONE_OFF = "–"
ABOUT_LOSSES = (
    "Of each budget, the first row has every reason for asking. The others have one switched off, and what that lost:"
    " where F1 or AP50 rose instead, the loss is below 0. Differences of .006 may be chance; with --repeats, those of"
    f" less than two standard errors. {ABOUT_ALERTS}"
)


@dataclass(frozen=True, slots=True)
class Ablation:
    """The runs of one budget.

    Attributes:
        whole: With every reason.
        without: By the reason that was switched off.
    """

    budget: Budget
    whole: Run
    without: dict[str, Run]

    def lost(self, run: Run) -> tuple[str, str]:
        """F1 and AP50 that `run` has less than the whole, each repeat held against the one that began alike."""
        pairs = list(zip(self.whole.catches, run.catches, strict=True))
        return _told([all_.f1 - now.f1 for all_, now in pairs]), _told([all_.ap50 - now.ap50 for all_, now in pairs])


@dataclass(frozen=True, slots=True)
class Ablations:
    """All of them, as rows under `columns`."""

    found: tuple[Ablation, ...]
    columns: tuple[str, ...] = COLUMNS

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """A row for each run."""
        rows = []
        for one in self.found:
            rows.append(_row(one, NONE_OFF, one.whole))
            rows += [_row(one, reason, run) for reason, run in one.without.items()]
        return rows

    @property
    def tables(self) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        """The same for a terminal of 80 columns: of each budget what was caught, then alerts where there are any."""
        of_alerts = len(COLUMNS) - len(ALERTS)
        found = []
        for one in self.found:
            runs = {"every reason": one.whole, **{f"without {reason}": run for reason, run in one.without.items()}}
            rows = [(name, *_row(one, "", run)[2:]) for name, run in runs.items()]
            found.append(
                ((f"within {one.budget.text}", *COLUMNS[2:of_alerts]), [row[: of_alerts - 1] for row in rows])
            )
            if any(any(run.alertings) for run in runs.values()):
                head = (f"alerts, {one.budget.text}", *ALERTS)
                found.append((head, [(row[0], *row[of_alerts - 1 :]) for row in rows]))
        return found

    def for_programs(self) -> list[dict[str, object]]:
        """The summary of each run, and what was switched off in it."""
        return [
            {"off": reason, **run.summary()}
            for one in self.found
            for reason, run in ((None, one.whole), *one.without.items())
        ]


def ablated(
    bench: Workbench,
    budgets: Sequence[Budget],
    measure: Measure,
    show: Callable[[str, int], None],
    repeats: int = 1,
) -> Ablations:
    """Make the runs.

    Args:
        bench: The clip and both models.
        budgets: Each is gone through by itself.
        measure: What the runs are held against.
        show: Told how many frames of which run were judged.
        repeats: How often each run is made, see `Run.catches`.

    Raises:
        VedetteError: As `workbench.replay.sweep.one_run`.
    """
    found = []
    for budget in budgets:
        plan = Planned(Policy.OURS, budget)
        whole = one_run(bench, plan, measure, partial(show, "every reason"), repeats)
        without = {}
        for reason, setup in bench.setup.each_reason_off().items():
            without[reason] = one_run(bench.told(setup), plan, measure, partial(show, f"without {reason}"), repeats)
        found.append(Ablation(budget, whole, without))
    return Ablations(tuple(found))


def _row(one: Ablation, off: str, run: Run) -> tuple[str, ...]:
    figures = ("–",) * 4
    if run.catch is not None:
        f1, ap50 = ("", "") if run is one.whole else one.lost(run)
        figures = (figure(run.catch.f1), f1, figure(run.catch.ap50), ap50)
    return (one.budget.text, off, share(run.share), str(run.outcome.asks), *figures, *alerts(run))


def _told(losses: Sequence[float]) -> str:
    error = standard_error(losses)
    return f"{statistics.fmean(losses):+.3f}" + ("" if error is None else f" ± {figure(error)}")
