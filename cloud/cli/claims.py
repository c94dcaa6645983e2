"""Devices that are taken in with certificates: an operator's claims for them, made beside the running service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli.service import database_of
from cloud.cli.snippet import device_addresses
from cloud.config import Settings
from cloud.doors import open_authority, open_identities
from cloud.errors import DeviceExists
from cloud.fleet.enrolment import Enrolment
from cloud.ports import Clock
from cloud.store.devices import DeviceStore
from wire.identity import Claim


async def claims_for(settings: Settings, names: Sequence[str], minutes: float | None) -> list[Claim]:
    """Take in devices that are new, and make a claim for each; what they had before ends once that is used.

    Args:
        settings: Of the service, whose data directory is worked in.
        names: The devices' ids.
        minutes: How long the claims can be used; None for as long as the settings say.

    Raises:
        NotOurs: One is no device id.
        DeviceExists: One is revoked.
        ClaimRefused: An external authority gives out the certificates.
        StoreError: The database refused.
    """
    clock, data = SystemClock(), DataDir(settings.data_dir)
    async with database_of(settings) as database:
        await _take_in(DeviceStore(database), clock, names)
        identities = open_identities(settings, open_authority(settings, data, clock), database, clock)
        http, mqtt = device_addresses(settings, data.announced_addresses())
        life = None if minutes is None else timedelta(minutes=minutes)
        return [await identities.claim(name, http=http, mqtt=mqtt, life=life) for name in names]


async def taken_in(settings: Settings, names: Sequence[str]) -> None:
    """Take in devices that are new, and that an external authority certifies.

    Raises:
        NotOurs: One is no device id.
        DeviceExists: One is revoked.
        StoreError: The database refused.
    """
    async with database_of(settings) as database:
        await _take_in(DeviceStore(database), SystemClock(), names)


async def _take_in(store: DeviceStore, clock: Clock, names: Sequence[str]) -> None:
    known = {device.id: device for device in await store.some(names)}
    revoked = [name for name in names if name in known and known[name].revoked_at is not None]
    if revoked:
        raise DeviceExists(f"{revoked[0]} is revoked", "Enrol the device under another name.")
    await Enrolment(store, clock).enroll_all([name for name in names if name not in known])
