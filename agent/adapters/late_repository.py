"""The signed repository, opened when it is first asked.

python-tuf and what it brings take 11 MiB, of which 6 stay. A device that no rollout has reached yet should not pay
that. What can be wrong with the root of trust by mistake (it is not there, or is another file) is still said at the
start; whether it is rightly signed is checked before anything is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from agent.errors import ConfigInvalid, MetadataInvalid
from agent.update.ports import Repository
from wire.updates import GroupRelease, ModelRef


class LateRepository:
    """Implements `agent.update.ports.Repository`; for the worker's thread alone."""

    def __init__(self, root_file: Path, open_repository: Callable[[], Repository]) -> None:
        """Look at the root of trust.

        Args:
            root_file: As `trust.root_file`.
            open_repository: Raises ConfigInvalid where it can't be used.

        Raises:
            ConfigInvalid: `root_file` can't be read, or is no root of trust.
        """
        _check_root(root_file)
        self._open = open_repository
        self._opened: Repository | None = None

    def group_release(self, group: str) -> GroupRelease:
        """Refresh the metadata and read the group's document; see the port."""
        return self._repository().group_release(group)

    def fetch(
        self, ref: ModelRef, folder: Path, progress: Callable[[float], None], cancelled: Callable[[], bool]
    ) -> None:
        """Download the release's model and manifest; see the port."""
        self._repository().fetch(ref, folder, progress, cancelled)

    def _repository(self) -> Repository:
        if self._opened is None:
            try:
                self._opened = self._open()
            except ConfigInvalid as broken:
                raise MetadataInvalid(broken.what, broken.mend) from broken
        return self._opened


def _check_root(file: Path) -> None:
    mend = "Put the repository's root.json there (`vedette model keys show-root` prints it)."
    try:
        root = json.loads(file.read_bytes())
    except OSError as refused:
        raise ConfigInvalid(f"root_file: {file} can't be read ({refused.strerror})", mend) from refused
    except (ValueError, RecursionError) as refused:
        raise ConfigInvalid(f"root_file: {file} is no signed root ({refused})", mend) from refused
    signed = root.get("signed") if isinstance(root, dict) else None
    if not isinstance(signed, dict) or signed.get("_type") != "root" or not root.get("signatures"):
        raise ConfigInvalid(f"root_file: {file} is no signed root", mend)
