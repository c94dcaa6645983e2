"""What a command left with the service, as a file for the person who asked."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from cloud.adapters.data_dir import DataDir
from cloud.errors import SettingsInvalid
from cloud.store.blobs import LocalBlobs
from cloud.store.commands import CommandRecord, snapshot_key
from cloud.web.clips import read_clip
from wire.commands import CLIP_TYPES, CommandName, Outcome


def demand_place(out: Path, *, several: bool) -> None:
    """Say now what would only be known once devices have filmed and sent something; see `save`.

    Raises:
        SettingsInvalid: Nothing can be written there.
    """
    folder = (out if several else out.parent).absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if out.is_dir() and not several:
        why = "it is a folder"
    elif not there.is_dir():
        why = f"{there} is no folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} is not for this user to write in"
    else:
        return
    raise SettingsInvalid(f"{out} can't be written: {why}", "Name another place with --out.")


async def save(data: DataDir, records: Sequence[CommandRecord], out: Path) -> list[str]:
    """Write what the devices sent to `out`; what was written, in words.

    Of several devices `out` is a folder, and each file is named after its device.

    Raises:
        SettingsInvalid: A file can't be written.
        BlobMissing, BlobFailed: The service's copy can't be read.
    """
    blobs = LocalBlobs(data.blobs)
    said = []
    for record in records:
        if record.outcome is not Outcome.OK:
            continue
        ending, content = await KEPT[record.name](blobs, record)
        file = out if len(records) == 1 else out / f"{record.device}.{ending}"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except OSError as refused_:
            raise SettingsInvalid(f"{file} can't be written: {refused_}", "Name another place with --out.") from None
        if file.suffix != f".{ending}":
            said.append(f"{file} holds {ending}: give it that ending to open it by a click.")
        said.append(f"{file}: {len(content)} bytes")
    return said


async def _picture(blobs: LocalBlobs, record: CommandRecord) -> tuple[str, bytes]:
    return "jpg", await blobs.get(snapshot_key(record))


async def _clip(blobs: LocalBlobs, record: CommandRecord) -> tuple[str, bytes]:
    media_type, content = await read_clip(blobs, record)
    return CLIP_TYPES[media_type], content


KEPT: Final[dict[str, Callable[[LocalBlobs, CommandRecord], Awaitable[tuple[str, bytes]]]]] = {
    CommandName.SNAPSHOT: _picture,
    CommandName.CAPTURE_CLIP: _clip,
}
"""Commands that leave a file with the service."""
