"""Taking devices in, turning them away, and telling whose token it is."""

from __future__ import annotations

from cloud.fleet.tokens import digest, new_token
from cloud.ports import Clock
from cloud.store.devices import DeviceStore
from wire.topics import Channel, topic


class Enrolment:
    """The one place where tokens are made and checked."""

    def __init__(self, devices: DeviceStore, clock: Clock) -> None:
        self._devices = devices
        self._clock = clock

    async def enroll(self, device: str) -> str:
        """Take the device in; its token, which is never to be had again.

        Raises:
            NotOurs: `device` is no device id.
            DeviceExists: It is enrolled already.
        """
        topic(device, Channel.STATUS)
        token = new_token()
        await self._devices.add(device, digest(token), self._clock.wall())
        return token

    async def revoke(self, device: str) -> None:
        """Turn the device away from now on.

        Raises:
            DeviceUnknown: It never was enrolled.
        """
        await self._devices.revoke(device, self._clock.wall())

    async def device_of(self, token: str) -> str | None:
        """The device whose token this is; None if nobody's, or revoked."""
        return await self._devices.holder(digest(token))
