"""Where a replay's results go: the terminal, JSON, and files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.table import Table

from agent.errors import OutputUnwritable
from cloud.cli.telling import output
from workbench.errors import ReplayRefused
from workbench.replay.ablation import ABOUT_LOSSES, Ablations
from workbench.replay.budget import Budget
from workbench.replay.page import page
from workbench.replay.recorded import lines
from workbench.replay.results import Run
from workbench.replay.telling import (
    ABOUT_ALERTS,
    ALERTS,
    CATCH,
    COLUMNS,
    COST,
    SETTING,
    Advised,
    Told,
    advised,
    cells,
    document,
    facts,
    in_lines,
    lead,
    own_cost,
    settings,
    steps,
    where,
)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go, beside the terminal."""

    jsonl: Path | None
    plot: Path | None
    table: Path | None
    answers: Path | None
    as_json: bool
    ablating: bool

    def demand_folders(self) -> None:
        """Say now what would only be known after minutes of work.

        Raises:
            OutputUnwritable: A file has no folder, or is one.
            ReplayRefused: A file would stay empty.
        """
        if self.ablating and (self.jsonl or self.plot or self.answers):
            raise ReplayRefused(
                "--ablate makes a table, and neither lines nor a page",
                "Leave --jsonl, --answers and --plot out; take --table.",
            )
        for out in (self.jsonl, self.plot, self.table, self.answers):
            if out is not None and (out.is_dir() or not os.access(out.parent, os.W_OK)):
                raise OutputUnwritable(f"{out} can't be written", "Name a file in a folder that is there.")

    def runs(self, runs: Sequence[Run], budgets: Sequence[Budget], told: Told) -> None:
        """Write and print what policies came to."""
        rows = [cells(run) for run in runs]
        self._files(runs, budgets, told)
        if self.as_json:
            typer.echo(json.dumps(_document(runs, budgets, told)))
            return
        output.print(facts(told), style="dim")
        tables: list[tuple[str, tuple[str, ...]]] = [(SETTING, COST), ("catch", CATCH)]
        if any(any(run.alertings) for run in runs):
            tables.append(("alerts", ALERTS))
        done = 1
        for about, columns in tables:
            of_them = slice(done, done := done + len(columns))
            output.print(_drawn((about, *columns), [(row[0], *row[of_them]) for row in rows]))
            output.print()
        output.print(lead(runs, told), style="bold")
        to_copy = _print_advice(advised(runs, told), told, 2)
        if len(runs) > 1:
            for step in steps(runs, budgets, told):
                output.print(f"  within {step.heading}: {step.use}")
                to_copy |= _print_advice(step, told, 4)
        if to_copy:
            output.print(where(told), style="dim")
        if said := own_cost(runs):
            output.print(said, style="dim")
        if self.plot is not None:
            output.print(f"\nThe page is {self.plot}.")

    def _files(self, runs: Sequence[Run], budgets: Sequence[Budget], told: Told) -> None:
        if self.jsonl is not None:
            for run in runs:
                out = self.jsonl if len(runs) == 1 else _beside(self.jsonl, run)
                _write(out, (f"{line}\n" for line in run.lines()))
        if self.answers is not None:
            _write(self.answers, lines(runs[0].outcome.answers))
        if self.plot is not None:
            _write(self.plot, [page(runs, budgets, told)])
        if self.table is not None:
            _write(
                self.table,
                [document(f"Policies on {told.source}", told, COLUMNS, [cells(run) for run in runs], ABOUT_ALERTS)],
            )

    def ablations(self, rows: Ablations, told: Told) -> None:
        """Write and print what each reason for asking is worth."""
        if self.table is not None:
            title = f"Each reason for asking on {told.source}"
            _write(self.table, [document(title, told, rows.columns, rows.cells, ABOUT_LOSSES)])
        if self.as_json:
            typer.echo(json.dumps({"source": told.source, "ablation": rows.for_programs()}))
            return
        output.print(facts(told), style="dim")
        for columns, cells_ in rows.tables:
            output.print(_drawn(columns, cells_))
            output.print()


def _print_advice(advice: Advised, told: Told, indent: int) -> bool:
    """The settings to be copied, each on one line however narrow the terminal is; False where there are none."""
    if advice.note is not None:
        output.print(f"{' ' * indent}{advice.note}", style="yellow", markup=False, highlight=False)
    if advice.run is None:
        return False
    chosen = settings(advice.run, told)
    for line in in_lines(chosen):
        output.print(f"{' ' * indent}{line}", style="cyan", markup=False, highlight=False, soft_wrap=True)
    return chosen is not None and bool(chosen.tables)


def _programs(run: Run | None, told: Told) -> dict[str, object] | None:
    chosen = None if run is None else settings(run, told)
    return None if chosen is None else chosen.for_programs()


def _document(runs: Sequence[Run], budgets: Sequence[Budget], told: Told) -> dict[str, object]:
    advice = steps(runs, budgets, told)
    return {
        "source": told.source,
        "frames": len(told.frames),
        "fps": round(told.fps, 3),
        "labels": list(told.names),
        "measured_against": "the cloud" if told.by_cloud else "labels",
        "device_model": told.device,
        "cloud_model": told.cloud,
        "runs": [run.summary() | {"settings": _programs(run, told)} for run in runs],
        "advice": {step.heading: step.use for step in advice},
        "use": [
            {
                "budget": step.budget,
                "run": None if step.run is None else step.run.name,
                "settings": _programs(step.run, told),
                "note": step.note,
            }
            for step in advice
        ],
    }


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(columns):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _beside(path: Path, run: Run) -> Path:
    """`out.jsonl` to `out.ours-5%.jsonl`."""
    return path.with_name(f"{path.stem}.{run.name.replace(' ', '-').replace('/', '-per-')}{path.suffix}")


def _write(out: Path, parts: Iterator[str] | Sequence[str]) -> None:
    """A file that appears under its name only when it is whole; a pipe or device is written to as it is."""
    part = out if out.exists() and not out.is_file() else out.with_name(f".{out.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(parts)
        if part is not out:
            part.replace(out)
    except BrokenPipeError:
        raise
    except OSError as refused:
        raise OutputUnwritable(
            f"{out} can't be written: {refused.strerror}", "Make room, or name another file."
        ) from None
    finally:
        if part is not out:
            part.unlink(missing_ok=True)
