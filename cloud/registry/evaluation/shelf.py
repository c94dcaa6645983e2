"""The evaluation sets that are kept: add, list, show, remove."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from cloud.registry.errors import EvaluationSetExists, EvaluationSetUnknown
from cloud.registry.evaluation.building import Progress, Sources, build
from cloud.registry.evaluation.document import SET_FILE, EvaluationSet, load_set
from cloud.registry.files import alone_in, make_folders, scratch_folder, sync_folder
from cloud.registry.layout import RegistryFolder

DEFAULT_SET: Final = "default"
"""The set that is meant where none is named, and that each imported model is held against."""


class EvaluationSets:
    """The sets in the registry's folder. Every call blocks on the disk."""

    def __init__(self, folder: RegistryFolder) -> None:
        self._folder = folder

    def folder_of(self, name: str) -> Path:
        """Where the set lies.

        Raises:
            EvaluationSetUnknown: There is none of that name.
        """
        folder = self._folder.evaluation_sets / name
        if "/" in name or not (folder / SET_FILE).is_file():
            raise EvaluationSetUnknown(
                f"there is no evaluation set {name!r}",
                "See what there is: vedette model evalset list. Add one: vedette model evalset add NAME",
            )
        return folder

    def get(self, name: str) -> EvaluationSet:
        """One set.

        Raises:
            EvaluationSetUnknown, RegistryBroken: It is not there; its file is damaged.
        """
        return load_set(self.folder_of(name))

    def all(self) -> list[EvaluationSet]:
        """Every set, by name.

        Raises:
            RegistryBroken: A set's file is damaged.
        """
        return [load_set(file.parent) for file in sorted(self._folder.evaluation_sets.glob(f"*/{SET_FILE}"))]

    def add(self, name: str, sources: Sources, progress: Progress) -> EvaluationSet:
        """Take a set in, whole or not at all; the same one again changes nothing.

        Raises:
            EvaluationSetRefused: It is none; its kinds say how.
            EvaluationSetExists: The name is another set's.
            RegistryUnwritable: The disk refused.
        """
        with scratch_folder(self._folder.root) as scratch:
            made = build(name, sources, scratch, progress)
            with alone_in(self._folder.root):
                place = self._folder.evaluation_sets / name
                if (place / SET_FILE).is_file():
                    if load_set(place).digest == made.digest:
                        return made
                    raise EvaluationSetExists(
                        f"the evaluation set {name} has other pictures or labels",
                        f"Choose another name, or first: vedette model evalset remove {name}",
                    )
                if place.exists():  # Half deleted, or half of what a person put there.
                    shutil.rmtree(place)
                make_folders(place.parent)
                scratch.chmod(0o755)
                scratch.rename(place)
                sync_folder(place.parent)
        return made

    def remove(self, name: str) -> None:
        """Delete a set; what models came to on it is shown no more.

        Raises:
            EvaluationSetUnknown: There is none.
            RegistryUnwritable: The disk refused.
        """
        folder = self.folder_of(name)
        with alone_in(self._folder.root):
            # The file by which a set is known goes first: one that is half deleted is none.
            (folder / SET_FILE).unlink(missing_ok=True)
            sync_folder(folder)
            shutil.rmtree(folder)
            sync_folder(folder.parent)
