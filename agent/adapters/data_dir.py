"""The agent's data folder: made where it is missing, and worked in by one agent at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Final

from agent.errors import DataDirInUse, OutboxUnwritable

LOCK: Final = "agent.lock"
SERVICE_LOCK: Final = "serve.lock"
"""By which a service's folder is known."""


def made(folder: Path) -> Path:
    """The folder, there.

    Raises:
        DataDirInUse: It is a service's.
        OutboxUnwritable: It can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise OutboxUnwritable(
            f"data_dir {folder} can't be made: {refused}", "Name a folder that the agent may write to."
        ) from None
    if (folder / SERVICE_LOCK).exists():
        raise DataDirInUse(
            f"data_dir {folder} is the service's",
            "Give the agent a folder of its own; VEDETTE_DATA_DIR, where it is set, goes before its file.",
        )
    return folder


def held(folder: Path) -> IO[str]:
    """Keep every other agent out for as long as the returned file is open; the kernel lets go however we end.

    Two agents in one folder would give two alerts the same sequence number.

    Raises:
        DataDirInUse: Another agent is in.
        OutboxUnwritable: The folder can't be written.
    """
    try:
        lock = (folder / LOCK).open("w", encoding="utf-8")
    except OSError as refused:
        raise OutboxUnwritable(
            f"data_dir {folder} can't be written: {refused}", "Give it to the user that runs the agent."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DataDirInUse(
            f"another agent works in {folder}", "Stop it, or give each agent a data_dir of its own."
        ) from None
    return lock
