"""Enrolment and renewal: what a device calls to get its certificate.

`GET /v1/authority` answers the authority's certificate, which a device believes only by the digest in its claim.
`POST /v1/enrolments` takes an `Enrolment`, `POST /v1/certificates` a `Renewal`; both answer `Certified`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

from cryptography import x509
from fastapi import APIRouter, Request, Response

from cloud.identity.authority import pem_of
from cloud.identity.service import Identities
from cloud.offload.rate import RateLimit
from cloud.ports import Clock
from cloud.web.admission import DoorSettings
from cloud.web.bodies import small_body
from cloud.web.device_door import STATE
from cloud.web.refusals import DeviceMismatch, RefusingRoute, TokenRefused, TooManyRequests
from wire import codec
from wire.identity import AUTHORITY_PATH, CERTIFICATES_PATH, ENROLMENTS_PATH, Certified, Enrolment, Renewal

_RENEWALS_PER_S: Final = 1 / 60
_RENEWALS_AT_ONCE: Final = 10
_BODY_WITHIN_S: Final = 10.0


def enrolments_router(
    *,
    identities: Identities,
    clock: Clock,
    settings: DoorSettings,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> APIRouter:
    """The routes."""
    router = APIRouter(route_class=RefusingRoute, tags=["identity"])
    strangers = RateLimit(per_s=settings.enrolments_per_s, burst=settings.enrolments_at_once)
    renewals = RateLimit(per_s=_RENEWALS_PER_S, burst=_RENEWALS_AT_ONCE)

    def certified(device: str, certificate: x509.Certificate) -> Response:
        answer = Certified(
            message_id=new_id(),
            device=device,
            made_at=clock.wall(),
            certificate=pem_of(certificate),
            authorities=identities.authorities_pem,
        )
        return Response(codec.encode(answer), media_type="application/json")

    @router.get(AUTHORITY_PATH, response_class=Response)
    async def authority() -> Response:
        """The authority's certificate, in PEM."""
        return Response(identities.authority_pem, media_type="application/x-pem-file")

    @router.post(ENROLMENTS_PATH, response_class=Response)
    async def enrol(request: Request) -> Response:
        """A first certificate, for a claim and a signing request."""
        if (wait_s := strangers.wait_s("strangers", clock.monotonic())) > 0:
            raise TooManyRequests(wait_s, "more devices enrol at once than may")
        body = await small_body(request, Enrolment.MAX_BYTES, _BODY_WITHIN_S)
        asked = codec.decode(Enrolment, body)
        return certified(asked.device, await identities.redeem(asked.device, asked.secret, asked.request))

    @router.post(CERTIFICATES_PATH, response_class=Response)
    async def renew(request: Request) -> Response:
        """The next certificate, for who shows a good one."""
        device = getattr(request.state, STATE, None)
        if device is None:
            raise TokenRefused("certificates are renewed under a certificate", "Use the devices' TLS door.")
        if (wait_s := renewals.wait_s(device, clock.monotonic())) > 0:
            raise TooManyRequests(wait_s)
        asked = codec.decode(Renewal, await small_body(request, Renewal.MAX_BYTES, _BODY_WITHIN_S))
        if asked.device != device:
            raise DeviceMismatch(
                f"the certificate is {device}'s, the request {asked.device}'s", "Use the device's own."
            )
        return certified(device, await identities.renew(device, asked.request))

    return router
