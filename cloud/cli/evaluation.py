"""`vedette model evaluate` and `vedette model evalset …`: how accurate each release is, on pictures of your own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption, folder_of, settings_of
from cloud.cli.telling import bar, output, told
from cloud.registry.evaluation.building import Sources
from cloud.registry.evaluation.document import EvaluationSet
from cloud.registry.evaluation.results import Evaluation, OperatingPoint, evaluations_of
from cloud.registry.evaluation.running import evaluate as run_over
from cloud.registry.evaluation.shelf import DEFAULT_SET, EvaluationSets
from cloud.registry.layout import RegistryFolder
from cloud.registry.service import Registry, Release

evalset_app: Final = typer.Typer(help="Labelled pictures that models are held against.", no_args_is_help=True)

SetArgument = Annotated[str, typer.Argument(help="The set's name; `default` is taken where none is named.")]


def evaluate(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help="The release's version.")],
    set_name: Annotated[str, typer.Option("--set", help="The evaluation set.")] = DEFAULT_SET,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a release over an evaluation set in a process of its own, and keep how accurate it is."""
    with told():
        registry = Registry(registry_of(config, data_dir).root, SystemClock())
        evaluation = evaluated(registry, name, version, set_name)
        if as_json:
            typer.echo(json.dumps(document(evaluation)))
        else:
            output.print(_figures(evaluation))


@evalset_app.command()
def add(
    name: SetArgument,
    pictures: Annotated[Path, typer.Option(help="A folder of JPEG files; for MOT's labels also a video.")],
    labels: Annotated[Path, typer.Option(help="COCO's JSON in a .json file, or MOT's gt.txt.")],
    label: Annotated[str, typer.Option(help="What MOT's boxes show.")] = "person",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy labelled pictures into the registry, once; every picture and box is checked."""
    with told(), bar("checking") as show:
        sets = EvaluationSets(registry_of(config, data_dir))
        made = sets.add(name, Sources(pictures, labels, label), show)
    if as_json:
        typer.echo(json.dumps(_set_document(made)))
        return
    output.print(f"The evaluation set {made.name} is kept: {_contents(made)}, {made.digest}.")
    output.print(f"Next: vedette model evaluate NAME VERSION --set {made.name}")


@evalset_app.command("list")
def list_(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every evaluation set."""
    with told():
        sets = EvaluationSets(registry_of(config, data_dir)).all()
        if as_json:
            typer.echo(json.dumps([_set_document(each) for each in sets]))
        elif sets:
            output.print(_table(("set", "pictures", "objects", "labels", "digest"), [_row(each) for each in sets]))
        else:
            output.print(
                "There is no evaluation set yet: vedette model evalset add NAME --pictures DIR --labels FILE"
            )


@evalset_app.command()
def show(
    name: SetArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What one set holds, and what each release came to on it."""
    with told():
        folder = registry_of(config, data_dir)
        found = EvaluationSets(folder).get(name)
        registry = Registry(folder.root, SystemClock())
        results = [
            each for release in registry.releases() for each in evaluations_of(folder, release.manifest, [found])
        ]
        if as_json:
            typer.echo(json.dumps(_set_document(found) | {"evaluations": [document(each) for each in results]}))
            return
        output.print(f"{found.name}: {_contents(found)}, {found.digest}")
        output.print(_table(("label", "objects"), sorted(_objects(found).items())))
        if results:
            output.print(_table(HEADINGS, [row(each) for each in results]))


@evalset_app.command()
def remove(name: SetArgument, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Delete a set; what models came to on it is shown no more."""
    with told():
        EvaluationSets(registry_of(config, data_dir)).remove(name)
        output.print(f"The evaluation set {name} is gone.")


HEADINGS: Final = ("model", "version", "mAP50", "recall", "precision", "sure from")


def row(evaluation: Evaluation) -> tuple[str, ...]:
    """One release's line under `HEADINGS`; recall and precision where the model is sure."""
    figures = evaluation.figures
    sure = figures.sure
    numbers = (share(figures.map50), share(sure.recall), share(sure.precision), f"{sure.score:g}")
    return evaluation.name, evaluation.version, *numbers


def registry_of(config: Path | None, data_dir: Path | None) -> RegistryFolder:
    """The service's registry."""
    return RegistryFolder(folder_of(settings_of(config, data_dir)).registry)


def evaluated(registry: Registry, name: str, version: str, set_name: str) -> Evaluation:
    """Evaluate, with a progress bar on a terminal; see `cloud.registry.evaluation.running.evaluate`."""
    with bar(f"evaluating on {set_name}") as show:
        return run_over(registry, name, version, set_name, clock=SystemClock(), progress=show)


def accuracies(registry: Registry, releases: Sequence[Release]) -> dict[tuple[str, str], list[Evaluation]]:
    """What each release came to on the sets that there are, by name and version."""
    sets = EvaluationSets(registry.folder).all()
    return {
        (each.ref.name, each.ref.version): evaluations_of(registry.folder, each.manifest, sets) for each in releases
    }


def document(evaluation: Evaluation) -> dict[str, object]:
    """For programs."""
    return evaluation.model_dump(mode="json", exclude={"evaluation", "manifest_digest"})


def summary(evaluations: Sequence[Evaluation]) -> str:
    """For a cell of a table: the mAP50 on each set, a line each."""
    return "\n".join(f"{share(each.figures.map50)} {each.set}" for each in evaluations) or "–"


def lines(evaluation: Evaluation) -> list[tuple[str, str]]:
    """For a list of a release's properties: headings and values."""
    figures = evaluation.figures
    found = [(f"on {evaluation.set}", f"mAP50 {share(figures.map50)}; {_points(figures.reported, figures.sure)}")]
    for each in figures.labels:
        unknown = "" if each.known else ", which the model does not know"
        found.append((f"  {each.label}", f"AP50 {share(each.ap50)} over {each.labelled} objects{unknown}"))
    return found


def share(value: float | None) -> str:
    """A share with three digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def _figures(evaluation: Evaluation) -> Table:
    took = f"{evaluation.took_s:.1f} s for {evaluation.figures.pictures} pictures"
    rows = [("model", f"{evaluation.name} {evaluation.version}"), *lines(evaluation), ("took", took)]
    table = Table(box=None, show_header=False, pad_edge=False)
    for heading, value in rows:
        table.add_row(heading, value)
    return table


def _points(reported: OperatingPoint, sure: OperatingPoint) -> str:
    return "; ".join(
        f"{what} from {at.score:g}: recall {share(at.recall)}, precision {share(at.precision)}"
        for what, at in (("reported", reported), ("sure", sure))
    )


def _set_document(found: EvaluationSet) -> dict[str, object]:
    return {
        "name": found.name,
        "digest": found.digest,
        "pictures": len(found.pictures),
        "clip": found.clip,
        "objects": _objects(found),
    }


def _objects(found: EvaluationSet) -> dict[str, int]:
    objects = dict.fromkeys(found.labels, 0)
    for label in found.objects():
        objects[found.labels[label]] += 1
    return objects


def _contents(found: EvaluationSet) -> str:
    what = "pictures" if found.clip is None else "frames"
    return f"{len(found.pictures)} {what}, {len(found.objects())} objects"


def _row(found: EvaluationSet) -> tuple[str, ...]:
    labels = ", ".join(found.labels[:5]) + (", …" if len(found.labels) > 5 else "")  # noqa: PLR2004 - what fits a line
    return found.name, str(len(found.pictures)), str(len(found.objects())), labels, found.digest[:19]


def _table(headings: tuple[str, ...], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for each in rows:
        table.add_row(*map(str, each))
    return table
