"""Changing many files so that a crash anywhere leaves either all of the change or nothing of it.

A change is written to `pending/`, synced, and committed by renaming that folder to `committing/`. Then each file is
moved into place, in order. Whoever comes next under the lock finishes a `committing/` and drops a `pending/`.

What takes long is made in a scratch folder outside the lock, and renamed into place under it. A scratch folder whose
maker died is known by its own lock, which the kernel let go, and is deleted by the next one that makes such a folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cloud.registry.errors import RegistryBroken, RegistryUnwritable

_PENDING: Final = "pending"
_COMMITTING: Final = "committing"
_PLAN: Final = "plan.json"
_SCRATCH: Final = ".scratch-"

NewFile = tuple[str, bytes | Path]
"""Where it goes, relative to the registry's folder, and its bytes, or a file on the disk that holds them."""


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a new file and wait until it is on the disk; its folder is the caller's business.

    Raises:
        OSError: It is there already, or the disk refused.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Put `data` in the place of what is at `path`; nobody ever finds half of it.

    Raises:
        RegistryUnwritable: The disk refused; what was there is unharmed.
    """
    with told_as_ours(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            write_durably(temporary / path.name, data)
            (temporary / path.name).replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(path.parent)


def make_folders(folder: Path) -> None:
    """Make a folder with those above it, durably."""
    missing = [step for step in (folder, *folder.parents) if not step.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for step in missing:
        sync_folder(step.parent)


@contextmanager
def told_as_ours(path: Path) -> Iterator[None]:
    """The disk's refusals as errors of ours."""
    try:
        yield
    except OSError as refused:
        raise RegistryUnwritable(
            f"the disk refused {refused.filename or path}: {refused.strerror}",
            "Look at the disk's space, health and rights, then do the same again. What was published is unharmed.",
        ) from None


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Keep every other writer out, thread or process, with the leftovers of a crash cleared away.

    Raises:
        RegistryUnwritable: The disk refused, also in what is done inside.
    """
    with told_as_ours(root):
        make_folders(root)
        with (root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _recover(root)
            yield


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A folder on the registry's disk, gone afterwards unless it was renamed; those of the dead go first.

    Raises:
        RegistryUnwritable: The disk refused.
    """
    with alone_in(root):
        for left in root.glob(f"{_SCRATCH}*"):
            _drop_if_dead(left)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=root))
        held = os.open(scratch, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(held)


def _drop_if_dead(scratch: Path) -> None:
    try:
        held = os.open(scratch, os.O_RDONLY)
    except FileNotFoundError:  # Its maker has just come to an end.
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(scratch)
    finally:
        os.close(held)


def commit(root: Path, files: Sequence[NewFile]) -> None:
    """Put the files in place, in their order, all or none. Only inside `alone_in`.

    Raises:
        RegistryUnwritable: The disk refused. Nothing changed, unless it refused after the commit; then the next to
            come finishes.
    """
    pending = root / _PENDING
    with told_as_ours(root):
        try:
            pending.mkdir()
            for number, (_, content) in enumerate(files):
                _stage(pending / str(number), content)
            write_durably(pending / _PLAN, json.dumps([place for place, _ in files]).encode())
            sync_folder(pending)
        except OSError:
            shutil.rmtree(pending, ignore_errors=True)
            raise
        pending.rename(root / _COMMITTING)
        sync_folder(root)
        _finish(root)


def is_committed(root: Path) -> bool:
    """Whether there is a change that the next to come under the lock will finish."""
    return (root / _COMMITTING).exists()


def _stage(path: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        write_durably(path, content, 0o644)
        return
    try:
        os.link(content, path)
    except OSError:  # Another file system, or one without hard links.
        with content.open("rb") as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())


def _recover(root: Path) -> None:
    if (root / _PENDING).exists():
        shutil.rmtree(root / _PENDING)
    if (root / _COMMITTING).exists():
        _finish(root)


def _finish(root: Path) -> None:
    """Move what has not been moved yet; the last file, which makes the others seen, once those are on the disk."""
    committing = root / _COMMITTING
    # Without a plan the files are in place already: it is the first to go.
    places = _plan(committing)
    numbered = list(enumerate(places))
    _place(root, committing, numbered[:-1])
    _place(root, committing, numbered[-1:])
    with suppress(FileNotFoundError):
        (committing / _PLAN).unlink()
    shutil.rmtree(committing)
    sync_folder(root)


def _plan(committing: Path) -> list[str]:
    try:
        return [str(place) for place in json.loads((committing / _PLAN).read_bytes())]
    except FileNotFoundError:
        return []
    except ValueError as torn:
        raise RegistryBroken(
            f"{committing / _PLAN} is damaged: {torn}", "Restore the registry's folder from a backup."
        ) from None


def _place(root: Path, committing: Path, numbered: Iterable[tuple[int, str]]) -> None:
    folders = set()
    for number, place in numbered:
        staged = committing / str(number)
        target = root / place
        make_folders(target.parent)
        with suppress(FileNotFoundError):  # Moved before the crash.
            staged.replace(target)
        folders.add(target.parent)
    for folder in sorted(folders):
        sync_folder(folder)
