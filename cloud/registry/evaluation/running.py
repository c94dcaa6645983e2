"""Holding a release against an evaluation set, from the outside of the process that does it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cloud.ports import Clock
from cloud.registry.errors import EvaluationFailed
from cloud.registry.evaluation.ending import crash, refused_as
from cloud.registry.evaluation.results import Evaluation, Figures, keep, manifest_digest
from cloud.registry.evaluation.shelf import EvaluationSets
from cloud.registry.service import Registry
from vision.child import child_environment

SILENCE_S: Final = 60.0
"""As long as the trial of a model may take: opening it, or judging one picture, is no more than that."""
PROGRAM: Final = (sys.executable, "-P", "-m", "cloud.registry.evaluation.judging")
_MAX_LINE_BYTES: Final = 1 << 20
_MEND: Final = "Export the model again; a device would fail too."


def evaluate(
    registry: Registry,
    name: str,
    version: str,
    set_name: str,
    *,
    clock: Clock,
    progress: Callable[[int, int], None],
    silence_s: float = SILENCE_S,
) -> Evaluation:
    """Run a release, staged or published, over a set, and keep what it comes to.

    Args:
        registry: Where both are.
        name: The release's name.
        version: Its version.
        set_name: The set's name.
        clock: Says when it was done.
        progress: Is told the pictures done, and all of them.
        silence_s: How long one picture, or opening the model, may take.

    Raises:
        ReleaseUnknown, EvaluationSetUnknown: There is none.
        VisionError: The model was refused, by the kind of error that refused it.
        EvaluationFailed: It crashed, hung, or knows none of the set's labels.
        RegistryUnwritable: The disk refused.
    """
    release = registry.release(name, version)
    sets = EvaluationSets(registry.folder)
    asked = sets.get(set_name)
    if not set(asked.labels) & set(release.manifest.labels):
        raise EvaluationFailed(
            f"{name} {version} knows none of the labels that {set_name} asks for: {', '.join(asked.labels)[:200]}",
            "Name the labels alike in the set and in the model, or use another set.",
        )
    begun = time.monotonic()
    with _model_folder(registry, name, version) as model:
        figures = _run(
            (*PROGRAM, str(os.getpid()), str(model), str(sets.folder_of(set_name).absolute())),
            lambda done: progress(done, len(asked.pictures)),
            silence_s,
        )
    evaluation = Evaluation(
        name=name,
        version=version,
        model_digest=release.ref.digest,
        manifest_digest=manifest_digest(release.manifest),
        set=set_name,
        set_digest=asked.digest,
        made_at=clock.wall(),
        took_s=round(time.monotonic() - begun, 3),
        figures=figures,
    )
    keep(registry.folder, evaluation)
    return evaluation


@contextmanager
def _model_folder(registry: Registry, name: str, version: str) -> Iterator[Path]:
    """The release's files under the names by which a model is opened."""
    with tempfile.TemporaryDirectory(prefix="vedette-evaluate-") as folder:
        for file, path in registry.files_of(name, version).items():
            (Path(folder) / file).symlink_to(path.absolute())
        yield Path(folder)


def _run(program: tuple[str, ...], done: Callable[[int], None], silence_s: float) -> Figures:
    last = b""
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd="/",
            env=child_environment(),
            start_new_session=True,
        )
        try:
            for last in _lines(process, silence_s):
                if (count := _count(last)) is not None:
                    done(count)
            code = process.wait(silence_s)
        except subprocess.TimeoutExpired:
            raise _silent(silence_s) from None
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        stderr.seek(0)
        said = stderr.read(_MAX_LINE_BYTES)
    if code != 0:
        raise refused_as(last) or EvaluationFailed(crash(code, said), _MEND)
    try:
        return Figures.model_validate_json(last)
    except ValidationError:
        raise EvaluationFailed("the process that ran the model gave no figures", _MEND) from None


def _lines(process: subprocess.Popen[bytes], silence_s: float) -> Iterator[bytes]:
    """What the process prints, line by line; the last one may lack its end."""
    assert process.stdout is not None  # noqa: S101 - for the type checker; it is a pipe
    pipe = process.stdout.fileno()
    rest = b""
    while True:
        if not select.select([pipe], [], [], silence_s)[0]:
            raise _silent(silence_s)
        came = os.read(pipe, 1 << 16)
        *lines, rest = (rest + came).split(b"\n")
        yield from lines
        if not came:
            break
        if len(rest) > _MAX_LINE_BYTES:
            raise EvaluationFailed("the process that ran the model prints without end", _MEND)
    if rest:
        yield rest


def _count(line: bytes) -> int | None:
    """The pictures that a line says are done; None where it says something else."""
    try:
        read = json.loads(line)
    except ValueError:
        return None
    count = read.get("done") if isinstance(read, dict) else None
    return count if isinstance(count, int) else None


def _silent(silence_s: float) -> EvaluationFailed:
    return EvaluationFailed(
        f"the model took longer than {silence_s:g} s over one picture", "Release a smaller model."
    )
