"""Where model files lie on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from vision.errors import ModelMissing
from vision.manifest import MANIFEST_NAME

DEFAULT_MODEL: Final = "ssdlite-mobilenetv2-300-int8"
UPGRADE_MODEL: Final = "nanodet-g-416-fp16"
MODEL_FILES: Final = ("model.tflite", "model.onnx")
"""What the model is called inside a folder of its own."""

_PACKAGED: Final = Path(__file__).parent / "models"
_MODEL_SUFFIXES: Final = frozenset(Path(name).suffix for name in MODEL_FILES)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NUMBERS: Final = re.compile(r"\d+|\D+")


def find_model(name_or_path: str | Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The file or folder of a model.

    An existing path is itself. A name is looked for in `$VEDETTE_MODELS_DIR`, in the package, then in the user's
    cache, as `NAME/VERSION/` or `NAME/` with a manifest in it; of several versions the newest is taken.

    Args:
        name_or_path: `default`, a model's name, or a path.
        environment: Where the folders' variables are read from.

    Raises:
        ModelMissing: None is there.
    """
    path = _from_home(name_or_path) or Path(name_or_path)
    if path.exists():
        return path
    name = DEFAULT_MODEL if str(name_or_path) == "default" else str(name_or_path)
    if Path(name).suffix in _MODEL_SUFFIXES or not _NAME.fullmatch(name):
        raise ModelMissing(
            f"there is no model at {path}", "Correct the path, or name a model; `make models` builds two."
        )
    searched = list(_folders(environment))
    for folder in searched:
        versions = sorted((found.parent for found in (folder / name).glob(f"*/{MANIFEST_NAME}")), key=_newness)
        if versions:
            return versions[-1]
        if (folder / name / MANIFEST_NAME).is_file():
            return folder / name
    raise ModelMissing(
        f"there is no model named '{name}' in {', '.join(map(str, searched))}",
        "Run `make models`, or set VEDETTE_MODELS_DIR to a folder that holds it.",
    )


def model_file(path: Path) -> Path:
    """The model file itself, where `path` is it or the folder that holds it.

    Raises:
        ModelMissing: Neither.
    """
    if not path.is_dir():
        if not path.exists():
            raise ModelMissing(f"there is no model at {path}", "Run `make models`, or correct the path.")
        return path
    for name in MODEL_FILES:
        if (path / name).is_file():
            return path / name
    raise ModelMissing(f"{path} holds neither {' nor '.join(MODEL_FILES)}", "Run `make models`, or correct the path.")


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    if chosen := environment.get("VEDETTE_MODELS_DIR"):
        yield _from_home(chosen) or Path(chosen)
    yield _PACKAGED
    if (cache := _from_home(environment.get("XDG_CACHE_HOME") or "~/.cache")) is not None:
        yield cache / "vedette" / "models"


def _from_home(path: str | Path) -> Path | None:
    """With `~` replaced; None where it can't be, since a service's user may have no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return None


def _newness(folder: Path) -> tuple[tuple[bool, int, str], ...]:
    """Orders `1.10` after `1.9`, and numbers after words: `1.0` after `1.0-rc1` is beyond what a name can tell."""
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _NUMBERS.findall(folder.name))
