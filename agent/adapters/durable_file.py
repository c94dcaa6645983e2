"""Replacing a file so that a power cut leaves the old one or the new one, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import ModelStoreBroken, NoRoom

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what the system refuses into our errors.

    Raises:
        NoRoom: The disk is full.
        ModelStoreBroken: Anything else.
    """
    try:
        yield
    except OSError as refused:
        if refused.errno in _FULL:
            raise NoRoom(f"{path} can't be written: the disk is full", "Free some space.") from refused
        raise ModelStoreBroken(
            f"{path} can't be read or written ({refused.strerror or refused})", "Look after the disk or card."
        ) from refused


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: temporary, fsync, rename, fsync of the folder.

    Raises:
        OSError: What was there before is still there; or the new one, where only the last step failed.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Let a file or folder survive a power cut.

    Raises:
        OSError: It might not.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
