"""The `vedette gain` commands."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from agent.ask.gain import NAMES
from agent.errors import OutputUnwritable
from cloud.cli.telling import errors, exit_code, output
from wire.errors import VedetteError
from workbench.gain.training import SHARES, Ranking, Trained, train
from workbench.replay.recorded import read_answers

UNUSABLE: Final = 2

gain_app: Final = typer.Typer(
    help="What devices rank questions by: learn it from recorded answers.", no_args_is_help=True
)


@gain_app.callback()
def gain() -> None:
    """What devices rank questions by."""


@gain_app.command("train")
def train_(
    answers: Annotated[list[Path], typer.Argument(help="Files that `vedette replay --answers` wrote.")],
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = Path("gain.json"),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of text.")] = False,
) -> None:
    """Learn from recorded answers how likely a device is wrong about what it would ask.

    Says how well that ranks the last part of each recording, learnt from what came before it, beside the figures that
    devices go by otherwise. The weights that are written are learnt from all of it.
    """
    try:
        trained = train([read_answers(file) for file in answers])
        _write(out, trained.gain.model_dump_json() + "\n")
    except VedetteError as failed:
        errors.print(f"error: {failed.what}", style="red")
        if failed.mend:
            errors.print(failed.mend)
        code = exit_code(failed)
        raise typer.Exit(UNUSABLE if code == 1 else code) from None
    if as_json:
        typer.echo(json.dumps(_document(trained)))
        return
    _tell(trained)
    if trained.is_better:
        output.print(f"The weights are in {out}: vedette replay --gain, and vedette model import --gain, take them.")
    elif trained.is_ahead:
        output.print(
            f"The weights are in {out}, and rank better by {trained.ahead:.1%} of the pairs, which may be chance"
            f" (± {trained.ahead_error:.1%}): record more, and learn again."
        )
    else:
        output.print(f"The weights are in {out}, and rank no better than what is set by hand: leave them out.")


def _tell(trained: Trained) -> None:
    output.print(
        f"{trained.gain.answers} answers. On the last {trained.held_out} of them, of which the device was wrong about"
        f" {trained.wrong:.0%}, learnt from the others:\n"
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("ranked", "pairs in order", *(f"caught with {share:.0%} of the bytes" for share in SHARES)):
        table.add_column(heading, justify="left" if heading == "ranked" else "right")
    for name, one in (("as learnt", trained.learnt), ("by hand", trained.by_hand)):
        table.add_row(name, f"{one.auc:.1%}", *(f"{share:.0%}" for share in one.caught))
    table.add_row("at random", "50.0%", *(f"{share:.0%}" for share in SHARES))
    output.print(table)
    output.print("\nWhat makes it likelier that the device is wrong:")
    weights = sorted(zip(NAMES, trained.gain.weights, strict=True), key=lambda one: -one[1])
    output.print(", ".join(f"{name} {weight:+.2f}" for name, weight in weights))


def _document(trained: Trained) -> dict[str, object]:
    return {
        "gain": trained.gain.model_dump(mode="json"),
        "held_out": trained.held_out,
        "wrong": round(trained.wrong, 4),
        "learnt": _rounded(trained.learnt),
        "by_hand": _rounded(trained.by_hand),
        "ahead": round(trained.ahead, 4),
        "ahead_error": round(trained.ahead_error, 4),
        "is_better": trained.is_better,
    }


def _rounded(ranking: Ranking) -> dict[str, object]:
    found = asdict(ranking)
    return {"auc": round(found["auc"], 4), "caught": [round(share, 4) for share in found["caught"]]}


def _write(out: Path, text: str) -> None:
    if not out.name:
        raise OutputUnwritable(f"{out} is a folder", "Name a file.")
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(out)
    except OSError as refused:
        part.unlink(missing_ok=True)
        raise OutputUnwritable(
            f"{out} can't be written: {refused.strerror}", "Make room, or name another file."
        ) from None
