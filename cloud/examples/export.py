"""Writing a data set: pictures first, each whole or not at all, then the labels in one step.

Whatever stops it, the same command goes on: pictures that are there already are not written again, and labels that
were there before stay as they were until the new ones are complete.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cloud.errors import BlobMissing, ExportFailed
from cloud.examples.coco import Example, Reason, document
from vision.errors import PictureUnreadable
from vision.pictures import jpeg_size

LABELS: Final = "annotations.json"
IMAGES: Final = "images"
OURS: Final = frozenset({LABELS, IMAGES})

Progress = Callable[[int, int | None], None]
"""Pictures done, and how many there are."""


class Pictures(Protocol):
    """Bytes by key."""

    async def get(self, key: str) -> bytes:
        """The picture.

        Raises:
            BlobMissing: There is none.
            VedetteError: It can't be read.
        """


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of it.

    Attributes:
        images: In the labels.
        written: Of them, those that were not there yet.
        annotations: Crowds not counted.
        missing: Pictures that the store does not have any more, or that are none; one that an earlier export wrote
            stays in.
    """

    folder: Path
    images: int
    written: int
    annotations: int
    crowds: int
    missing: int
    reasons: dict[str, int]


async def export(
    examples: Sequence[Example], pictures: Pictures, folder: Path, version: str, progress: Progress
) -> Exported:
    """Write the data set into `folder`, which is made, or holds an earlier export.

    Raises:
        ExportFailed: The folder holds something else, or the disk refused.
        VedetteError: The store can't be read.
    """
    await asyncio.to_thread(_made, folder)
    sizes: dict[str, tuple[int, int]] = {}
    kept: list[Example] = []
    written = 0
    for done, example in enumerate(examples, 1):
        file = folder / example.name
        try:
            there = await asyncio.to_thread(_there, file)
            data = await _kept(pictures, example) if there is None else there
            sizes[example.name] = jpeg_size(data)
        except (BlobMissing, PictureUnreadable):
            progress(done, len(examples))
            continue
        if there is None:
            await asyncio.to_thread(_put, file, data)
            written += 1
        kept.append(example)
        progress(done, len(examples))
    labels = document(kept, sizes, version)
    text = json.dumps(labels, indent=1, ensure_ascii=False) + "\n"
    await asyncio.to_thread(_put, folder / LABELS, text.encode())
    crowds = sum(one["iscrowd"] for one in labels["annotations"])
    return Exported(
        folder=folder,
        images=len(kept),
        written=written,
        annotations=len(labels["annotations"]) - crowds,
        crowds=crowds,
        missing=len(examples) - len(kept),
        reasons={str(reason): sum(one.reason is reason for one in kept) for reason in Reason},
    )


async def _kept(pictures: Pictures, example: Example) -> bytes:
    if not example.key:
        raise BlobMissing(f"{example.name} was deleted since, as it was old")
    return await pictures.get(example.key)


def _made(folder: Path) -> None:
    try:
        if folder.is_dir():
            foreign = sorted(one.name for one in folder.iterdir() if one.name not in OURS and one.suffix != ".part")
            if foreign:
                raise ExportFailed(
                    f"{folder} holds {foreign[0]}, which is no part of an export", "Name a new or empty folder."
                )
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise _refused(folder, refused) from refused


def _there(file: Path) -> bytes | None:
    """What an earlier run wrote; files come into place whole."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as refused:
        raise _refused(file, refused) from refused


def _put(file: Path, data: bytes) -> None:
    temporary = file.with_name(f"{file.name}.part")
    try:
        with temporary.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
    except OSError as refused:
        raise _refused(file, refused) from refused


def _refused(path: Path, reason: OSError) -> ExportFailed:
    return ExportFailed(
        f"{path} can't be written: {reason.strerror or reason}",
        "Look at the disk's space and rights, then run it again: it goes on where it stopped.",
    )
