"""Taking a model in: from a file, a folder, a built model's name or MLflow, to a staged release."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cloud.registry.errors import MlflowFailed, ReleaseExists, SourceRefused
from cloud.registry.files import alone_in, make_folders, scratch_folder, sync_folder, told_as_ours
from cloud.registry.layout import RegistryFolder
from cloud.registry.metadata import View
from cloud.registry.signing import MANIFEST_FILE, MODEL_FILE, targets_of
from cloud.registry.trial import try_model
from vision.errors import ManifestInvalid
from vision.manifest import MANIFEST_NAME, check_file, load_manifest, parse_manifest
from vision.models import find_model, model_file
from wire.model import Gain, Manifest

MAX_MODEL_BYTES: Final = 512 << 20
"""Beyond what any device of ours can hold in memory."""

_MLFLOW: Final = "mlflow:"
_MAX_LABELS_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the person says of the model, over what its file says; None leaves that."""

    name: str | None = None
    version: str | None = None
    licence: str | None = None
    labels: tuple[str, ...] | None = None
    gain: Gain | None = None

    def given(self) -> dict[str, object]:
        """Those that are not None, as fields of the manifest."""
        fields = {
            "name": self.name,
            "version": self.version,
            "licence": self.licence,
            "labels": self.labels,
            "gain": None if self.gain is None else self.gain.model_dump(mode="json"),
        }
        return {field: value for field, value in fields.items() if value is not None}


