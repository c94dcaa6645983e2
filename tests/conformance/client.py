#!/usr/bin/env python3
"""The command line that the public TUF conformance suite drives; see docs/tuf-conformance.md.

It is the device's own client (`agent.adapters.tuf_repository.open_updater` and `TufFetcher`) without what is ours
alone: no floors, no group documents.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

from agent.adapters import tuf_metadata
from agent.adapters.system_clock import SystemClock
from agent.adapters.tuf_fetcher import TufFetcher
from agent.adapters.tuf_repository import open_updater
from agent.update.trust import TrustSettings

PINNED = "trusted_root"
"""The first root, kept beside the metadata; without the ending by which the suite knows metadata."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 where anything failed."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "init":
            init(asked.metadata_dir, asked.trusted_root)
        elif asked.command == "refresh":
            with _updater(asked) as updater:
                updater.refresh()
        else:
            download(asked)
    except (RepositoryError, DownloadError, OSError) as failed:
        print(f"{type(failed).__name__}: {failed}", file=sys.stderr)  # noqa: T201 - what a command line is for
        return 1
    return 0


def init(metadata: Path, trusted_root: Path) -> None:
    """Take the first root on trust; nothing is fetched."""
    metadata.mkdir(parents=True, exist_ok=True)
    for name in (PINNED, "root.json"):
        shutil.copyfile(trusted_root, metadata / name)


def download(asked: argparse.Namespace) -> None:
    """Fetch a target, unless it is there already."""
    with _updater(asked) as updater:
        target = updater.get_targetinfo(asked.target_name)
        if target is None:
            raise RepositoryError(f"there is no target {asked.target_name}")
        if updater.find_cached_target(target) is None:
            updater.download_target(target)


@contextmanager
def _updater(asked: argparse.Namespace) -> Iterator[Updater]:
    fetcher = TufFetcher(TrustSettings(), clock=SystemClock(), wait=time.sleep, spend=lambda _: None)
    try:
        root = (asked.metadata_dir / PINNED).read_bytes()
        targets = None if asked.target_dir is None else (str(asked.target_dir), asked.target_base_url)
        yield open_updater(asked.metadata_dir, asked.metadata_url, root, fetcher, targets)
        tuf_metadata.sync(asked.metadata_dir)
    finally:
        fetcher.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name")
    parser.add_argument("--target-base-url")
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    return parser


if __name__ == "__main__":
    sys.exit(main())
