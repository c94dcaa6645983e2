"""The signed repository, as devices fetch it: `GET /v1/repository/metadata/…` and `GET /v1/repository/targets/…`.

Everything is signed, so nobody has to say who they are. Ranges are understood: a download that was cut off goes on.
Only `timestamp.json` changes under its name; all else carries a version or a digest in its name.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

from cloud.errors import NotFound
from wire.messages import Refusal

METADATA_PATH: Final = "/v1/repository/metadata"
TARGETS_PATH: Final = "/v1/repository/targets"

_METADATA_NAME: Final = re.compile(r"timestamp\.json|[1-9][0-9]{0,9}\.[a-z0-9][a-z0-9-]{0,63}\.json")
# Plain segments, none of which can be `..` or hidden; the last one begins with its digest.
_TARGET_PATH: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]{0,63}/){1,4}[0-9a-f]{64}\.[a-z]+\.[a-z]+")
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_ANEW: Final = {"Cache-Control": "no-cache"}


def repository_router(repository: Path) -> APIRouter:
    """The routes, over the folder that holds `metadata` and `targets`."""
    router = APIRouter(tags=["repository"], responses={404: {"model": Refusal}})

    @router.get(METADATA_PATH + "/{name}", response_class=FileResponse)
    async def metadata(name: str) -> FileResponse:
        """Signed metadata, named as in the TUF specification."""
        file = await _file(repository / "metadata", name, _METADATA_NAME)
        headers = _ANEW if name == "timestamp.json" else _FOR_EVER
        return FileResponse(file, media_type="application/json", headers=headers)

    @router.get(TARGETS_PATH + "/{path:path}", response_class=FileResponse)
    async def target(path: str) -> FileResponse:
        """A signed file, its name led by its digest."""
        file = await _file(repository / "targets", path, _TARGET_PATH)
        return FileResponse(file, media_type="application/octet-stream", headers=_FOR_EVER)

    return router


async def _file(folder: Path, name: str, pattern: re.Pattern[str]) -> Path:
    file = folder / name if pattern.fullmatch(name) else None
    if file is None or not await asyncio.to_thread(file.is_file):
        raise NotFound(f"the repository holds no {name[:200]}")
    return file