def read_labels(file: Path) -> tuple[str, ...]:
    """Labels from a text file, one a line, in the order of the model's classes.

    Raises:
        SourceRefused: It can't be read.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_LABELS_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as refused:
        raise SourceRefused(
            f"the labels in {file} can't be read: {refused}", "Give a text file, one label a line."
        ) from None
    return tuple(line.strip() for line in text.splitlines())


def stage(folder: RegistryFolder, source: str, overrides: Overrides, *, untried: bool = False) -> Manifest:
    """Take a model in, with the golden answers that it gave in a process of its own; the same again changes nothing.

    What is published is not staged a second time: it could never be signed.

    Args:
        folder: The registry.
        source: A `.tflite` file, a folder with one, a built model's name, or an MLflow URI behind `mlflow:`.
        overrides: Name, version, licence and labels, where the file's own won't do.
        untried: It is only read, and gets no golden answers: for what this machine can't run, and devices can.

    Raises:
        VisionError: The model, or its manifest, is refused.
        SourceRefused, MlflowFailed, TrialFailed: As their names say.
        ReleaseExists: The name and version are another file's, staged or published.
        RegistryBroken: What is published does not verify.
        RegistryUnwritable: The disk refused.
    """
    with _found(source) as file, scratch_folder(folder.root) as scratch:
        given = _copy(file, scratch)
        read = try_model(scratch, run=not untried)
        data = _manifest_bytes(read, given, overrides)
        manifest = parse_manifest(data)
        with told_as_ours(scratch):
            (scratch / MANIFEST_FILE).write_bytes(data)
            _sync(scratch)
            check_file(manifest, scratch / MODEL_FILE)
        with alone_in(folder.root):
            _settle(scratch, folder, manifest)
        return manifest


def _settle(scratch: Path, folder: RegistryFolder, manifest: Manifest) -> None:
    if (published := _published(folder, manifest.name, manifest.version)) is not None:
        if _same(published, manifest):
            return
        raise ReleaseExists(
            f"{manifest.name} {manifest.version} is published already, with other bytes",
            "Give this one another --version: what devices trust never changes.",
        )
    place = folder.staged(manifest.name, manifest.version)
    if place.exists():
        if _same(load_manifest(place / MANIFEST_FILE), manifest):
            return
        raise ReleaseExists(
            f"{manifest.name} {manifest.version} is staged with other bytes",
            f"Give this one another --version, or delete {place}.",
        )
    make_folders(place.parent)
    scratch.rename(place)
    sync_folder(place.parent)


def _published(folder: RegistryFolder, name: str, version: str) -> Manifest | None:
    if not folder.metadata.is_dir():
        return None
    entry = View(folder).target(targets_of(name, version)[MANIFEST_FILE])
    return None if entry is None else load_manifest(folder.target(entry))


def _same(staged: Manifest, manifest: Manifest) -> bool:
    """Whether they differ in no more than the last digits of golden answers, which another runtime may give."""
    both_known = (staged.golden is None) == (manifest.golden is None)
    without = {"golden": None}
    return both_known and staged.model_copy(update=without) == manifest.model_copy(update=without)


def _manifest_bytes(read: Manifest, given: bytes | None, overrides: Overrides) -> bytes:
    """What gets signed: the given manifest's own bytes where nothing is laid over them, else its fields with that.

    Fields that this program does not know are kept.
    """
    changes = overrides.given()
    if given is None and overrides.version is None:
        raise SourceRefused(
            "the model comes without a manifest, so its version is not known", "Name it: --version 1.0.0"
        )
    fields: dict[str, object] = read.model_dump(mode="json") if given is None else json.loads(given)
    if fields.get("golden") is None and read.golden is not None:
        changes["golden"] = read.golden.model_dump(mode="json")
    if given is not None and not changes:
        return given
    data = json.dumps(fields | changes, ensure_ascii=False).encode()
    try:
        Manifest.model_validate_json(data)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ManifestInvalid(f"{where}: {first['msg']}", f"Correct --{where}.") from None
    return data


@contextmanager
def _found(source: str) -> Iterator[Path]:
    if not source.startswith(_MLFLOW):
        try:
            found = _tflite(model_file(find_model(source)))
        except OSError as refused:
            raise SourceRefused(
                f"{source} can't be read: {refused.strerror}", "Look at its disk and its rights."
            ) from None
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="vedette-mlflow-") as downloads:
        yield _from_mlflow(source.removeprefix(_MLFLOW), Path(downloads))


def _tflite(file: Path) -> Path:
    if file.suffix.lower() != ".tflite":
        raise SourceRefused(f"{file} is no .tflite file", "Devices run TFLite models: convert it first.")
    if file.stat().st_size > MAX_MODEL_BYTES:
        raise SourceRefused(f"{file} is over {MAX_MODEL_BYTES >> 20} MiB", "Release a smaller model.")
    return file


def _from_mlflow(uri: str, downloads: Path) -> Path:
    """The one `.tflite` among an MLflow model's or run's artifacts."""
    if importlib.util.find_spec("mlflow") is None:
        raise MlflowFailed(
            "MLflow's client is not installed", "Install it beside the service: pip install mlflow-skinny"
        )
    artifacts = importlib.import_module("mlflow.artifacts")
    failures = importlib.import_module("mlflow.exceptions")
    try:
        fetched = Path(artifacts.download_artifacts(artifact_uri=uri, dst_path=str(downloads)))
    except (failures.MlflowException, OSError) as refused:
        raise MlflowFailed(
            f"MLflow gave nothing for {uri}: {refused}", "Check the URI, and MLFLOW_TRACKING_URI."
        ) from None
    found = [fetched] if fetched.is_file() else sorted(fetched.rglob("*.tflite"))
    if len(found) != 1:
        raise MlflowFailed(f"{uri} holds {len(found)} .tflite files", "Name the artifact itself in the URI.")
    return _tflite(found[0])


def _copy(file: Path, scratch: Path) -> bytes | None:
    """Copy the model, so that what is tried is what is kept; and the manifest beside it, whose bytes are returned."""
    with told_as_ours(scratch):
        shutil.copyfile(file, scratch / MODEL_FILE)
        for beside in (file.with_name(f"{file.name}.{MANIFEST_NAME}"), file.with_name(MANIFEST_NAME)):
            if beside.is_file():
                load_manifest(beside)
                shutil.copyfile(beside, scratch / MANIFEST_FILE)
                return (scratch / MANIFEST_FILE).read_bytes()
    return None


def _sync(scratch: Path) -> None:
    for name in (MODEL_FILE, MANIFEST_FILE):
        with (scratch / name).open("rb") as file:
            os.fsync(file.fileno())
    scratch.chmod(0o755)
    sync_folder(scratch)
