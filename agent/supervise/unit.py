"""The unit file that the project ships, fitted to where it is installed; pure."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterable
from pathlib import PurePath
from typing import Final, NamedTuple

from agent.errors import ServiceRefused

UNIT: Final = "vedette-agent.service"
MARK: Final = "# Written by `vedette-agent install-service`, which writes it anew; own settings belong in drop-ins.\n"
PROGRAM: Final = "/usr/bin/vedette-agent"
CONFIG_FOLDER: Final = "/etc/vedette"
CONFIG: Final = f"{CONFIG_FOLDER}/agent.toml"
DEVICES: Final = ("v4l2", "edgetpu", "gpu")
"""The drop-ins that are shipped."""
WHOSE: Final = "DynamicUser=yes\nUser=vedette-agent\n"
HOMES_HIDDEN: Final = "ProtectHome=yes\n"
HOMES: Final = ("/home", "/root", "/run/user")
_PLAIN: Final = re.compile(r"/[\w./+@:-]*")
"""What needs no quoting in a unit file, where a space, `%` and `$` mean something."""


class Entry(NamedTuple):
    """What a folder's inode says of who may enter it."""

    path: str
    mode: int
    uid: int
    gid: int


def fitted(unit: str, *, program: PurePath, config: PurePath, user: str | None, reads: Iterable[PurePath]) -> str:
    """The shipped unit for a program and a configuration elsewhere.

    Args:
        unit: As shipped.
        program: The agent's command.
        config: Its TOML file, in a folder that holds `token` as well.
        user: Who runs it; None for a user that systemd makes for the time it runs.
        reads: Folders that the program is made of; where one is in a home, homes are shown to it, read-only.

    Raises:
        ServiceRefused: A path can't be written in a unit.
    """
    for path in (program, config):
        if not _PLAIN.fullmatch(str(path)):
            raise ServiceRefused(
                f"{path} can't be named in a unit", "Use an absolute path of letters, digits and . _ + @ : - only."
            )
    in_homes = any(PurePath(folder).is_relative_to(home) for folder in reads for home in HOMES)
    changes = {
        PROGRAM: str(program),
        CONFIG: str(config),
        f"{CONFIG_FOLDER}/token": str(config.parent / "token"),
        f"WorkingDirectory={CONFIG_FOLDER}\n": f"WorkingDirectory={config.parent}\n",
        WHOSE: WHOSE if user is None else f"User={user}\n",
        HOMES_HIDDEN: "ProtectHome=read-only\n" if in_homes else HOMES_HIDDEN,
    }
    for old, new in changes.items():
        unit = unit.replace(old, new)
    return MARK + unit


def closed_at(entries: Iterable[Entry], *, uid: int | None, gids: Collection[int]) -> str | None:
    """The first of these folders that the user may not enter; None where it may enter all.

    Args:
        entries: From the root down.
        uid: None for a user who owns nothing yet.
        gids: The groups it is in.
    """
    for entry in entries:
        if uid == 0:
            continue
        bit = stat.S_IXUSR if entry.uid == uid else stat.S_IXGRP if entry.gid in gids else stat.S_IXOTH
        if not entry.mode & bit:
            return entry.path
    return None
