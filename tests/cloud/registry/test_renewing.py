"""Metadata is signed anew long before it expires, and a failure to do so is seen."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import ExpiredMetadataError

from cloud.registry.ceremony import create
from cloud.registry.keys import KeyFolder
from cloud.registry.metadata import View
from cloud.registry.renewing import LOOK_EVERY_S, Renewing
from cloud.registry.service import Registry
from tests.cloud.registry.samples import Device, Shop, served
from tests.cloud.samples import BOUND_S, ManualClock

DAY_S = 86_400.0


def test_expired_timestamp_stops_a_device_until_it_is_renewed(shop: Shop, tmp_path: Path) -> None:
    real = shop.clock.now
    shop.clock.now = real - timedelta(days=3)
    registry = Registry(tmp_path / "old" / "registry", shop.clock)
    root = create(registry.folder, KeyFolder(tmp_path / "old" / "keys"), shop.clock.wall())
    with served(registry.folder) as url:
        device = Device(tmp_path / "device", url, root)
        with pytest.raises(ExpiredMetadataError):
            device.updater().refresh()
        shop.clock.now = real
        assert registry.renew().renewed == ("timestamp",)
        device.updater().refresh()


def test_each_role_is_renewed_when_half_its_life_is_over(shop: Shop) -> None:
    shop.registry.set_group("default", [shop.release()])
    assert shop.registry.renew().renewed == ()
    shop.clock.turn(0.4 * DAY_S)
    assert shop.registry.renew().renewed == ()
    shop.clock.turn(0.2 * DAY_S)
    assert shop.registry.renew().renewed == ("timestamp",)
    shop.clock.turn(3 * DAY_S)
    assert shop.registry.renew().renewed == ("snapshot", "timestamp")
    shop.clock.turn(12 * DAY_S)
    assert shop.registry.renew().renewed == ("group-default", "snapshot", "timestamp")
    assert shop.registry.group("default").sequence == 1  # type: ignore[union-attr]
    assert View(shop.folder).timestamp.signed.expires > shop.clock.wall() + timedelta(hours=23)


def test_offline_roles_that_expire_soon_are_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    assert shop.registry.renew().expiring == {}
    shop.clock.turn(340 * DAY_S)
    expiring = shop.registry.renew().expiring
    assert {"root", "targets", "releases", "releases-00", "releases-7f"} <= set(expiring)
    with caplog.at_level(logging.WARNING):
        asyncio.run(Renewing(shop.registry, shop.clock).renew())
    assert "offline roles expire soon" in caplog.text


def test_old_versions_are_cleared_away_but_never_a_root(shop: Shop) -> None:
    shop.registry.set_group("default", [shop.release()])
    before = {file.name for file in shop.folder.metadata.iterdir()}
    shop.clock.turn(8 * DAY_S)
    shop.registry.renew()
    after = {file.name for file in shop.folder.metadata.iterdir()}
    assert "1.snapshot.json" in before - after
    assert "1.root.json" in after
    assert shop.registry.releases()[0].published


async def test_failure_is_logged_seen_and_mended(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    renewing = Renewing(shop.registry, shop.clock)
    running = asyncio.create_task(renewing.run())
    await asyncio.wait_for(shop.clock.asleep.wait(), BOUND_S)
    assert await renewing.working()
    (key,) = shop.folder.keys.glob("timestamp.*")
    hidden = key.rename(key.with_suffix(".hidden"))
    shop.clock.turn(DAY_S)
    await asyncio.wait_for(shop.clock.asleep.wait(), BOUND_S)
    assert not await renewing.working()
    assert "could not be renewed" in caplog.text
    hidden.rename(key)
    shop.clock.turn(LOOK_EVERY_S)
    await asyncio.wait_for(shop.clock.asleep.wait(), BOUND_S)
    assert await renewing.working()
    assert View(shop.folder).timestamp.signed.expires > shop.clock.wall()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_without_a_repository_there_is_nothing_to_do(tmp_path: Path) -> None:
    clock = ManualClock()
    renewing = Renewing(Registry(tmp_path / "registry", clock), clock)
    await renewing.renew()
    assert await renewing.working()
    assert not (tmp_path / "registry").exists()
