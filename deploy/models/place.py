"""Where recipes, archives and built models lie, and whether a model is built already.

Nothing heavy is imported here: this answers every run after the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.models.errors import OutputUnwritable, RecipeInvalid

HERE: Final = Path(__file__).parent
MODEL: Final = "model.tflite"
MANIFEST: Final = "manifest.json"
FETCHING: Final = ".fetching-"
_BUILDING: Final = ".building-"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one run.

    Attributes:
        models: `<name>/<version>/` for each model.
        archives: What npm gave, or a person put there.
    """

    models: Path
    archives: Path


@dataclass(frozen=True, slots=True)
class Changes:
    """What the run may write beside the recipe; nothing, as a rule.

    Attributes:
        pins: The digest of the result.
        calibrate_on: The ranges, measured on this clip.
    """

    pins: bool = False
    calibrate_on: Path | None = None

    def __bool__(self) -> bool:
        return self.pins or self.calibrate_on is not None


def places(env: Mapping[str, str], out: Path | None) -> Places:
    """By the command line, else the environment, else the user's cache."""
    cache = Path(env.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vedette"
    models = out or (
        Path(env["VEDETTE_MODELS_DIR"]).expanduser() if env.get("VEDETTE_MODELS_DIR") else cache / "models"
    )
    return Places(models, cache / "archives")


def recipe_origin(name: str, digest: str) -> str:
    """How a manifest names the recipe it was made by."""
    return f"deploy/models/{name}.toml sha256:{digest}"


def recipe_paths() -> dict[str, Path]:
    """Every recipe by its name."""
    return {path.stem: path for path in sorted(HERE.glob("*.toml"))}


def recipe_path(name: str) -> Path:
    """The recipe of that name.

    Raises:
        RecipeInvalid: There is none; says which there are.
    """
    known = recipe_paths()
    if name not in known:
        msg = f"There is no recipe {name!r}"
        raise RecipeInvalid(msg, f"Recipes: {', '.join(known)}.")
    return known[name]


def built(folder: Path, origin: str) -> bool:
    """Whether `folder` holds an intact model that this very recipe made."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        model = (folder / MODEL).read_bytes()
        expected, made_by = manifest["digest"], manifest["provenance"]["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(made_by == origin and expected == f"sha256:{hashlib.sha256(model).hexdigest()}")


def install(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts a whole folder in place, or nothing: written and synced beside, then renamed. Needs the lock.

    Raises:
        OutputUnwritable: The disk is full or refuses.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{_BUILDING}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=folder.parent) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            for name, data in files.items():
                _write_synced(fresh / name, data)
            _sync_folder(fresh)
            if folder.exists():
                folder.rename(Path(scratch) / "former")
            fresh.rename(folder)
            _sync_folder(folder.parent)
    except OSError as error:
        msg = f"{folder} can't be written: {error.strerror or error}"
        raise OutputUnwritable(msg, "Make room, or name another folder with --out or VEDETTE_MODELS_DIR.") from error


def keep(path: Path, source: Path) -> None:
    """Moves a finished download to `path`; half a file is never seen there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        shutil.move(source, path)
        _sync_folder(path.parent)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror or error}"
        raise OutputUnwritable(msg, "Make room, or set XDG_CACHE_HOME to a folder elsewhere.") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the archives' lock, so that two builds at once do the work once, and clears what a killed one left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        msg = f"{folder} can't be written: {error.strerror or error}"
        raise OutputUnwritable(msg, "Set XDG_CACHE_HOME to a folder elsewhere.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"{FETCHING}*"):
            shutil.rmtree(left)
        yield


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
