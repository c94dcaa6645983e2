"""Pictures as files below one folder, on the disk before anyone is told that they are kept."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from cloud.errors import BlobFailed, BlobMissing

# Keys become paths: plain segments only, none of which can be `..` or hidden.
_KEY: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,7}$")
_MAX_KEY: Final = 200


class LocalBlobs:
    """Bytes by key below `folder`.

    The store is called in threads of ours. Its own still hold objects of Python's for a moment after an answer, and
    where the program has ended by then, as a command does, they abort it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = LocalStore(prefix=str(folder), mkdir=True)

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` durably; what was there under `key` is replaced.

        Raises:
            BlobFailed: The key is malformed, or the disk refused.
        """
        _check(key)
        try:
            await asyncio.to_thread(self._put, key, data)
        except (BaseError, OSError) as error:
            raise BlobFailed(
                f"picture {key} can't be kept: {_first_line(error)}", "Look at the disk's space."
            ) from error

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """As `put`, of bytes that are still coming; where they end in an error, nothing is kept.

        Raises:
            BlobFailed: As `put`; and whatever `pieces` raises.
        """
        _check(key)
        try:
            await self._store.put_async(key, pieces)
            await asyncio.to_thread(_to_disk, self._folder, self._folder / key)
        except (BaseError, OSError) as error:
            raise BlobFailed(f"{key} can't be kept: {_first_line(error)}", "Look at the disk's space.") from error

    async def get(self, key: str) -> bytes:
        """What `put` kept.

        Raises:
            BlobMissing: There is nothing under `key`.
            BlobFailed: The key is malformed, or the disk refused.
        """
        _check(key)
        try:
            return await asyncio.to_thread(self._get, key)
        except FileNotFoundError:
            raise BlobMissing(f"there is no picture {key}") from None
        except (BaseError, OSError) as error:
            raise BlobFailed(f"picture {key} can't be read: {_first_line(error)}", "Look at the disk.") from error

    async def delete(self, keys: Iterable[str]) -> dict[str, BlobFailed]:
        """Delete what is kept under `keys`; what is missing is deleted already.

        Returns:
            Those that are still there, with why: the disk refused, or the key is malformed.
        """
        refused: dict[str, BlobFailed] = {}
        for key in keys:
            try:
                _check(key)
                await asyncio.to_thread(self._store.delete, key)
            except FileNotFoundError:
                continue
            except BlobFailed as malformed:
                refused[key] = malformed
            except (BaseError, OSError) as error:
                refused[key] = BlobFailed(f"{key} can't be deleted: {_first_line(error)}", "Look at the disk.")
        return refused

    def _put(self, key: str, data: bytes) -> None:
        self._store.put(key, data)
        _to_disk(self._folder, self._folder / key)

    def _get(self, key: str) -> bytes:
        return bytes(self._store.get(key).bytes())


def _check(key: str) -> None:
    if len(key) > _MAX_KEY or not _KEY.match(key):
        raise BlobFailed(f"{key[:_MAX_KEY]!r} is not a key for a picture")


def _to_disk(root: Path, file: Path) -> None:
    """The file's bytes, and every folder entry on the way to it: the store writes and renames, but does not wait."""
    for path in (file, *file.parents):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path == root:
            return


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
