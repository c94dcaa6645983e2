"""Whom a device's request is from, and whether it may ask now."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from cloud.offload.ports import TokenCheck
from cloud.offload.rate import RateLimit
from cloud.ports import Clock
from cloud.web.device_door import STATE
from cloud.web.refusals import TokenRefused, TooManyRequests

_BEARER: Final = re.compile(r"^[Bb]earer +([\x21-\x7e]{1,512})$")


class DoorSettings(BaseModel):
    """What a device may ask of the HTTP door.

    Attributes:
        requests_per_s: Of one device, in the long run.
        burst: Of one device, at once.
        body_timeout_s: How long a body may take to arrive.
        clip_timeout_s: How long a clip may take, which is some megabytes over what may be a slow link.
        enrolments_per_s: Of all that have a claim and no certificate yet, in the long run. A claim can't be guessed;
            this keeps a stranger from having signatures checked all day.
        enrolments_at_once: Of the same, at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    requests_per_s: Annotated[float, Field(gt=0)] = 5.0
    burst: Annotated[int, Field(ge=1)] = 30
    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    clip_timeout_s: Annotated[float, Field(gt=0)] = 720.0
    enrolments_per_s: Annotated[float, Field(gt=0)] = 2.0
    enrolments_at_once: Annotated[int, Field(ge=1)] = 20


class Admission:
    """Of the devices that call one router's routes, each at its own pace."""

    def __init__(self, tokens: TokenCheck, settings: DoorSettings, clock: Clock) -> None:
        self._tokens = tokens
        self._rate = RateLimit(per_s=settings.requests_per_s, burst=settings.burst)
        self._clock = clock

    async def device(self, request: Request) -> str:
        """The one that makes the request, before anything of its body is read.

        Raises:
            TokenRefused: Nobody known.
            TooManyRequests: It asks more often than it may.
        """
        device = await _speaker(request, self._tokens)
        wait_s = self._rate.wait_s(device, self._clock.monotonic())
        if wait_s > 0:
            raise TooManyRequests(wait_s)
        return device


async def _speaker(request: Request, tokens: TokenCheck) -> str:
    """The one that the TLS door let in, else the one whose token it carries."""
    certified: str | None = getattr(request.state, STATE, None)
    device = certified or await tokens.device_of(bearer_token(request))
    if device is None:
        raise TokenRefused("the token is not that of a device known here", "Enrol the device, or renew its token.")
    return device


def bearer_token(request: Request) -> str:
    """The token that the request carries.

    Raises:
        TokenRefused: None.
    """
    found = _BEARER.match(request.headers.get("authorization", ""))
    if found is None:
        raise TokenRefused("the request carries no bearer token", "Send `Authorization: Bearer <token>`.")
    return found[1]
