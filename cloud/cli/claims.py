"""An operator's claim for a device, made beside the running service."""

from __future__ import annotations

from datetime import timedelta

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli.snippet import device_addresses
from cloud.config import Settings
from cloud.doors import open_authority, open_identities
from cloud.errors import DeviceExists
from cloud.fleet.enrolment import Enrolment
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from wire.identity import Claim


async def claim_for(settings: Settings, name: str, minutes: float | None) -> Claim:
    """Take the device in where it is new, and make its claim; what it had before ends once that is used.

    Args:
        settings: Of the service, whose data directory is worked in.
        name: The device's id.
        minutes: How long the claim can be used; None for as long as the settings say.

    Raises:
        NotOurs: It is no device id.
        DeviceExists: The device is revoked.
        ClaimRefused: An external authority gives out the certificates.
        StoreError: The database refused.
    """
    clock, data = SystemClock(), DataDir(settings.data_dir)
    data.make()
    async with open_database(data.database_url) as database:
        store = DeviceStore(database)
        if not await store.some([name]):
            await Enrolment(store, clock).enroll(name)
        elif (await store.find(name)).revoked_at is not None:
            raise DeviceExists(f"{name} is revoked", "Enrol the device under another name.")
        identities = open_identities(settings, open_authority(settings, data, clock), database, clock)
        http, mqtt = device_addresses(settings, data.announced_addresses())
        life = None if minutes is None else timedelta(minutes=minutes)
        return await identities.claim(name, http=http, mqtt=mqtt, life=life)
