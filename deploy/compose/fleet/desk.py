"""Gives each replica of the fleet its claim: `python -m deploy.compose.fleet.desk`, beside the service's own data.

It does what an operator does with `vedette device enroll NAME`, for whoever asks. The name is not the asker's to
choose: it is that of the container behind the connection's address. So a replica can't become another, but whoever
may start a container on this network is trusted; a real fleet has an operator instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Final

import uvicorn
from fastapi import FastAPI, Request, Response

from cloud.cli.claims import claims_for
from cloud.config import Settings, load_settings
from cloud.errors import CloudError
from cloud.log import configure
from deploy.compose.fleet.names import NoDevice, Replica, replica_at

log: Final = logging.getLogger(__name__)

PORT: Final = 8090
CLAIM_MINUTES: Final = 10.0
"""It is used within a second; a container that was stopped meanwhile asks again."""


def application(settings: Settings, project: str) -> FastAPI:
    """`POST /claims` answers the device and its claim; `GET /healthz` that it listens."""
    made = FastAPI(title="Vedette's desk", docs_url=None, redoc_url=None, openapi_url=None)
    one_at_a_time = asyncio.Lock()

    @made.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @made.post("/claims")
    async def claims(request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        try:
            replica = await asyncio.to_thread(replica_at, address, project)
            async with one_at_a_time:
                claim = await _claim(settings, replica)
        except NoDevice as nobody:
            return Response(f"{nobody}\n", 403, media_type="text/plain")
        except CloudError as refused:
            log.warning("no claim: %s", refused)
            return Response(f"{refused}\n", 409, media_type="text/plain")
        log.info("claim given out", extra={"device": replica.device})
        return Response(json.dumps({"device": replica.device, "claim": claim}), media_type="application/json")

    return made


async def _claim(settings: Settings, replica: Replica) -> str:
    (claim,) = await claims_for(settings, [replica.device], CLAIM_MINUTES)
    return claim.spell()


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(None, {})
    configure(settings.log_level, settings.log_format)
    serving = application(settings, os.environ["VEDETTE_FLEET_PROJECT"])
    config = uvicorn.Config(
        serving,
        host="0.0.0.0",  # noqa: S104 - it is on networks of the fleet alone
        port=PORT,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
