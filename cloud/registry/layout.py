"""What lies where in the registry's folder, and what its roles are called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from tuf.api.metadata import TargetFile

BIN_BITS: Final = 7
"""128 bins for releases: see docs/adr/0020-signed-repository.md for the sum behind it."""
RELEASES: Final = "releases"
MODEL_PATHS: Final = "models/*/*/*"
DEFAULT_GROUP: Final = "default"
ROOT_KEYS: Final = 3
ROOT_THRESHOLD: Final = 2

_DAY: Final = timedelta(days=1)
_GROUP_PREFIX: Final = "group-"


def group_role(group: str) -> str:
    """The role that signs the group's document."""
    return _GROUP_PREFIX + group


def group_of(role: str) -> str | None:
    """The group that the role signs for; None if it is no group's."""
    return role.removeprefix(_GROUP_PREFIX) if role.startswith(_GROUP_PREFIX) else None


def lifetime(role: str) -> timedelta:
    """How long the role's metadata holds once it is signed."""
    if role == "timestamp":
        return _DAY
    if role == "snapshot":
        return 7 * _DAY
    return 30 * _DAY if group_of(role) is not None else 365 * _DAY


@dataclass(frozen=True, slots=True)
class RegistryFolder:
    """The registry's folder, or a bundle of it for the machine with the offline keys."""

    root: Path

    @property
    def repository(self) -> Path:
        """What devices are served."""
        return self.root / "repository"

    @property
    def metadata(self) -> Path:
        """The signed metadata; file names as in the TUF specification."""
        return self.repository / "metadata"

    @property
    def targets(self) -> Path:
        """The signed files, each name led by its digest."""
        return self.repository / "targets"

    def target(self, entry: TargetFile) -> Path:
        """The signed file that a list names."""
        folder, _, name = entry.path.rpartition("/")
        return self.targets / folder / f"{entry.hashes['sha256']}.{name}"

    @property
    def keys(self) -> Path:
        """The online keys; never in a bundle."""
        return self.root / "keys"

    @property
    def evaluation_sets(self) -> Path:
        """The labelled pictures that models are held against, a folder for each set."""
        return self.root / "evaluation" / "sets"

    def evaluations(self, name: str, version: str) -> Path:
        """What the release came to on each evaluation set."""
        return self.root / "evaluation" / "results" / name / version

    def staged(self, name: str, version: str) -> Path:
        """The release's `model.tflite` and `manifest.json` before it is published."""
        return self.root / "staged" / name / version

    def signed(self, name: str, version: str) -> Path:
        """The release's signed metadata before it is published."""
        return self.root / "signed" / name / version
