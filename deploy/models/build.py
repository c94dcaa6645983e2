"""Builds the default models: `python -m deploy.models.build [NAME…|--all] [--out DIR] [--json]`.

Each recipe beside this file becomes `<out>/<name>/<version>/` with `model.tflite`, `manifest.json` and the licence.
A model that is there already, intact and of this very recipe, is left alone. May be interrupted and run again.

Exit codes: 0 done, 1 a model could not be built (standard error says why and what to do), 2 wrong arguments, 130
interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# Only what is light stands here: `recipe` and the converter are imported when there is something to build, so that
# the run that finds everything built takes a blink.
from deploy.models.errors import BuildError, ToolMissing
from deploy.models.place import MODEL, Changes, Places, alone, built, places, recipe_origin, recipe_path, recipe_paths
from deploy.models.progress import Progress

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipe, as `--json` prints it."""

    name: str
    path: str
    sha256: str
    bytes: int
    built: bool
    seconds: float


def build(path: Path, where: Places, changes: Changes, progress: Progress) -> Outcome:
    """Builds the recipe at `path`, unless that is done already.

    Raises:
        BuildError: Names what is wrong; nothing is left half built.
    """
    started = time.monotonic()
    folder = None if changes else _folder_if_built(path, where.models)
    made = folder is None
    if folder is None:
        with alone(where.archives):
            # Another build may have done it while we waited for the lock.
            folder = None if changes else _folder_if_built(path, where.models)
            made = folder is None
            folder = folder or _make(path, where, changes, progress)
    model = (folder / MODEL).read_bytes()
    progress.say(f"{path.stem}: {'built' if made else 'already built'} in {folder}")
    digest = hashlib.sha256(model).hexdigest()
    return Outcome(path.stem, str(folder), digest, len(model), made, round(time.monotonic() - started, 3))


def _folder_if_built(path: Path, models: Path) -> Path | None:
    """The folder of an intact model that this very recipe made; reads no more of the recipe than that takes."""
    data = path.read_bytes()
    version = re.search(rb'^version = "([0-9A-Za-z.+-]+)"$', data, re.MULTILINE)
    if version is None:
        return None
    folder = models / path.stem / version[1].decode()
    return folder if built(folder, recipe_origin(path.stem, hashlib.sha256(data).hexdigest())) else None


def _make(path: Path, where: Places, changes: Changes, progress: Progress) -> Path:
    try:
        from deploy.models.steps import make  # noqa: PLC0415 - heavy, and not needed when all is built
    except ImportError as error:
        msg = f"What builds models is not installed ({error})"
        raise ToolMissing(msg, "Install it with: pip install '.[models]'.") from error
    return make(path, where, changes, progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring for its exit codes."""
    options = _parser().parse_args(arguments)
    progress = Progress(sys.stderr, quiet=options.quiet)
    changes = Changes(pins=options.update_pins, calibrate_on=options.calibrate)
    try:
        where = places(os.environ, options.out)
        paths = [recipe_path(name) for name in options.names or recipe_paths()]
        outcomes = [build(path, where, changes, progress) for path in paths]
    except BuildError as error:
        print(f"{error.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run it again to go on.", file=sys.stderr)
        return _INTERRUPTED
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.models.build", description="Builds the default models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes to build; all of them when none is named")
    parser.add_argument("--all", action="store_true", help="every recipe (what happens without a name, too)")
    parser.add_argument(
        "--out", type=Path, help="folder of the built models (default: VEDETTE_MODELS_DIR or the cache)"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome for programs")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    parser.add_argument("--update-pins", action="store_true", help="write the digests that come out into the recipes")
    parser.add_argument(
        "--calibrate", type=Path, metavar="CLIP", help="measure the ranges again, on this clip; updates pins"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
