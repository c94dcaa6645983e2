"""Whether the service lives, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

Check = Callable[[], Awaitable[bool]]


class Health(BaseModel):
    """`parts` says of each whether it works; `counts` is what happened since the start."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    parts: dict[str, bool]
    counts: dict[str, int]


def health_router(checks: Mapping[str, Check], counts: Callable[[], dict[str, int]]) -> APIRouter:
    """`/healthz`: the process answers. `/readyz`: every part works, or 503."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> Health:
        """The process answers."""
        return Health(ok=True, parts={}, counts={})

    @router.get("/readyz", responses={503: {"model": Health}})
    async def readyz(response: Response) -> Health:
        """Every part of it works."""
        parts = {name: await check() for name, check in checks.items()}
        ok = all(parts.values())
        if not ok:
            response.status_code = 503
        return Health(ok=ok, parts=parts, counts=counts())

    return router
