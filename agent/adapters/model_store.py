"""The models of a device, on disk.

    models/
      objects/<sha256 hex>/{model.tflite, manifest.json, seal.json}
      staging/<sha256 hex>/{model.tflite, manifest.json, …}
      current.json, previous.json

Names are made from digests, never from what a repository calls a target. A seal holds the hashes of both files, so
that a manifest that rots is found as surely as a model that does. Nothing here is trusted at a start: what the
pointer names is hashed before it is used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from agent.adapters.durable_file import named_errors, replace_file, sync_path
from agent.errors import DownloadFailed, ModelStoreBroken, NoRoom
from agent.update.ports import Candidate
from agent.update.settings import UpdateSettings
from wire.errors import VedetteError
from wire.updates import ModelRef

MODEL: Final = "model.tflite"
MANIFEST: Final = "manifest.json"
_SEAL: Final = "seal.json"
_MIB: Final = 1 << 20
_MAX_POINTER_BYTES: Final = 4096
_PREFIX: Final = "sha256:"


class ModelStore:
    """Implements `agent.update.storage.Models`. One thread at a time."""

    def __init__(
        self, folder: Path, built_in: Candidate, settings: UpdateSettings, note: Callable[[VedetteError], None]
    ) -> None:
        """Take note of the folder; it is made when something is stored.

        Args:
            folder: `data_dir/models`.
            built_in: What the device was born with; lies elsewhere, and is never touched.
            settings: How much space to leave.
            note: Told of each error that was survived.
        """
        self._folder = folder
        self._objects = folder / "objects"
        self._staging = folder / "staging"
        self._built_in = built_in
        self._settings = settings
        self._note = note

    @property
    def built_in(self) -> Candidate:
        """What the device was born with."""
        return self._built_in

    # --- reading --------------------------------------------------------------------------------------------

    def startup_models(self) -> Iterator[Candidate]:
        """Current, previous, built-in, each once, and only such as are whole. Never raises."""
        seen: set[str] = set()
        for name in ("current.json", "previous.json"):
            ref = self._read_pointer(name)
            if ref is not None and ref.digest == self._built_in.ref.digest:
                break
            if ref is None or ref.digest in seen:
                continue
            seen.add(ref.digest)
            try:
                self.verify(ref.digest)
            except (ModelStoreBroken, NoRoom) as broken:
                self._note(broken)
                continue
            yield Candidate(ref, self._object(ref.digest))
        yield self._built_in

    def current(self) -> ModelRef:
        """What the pointer names; the built-in model where there is no pointer. Never raises."""
        return self._read_pointer("current.json") or self._built_in.ref

    def previous(self) -> ModelRef | None:
        """What the pointer named before. Never raises."""
        return self._read_pointer("previous.json")

    def held(self, ref: ModelRef) -> Candidate | None:
        """The release, if it is stored and whole."""
        if ref.digest == self._built_in.ref.digest:
            return self._built_in
        try:
            self.verify(ref.digest)
        except ModelStoreBroken:
            return None
        return Candidate(ref, self._object(ref.digest))

    def verify(self, digest: str) -> None:
        """Hash a stored model and its manifest.

        Raises:
            ModelStoreBroken: It is not there, or not what it was.
        """
        if digest == self._built_in.ref.digest:
            return
        folder = self._object(digest)
        try:
            seal = json.loads(_read_small(folder / _SEAL))
            whole = _hash(folder / MODEL) == digest == seal["model"] and _hash(folder / MANIFEST) == seal["manifest"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as broken:
            raise _broken(digest, str(broken)) from broken
        if not whole:
            raise _broken(digest, "its bytes have changed")

    # --- staging --------------------------------------------------------------------------------------------

    def room(self) -> bool:
        """Whether a download may go on taking space."""
        with named_errors(self._folder):
            return shutil.disk_usage(self._folder).free >= self._settings.min_free_mib * _MIB

    def stage(self, ref: ModelRef) -> Path:
        """A folder to download into; holds what was downloaded of it before. What else was staged is removed.

        Raises:
            NoRoom: Less is free than the largest model and the reserve.
            ModelStoreBroken: The disk refuses.
        """
        target = self._staged(ref)
        with named_errors(target):
            self._staging.mkdir(parents=True, exist_ok=True)
            for other in self._staging.iterdir():
                if other != target:
                    _remove(other)
            target.mkdir(exist_ok=True)
            there = sum(file.stat().st_size for file in target.iterdir())
            free = shutil.disk_usage(self._folder).free + there
        needed = (self._settings.min_free_mib + self._settings.max_model_mib) * _MIB
        if free < needed:
            raise NoRoom(
                f"{free // _MIB} MiB are free for models; {needed // _MIB} MiB are needed",
                "Free some space, or lower updates.min_free_mib.",
            )
        return target

    def discard(self) -> None:
        """Remove what was staged.

        Raises:
            NoRoom, ModelStoreBroken: The disk refuses.
        """
        with named_errors(self._staging):
            if self._staging.exists():
                shutil.rmtree(self._staging)

    def verify_staged(self, ref: ModelRef) -> Candidate:
        """Hash what was downloaded.

        Raises:
            DownloadFailed: It is not the release; it was removed.
            NoRoom, ModelStoreBroken: The disk refuses.
        """
        folder = self._staged(ref)
        with named_errors(folder):
            complete = (folder / MODEL).is_file() and (folder / MANIFEST).is_file()
            found = _hash(folder / MODEL) if complete else ""
        if found != ref.digest:
            self.discard()
            said = f"hashes to {found}" if complete else "lacks a file"
            raise DownloadFailed(f"the download of {ref.digest} {said}", "It is fetched again.")
        return Candidate(ref, folder)

    # --- installing -----------------------------------------------------------------------------------------

    def adopt(self, ref: ModelRef) -> Candidate:
        """Move what was staged to its place, or find it there already.

        Raises:
            NoRoom, ModelStoreBroken: It is not there, or not certain to survive a power cut; nothing else changed.
        """
        if (held := self.held(ref)) is not None:
            with named_errors(held.folder):
                if held is not self._built_in:
                    sync_path(self._objects)
            return held
        staged, target = self._staged(ref), self._object(ref.digest)
        with named_errors(target):
            self._objects.mkdir(parents=True, exist_ok=True)
            for name in (MODEL, MANIFEST):
                sync_path(staged / name)
            for other in staged.iterdir():
                if other.name not in {MODEL, MANIFEST}:
                    _remove(other)
            seal = {"model": _hash(staged / MODEL), "manifest": _hash(staged / MANIFEST)}
            replace_file(staged / _SEAL, json.dumps(seal).encode())
            if target.exists():
                _remove(target)
            staged.rename(target)
            for folder in (self._objects, self._folder, self._folder.parent):
                sync_path(folder)
        self.verify(ref.digest)
        return Candidate(ref, target)

    def point(self, ref: ModelRef, previous: ModelRef | None) -> None:
        """Let the pointer name it, and remember what it named before.

        Raises:
            NoRoom, ModelStoreBroken: The pointer may name either; `current` tells which.
        """
        with named_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            if previous is not None:
                replace_file(self._folder / "previous.json", previous.model_dump_json().encode())
            replace_file(self._folder / "current.json", ref.model_dump_json().encode())
            if previous is None:
                (self._folder / "previous.json").unlink(missing_ok=True)

    def collect(self) -> None:
        """Remove all but the built-in, the current and the previous model.

        Raises:
            NoRoom, ModelStoreBroken: The disk refuses; what is needed is still there, and all else is gone but for
                what it held on to.
        """
        refused: NoRoom | ModelStoreBroken | None = None
        try:
            self.discard()
        except (NoRoom, ModelStoreBroken) as stuck:
            refused = stuck
        with named_errors(self._objects):
            # A pointer that can't be read this time must not cost the model that it names: no `current()` here.
            pointers = [self._folder / name for name in ("current.json", "previous.json")]
            read = [_read_small(path) for path in pointers if path.exists()]
            kept = {self._object(ref.digest) for ref in map(_parsed, read)}
            doomed = [one for one in self._objects.iterdir() if one not in kept] if self._objects.exists() else []
        for folder in doomed:
            try:
                with named_errors(folder):
                    _remove(folder)
            except (NoRoom, ModelStoreBroken) as stuck:
                refused = stuck
        if refused is not None:
            raise refused

    # --- names ----------------------------------------------------------------------------------------------

    def _object(self, digest: str) -> Path:
        return self._objects / digest.removeprefix(_PREFIX)

    def _staged(self, ref: ModelRef) -> Path:
        return self._staging / ref.digest.removeprefix(_PREFIX)

    def _read_pointer(self, name: str) -> ModelRef | None:
        path = self._folder / name
        try:
            return ModelRef.model_validate_json(_read_small(path))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as broken:
            self._note(
                ModelStoreBroken(f"{path} can't be used ({broken})", "Another model is taken; check the disk.")
            )
            return None


def _read_small(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_POINTER_BYTES)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _parsed(content: bytes) -> ModelRef:
    try:
        return ModelRef.model_validate_json(content)
    except ValidationError as broken:
        raise ModelStoreBroken(f"a pointer is broken ({broken})", "Nothing is removed; check the disk.") from broken


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return _PREFIX + hashlib.file_digest(file, "sha256").hexdigest()


def _broken(digest: str, reason: str) -> ModelStoreBroken:
    return ModelStoreBroken(
        f"the stored model {digest} is broken ({reason})", "Another one is taken; check the disk."
    )
