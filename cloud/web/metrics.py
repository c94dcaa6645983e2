"""What Prometheus reads: `GET /metrics`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Response

METRICS_PATH: Final = "/metrics"
# Prometheus' text format; the version is a part of the name (its documentation, "Exposition formats").
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def metrics_router(text: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """The route; it is no part of the OpenAPI document, since its format has a specification of its own."""
    router = APIRouter()

    @router.get(METRICS_PATH, include_in_schema=False)
    async def metrics() -> Response:
        """The figures now."""
        return Response(await text(), media_type=_CONTENT_TYPE)

    return router
