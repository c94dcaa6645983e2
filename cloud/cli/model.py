"""`vedette model …`: releases, their keys, and the repository that devices trust.

`sign` and `keys` want offline keys (`--keys`, several times where they lie apart). Their passphrase comes from
`VEDETTE_KEYS_PASSPHRASE`, or is asked for. None of these commands needs the service; all may run beside it.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from cloud.adapters.clock import SystemClock
from cloud.cli.evaluation import accuracies, evalset_app, evaluate, evaluated, lines, registry_of, summary
from cloud.cli.evaluation import document as evaluation_document
from cloud.cli.service import ConfigOption, DataDirOption, JsonOption
from cloud.cli.telling import errors, output, told
from cloud.registry import ceremony
from cloud.registry.errors import EvaluationFailed, KeyUnusable
from cloud.registry.evaluation.results import Evaluation
from cloud.registry.evaluation.shelf import DEFAULT_SET, EvaluationSets
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import RegistryFolder
from cloud.registry.service import Registry, Release
from cloud.registry.signing import sign_release
from cloud.registry.staging import Overrides, read_labels, stage
from vision.errors import VisionError
from vision.manifest import load_gain
from wire.model import Golden, Manifest
from wire.updates import ModelRef

KEYS_VARIABLE: Final = "VEDETTE_KEYS_PASSPHRASE"
_MIN_PASSPHRASE: Final = 12

model_app: Final = typer.Typer(
    help="Models: import, evaluate, sign, publish, list, show; and their keys.", no_args_is_help=True
)
keys_app: Final = typer.Typer(help="The keys that vouch for models.", no_args_is_help=True)
model_app.add_typer(keys_app, name="keys")
model_app.add_typer(evalset_app, name="evalset")
model_app.command()(evaluate)

KeysOption = Annotated[
    list[Path], typer.Option("--keys", help="A folder of offline keys; may be given several times.")
]
UntriedOption = Annotated[
    bool, typer.Option("--untried", help="Only read it, for what can't run here: no golden answers.")
]
NameArgument = Annotated[str, typer.Argument(help="The model's name.")]
VersionArgument = Annotated[str, typer.Argument(help="The release's version.")]


@model_app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(help="A .tflite file, a folder with one, a built model's name, or mlflow:URI.")
    ],
    name: Annotated[str | None, typer.Option(help="Instead of the one in its manifest.")] = None,
    version: Annotated[str | None, typer.Option(help="Needed where there is no manifest.")] = None,
    licence: Annotated[str | None, typer.Option(help="Instead of the one in its manifest.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A text file, one label a line.")] = None,
    *,
    gain: Annotated[
        Path | None, typer.Option(help="How devices rank what to ask: a file of `vedette gain train`.")
    ] = None,
    evaluation: Annotated[
        bool, typer.Option("--evaluate/--no-evaluate", help="On the evaluation set `default`, where there is one.")
    ] = True,
    untried: UntriedOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a model in: read it, run it in a process of its own, and stage it with its golden answers for signing.

    One that is published already is only told.
    """
    with told():
        overrides = Overrides(
            name,
            version,
            licence,
            None if labels is None else read_labels(labels),
            None if gain is None else load_gain(gain),
        )
        registry = _registry(config, data_dir)
        manifest = stage(registry.folder, source, overrides, untried=untried)
        release = registry.release(manifest.name, manifest.version)
        found = _on_import(registry, manifest) if evaluation and not untried else None
        if as_json:
            told_so: dict[str, object] = {
                "name": manifest.name,
                "version": manifest.version,
                "digest": manifest.digest,
            }
            if release.published:
                told_so["number"] = release.ref.number
            extra = {} if found is None else {"evaluation": evaluation_document(found)}
            typer.echo(json.dumps(told_so | extra))
            return
        if release.published:
            _tell_ref(release.ref, "published already, with these bytes,", as_json=False)
        else:
            output.print(f"{manifest.name} {manifest.version} is staged: {manifest.digest}, {manifest.size} bytes.")
        if manifest.golden is None:
            output.print("It was not run here and has no golden answers: devices can't tell whether it is damaged.")
        if found is not None:
            for heading, value in lines(found):
                output.print(f"{heading}: {value}")
        if release.published:
            output.print(f"There is nothing to sign. Next: vedette rollout start {manifest.name}@{manifest.version}")
        else:
            output.print(f"Next: vedette model sign {manifest.name} {manifest.version} --keys DIR")


