"""Taking devices in, turning them away, and telling whose token it is."""

from __future__ import annotations

from collections.abc import Sequence

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
        return (await self.enroll_all([device]))[device]

    async def enroll_all(self, devices: Sequence[str]) -> dict[str, str]:
        """Take devices in, all of them or none; the token of each, never to be had again.

        Raises:
            NotOurs: One is no device id.
            DeviceExists: One is enrolled already.
        """
        for device in devices:
            topic(device, Channel.STATUS)
        tokens = {device: new_token() for device in devices}
        await self._devices.add_all({device: digest(token) for device, token in tokens.items()}, self._clock.wall())
        return tokens

    async def revoke(self, device: str) -> None:
        """Turn the device away from now on.

        Raises:
            DeviceUnknown: It never was enrolled.
        """
        await self._devices.revoke(device, self._clock.wall())

    async def device_of(self, token: str) -> str | None:
        """The device whose token this is; None if nobody's, or revoked."""
        return await self._devices.holder(digest(token))