@model_app.command()
def export(
    name: NameArgument,
    version: VersionArgument,
    bundle: Annotated[Path, typer.Argument(help="A new folder to carry to the offline keys.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Copy a staged release and the public metadata, for signing on a machine without the service."""
    with told():
        _registry(config, data_dir).export(name, version, bundle)
        output.print(f"{bundle} holds what `vedette model sign {name} {version} --repo {bundle} --keys DIR` needs.")


@model_app.command()
def sign(
    name: NameArgument,
    version: VersionArgument,
    keys: KeysOption,
    repo: Annotated[
        Path | None, typer.Option(help="The bundle of `export`; else the data directory's registry.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Vouch for a staged release with the offline releases key. Compare the digest that it prints."""
    with told():
        folder = RegistryFolder(repo) if repo is not None else registry_of(config, data_dir)
        _tell_ref(sign_release(folder, _offline(keys), name, version, _now()), "signed", as_json=as_json)


@model_app.command()
def publish(
    name: NameArgument,
    version: VersionArgument,
    signed: Annotated[Path | None, typer.Option(help="The bundle that was signed; else the registry's own.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a signed release into the repository. No device runs it before a rollout says so."""
    with told():
        _tell_ref(_registry(config, data_dir).publish(name, version, signed), "published", as_json=as_json)


@model_app.command("list")
def list_(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every release, how far it is, and how accurate on each evaluation set."""
    with told():
        registry = _registry(config, data_dir)
        releases = registry.releases()
        found = accuracies(registry, releases)
        if as_json:
            typer.echo(json.dumps([_document(each, found[_key(each)]) for each in releases]))
        elif releases:
            output.print(_table(releases, found))
        else:
            output.print("There is no model yet: vedette model import FILE")


@model_app.command()
def show(
    name: NameArgument,
    version: VersionArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is known of one release."""
    with told():
        registry = _registry(config, data_dir)
        release = registry.release(name, version)
        found = accuracies(registry, [release])[_key(release)]
        if as_json:
            manifest = release.manifest.model_dump(mode="json")
            typer.echo(json.dumps(_document(release, found) | {"manifest": manifest}))
        else:
            output.print(_details(release, found))


@keys_app.command()
def create(
    keys: Annotated[Path, typer.Option("--keys", help="A new folder for the offline keys.")],
    demo: Annotated[bool, typer.Option("--demo", help="Leave the keys without a passphrase.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """The ceremony: every key, and an empty repository signed by them."""
    with told():
        folder = registry_of(config, data_dir)
        ceremony.create(folder, KeyFolder(keys, None if demo else cache(_new_passphrase)), _now())
        output.print(f"Offline keys: {keys}. Online keys: {folder.keys}.")
        output.print("Keep the offline ones away from the service, the three root keys on three media.")


@keys_app.command("add-group")
def add_group(
    group: Annotated[str, typer.Argument(help="The group's name.")],
    keys: KeysOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Give a group of devices its own online key; takes the offline key of `targets`."""
    with told():
        ceremony.add_group(registry_of(config, data_dir), _offline(keys), group, _now())
        output.print(f"The group {group} has its key.")


@keys_app.command()
def rotate(
    role: Annotated[str, typer.Argument(help="root, targets, snapshot, timestamp, releases or group-NAME.")],
    keys: KeysOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Replace a role's keys; new offline ones go to the first --keys folder."""
    with told():
        ceremony.rotate(registry_of(config, data_dir), _offline(keys), role, _now())
        output.print(f"{role} has new keys.")


@keys_app.command()
def renew(keys: KeysOption, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Sign everything anew, before a year is over."""
    with told():
        ceremony.renew(registry_of(config, data_dir), _offline(keys), _now())
        output.print("Everything is signed anew.")


@keys_app.command("show-root")
def show_root(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """The newest root, as the file `root.json` that devices pin."""
    with told():
        typer.echo(_registry(config, data_dir).root().decode())


def _registry(config: Path | None, data_dir: Path | None) -> Registry:
    return Registry(registry_of(config, data_dir).root, SystemClock())


def _offline(folders: list[Path]) -> list[KeyFolder]:
    passphrase = cache(_passphrase)
    return [KeyFolder(folder, passphrase) for folder in folders]


def _passphrase() -> bytes:
    given = os.environ.get(KEYS_VARIABLE)
    return (given or str(typer.prompt("Passphrase of the offline keys", hide_input=True, err=True))).encode()


def _new_passphrase() -> bytes:
    given = os.environ.get(KEYS_VARIABLE)
    chosen = given or str(
        typer.prompt("New passphrase for the offline keys", hide_input=True, confirmation_prompt=True, err=True)
    )
    if len(chosen) < _MIN_PASSPHRASE:
        raise KeyUnusable(
            f"the passphrase has under {_MIN_PASSPHRASE} characters", "Choose a longer one, or --demo for none."
        )
    return chosen.encode()


def _now() -> datetime:
    return SystemClock().wall()


def _tell_ref(ref: ModelRef, done: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(ref.model_dump_json())
    else:
        output.print(f"{ref.name} {ref.version} is {done} as release {ref.number}: {ref.digest}")


def _on_import(registry: Registry, manifest: Manifest) -> Evaluation | None:
    """A model that fails here stays staged: a person decides what that means."""
    if not any(each.name == DEFAULT_SET for each in EvaluationSets(registry.folder).all()):
        return None
    try:
        return evaluated(registry, manifest.name, manifest.version, DEFAULT_SET)
    except (EvaluationFailed, VisionError) as failed:
        errors.print(f"not evaluated: {failed.what}", style="yellow")
        errors.print(failed.mend)
        return None


def _key(release: Release) -> tuple[str, str]:
    return release.ref.name, release.ref.version


def _document(release: Release, evaluations: list[Evaluation]) -> dict[str, object]:
    return release.ref.model_dump(mode="json") | {
        "state": _state(release),
        "imported_at": release.imported_at.isoformat(),
        "size": release.size,
        "licence": release.licence,
        "evaluations": [evaluation_document(each) for each in evaluations],
    }


def _state(release: Release) -> str:
    return "published" if release.published else "signed" if release.signed else "staged"


def _table(releases: list[Release], found: dict[tuple[str, str], list[Evaluation]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "release", "state", "mAP50", "size", "licence", "digest"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "mAP50")
    for each in releases:
        row = (each.ref.name, each.ref.version, _number(each), _state(each), summary(found[_key(each)]))
        table.add_row(*row, _size(each), each.licence, each.ref.digest[:19])
    return table


def _details(release: Release, evaluations: list[Evaluation]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    manifest = release.manifest
    rows = {
        "model": f"{release.ref.name} {release.ref.version}",
        "release": _number(release),
        "state": _state(release),
        "imported": f"{release.imported_at:%Y-%m-%d %H:%M:%S %Z}",
        "digest": release.ref.digest,
        "size": _size(release),
        "input": f"{manifest.input.width} × {manifest.input.height}",
        "output": str(manifest.output.kind),
        "labels": str(sum(1 for label in manifest.labels if label)),
        "licence": release.licence,
        "source": manifest.provenance.source,
        "golden answers": _golden(manifest.golden),
        "questions": "ranked by hand" if manifest.gain is None else f"ranked by {manifest.gain.answers} answers",
    }
    for name, value in [*rows.items(), *(line for each in evaluations for line in lines(each))]:
        table.add_row(name, value)
    return table


def _golden(golden: Golden | None) -> str:
    if golden is None:
        return "none"
    return f"by the {golden.kernels} kernels; others may differ by {golden.tolerance:g} spreads"


def _number(release: Release) -> str:
    return str(release.ref.number) if release.signed else "–"


def _size(release: Release) -> str:
    return f"{release.size / 2**20:.1f} MiB"
