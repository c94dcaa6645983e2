"""Keys: two of three for root, and replacing each while devices that pinned the first root go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from cloud.registry.ceremony import add_group, create, renew, rotate
from cloud.registry.errors import KeyMissing, KeyUnusable, RegistryUnwritable
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import RegistryFolder
from cloud.registry.metadata import View
from tests.cloud.registry.samples import Device, Shop
from tests.cloud.samples import ManualClock

pytestmark = pytest.mark.parts

MODEL = "models/tiny/1/model.tflite"


def test_first_root_takes_two_of_three(shop: Shop) -> None:
    root: Metadata[Root] = Metadata.from_bytes(shop.root)
    role = root.signed.roles["root"]
    assert (len(role.keyids), role.threshold, len(root.signatures)) == (3, 2, 2)
    assert {name: each.threshold for name, each in root.signed.roles.items() if name != "root"} == {
        "targets": 1,
        "snapshot": 1,
        "timestamp": 1,
    }


def test_ceremony_that_came_to_nothing_leaves_no_keys_and_can_be_held_again(tmp_path: Path) -> None:
    folder, offline, now = RegistryFolder(tmp_path / "registry"), KeyFolder(tmp_path / "stick"), ManualClock().wall()
    folder.root.mkdir()
    offline.folder.mkdir()
    folder.keys.symlink_to(tmp_path / "unmounted" / "keys")
    with pytest.raises(RegistryUnwritable):
        create(folder, offline, now)
    assert list(offline.folder.iterdir()) == []
    folder.keys.unlink()
    assert create(folder, offline, now) == (offline.folder / "root.json").read_bytes()


@pytest.mark.parametrize("lost", ["root-1", "root-2", "root-3"])
def test_one_root_key_may_be_lost(shop: Shop, device: Device, lost: str) -> None:
    for file in shop.keys.folder.glob(f"{lost}.*"):
        file.unlink()
    renew(shop.folder, [shop.keys], shop.clock.wall())
    device.updater().refresh()
    assert View(shop.folder).root.signed.version == 2


def test_one_root_key_alone_is_not_enough(shop: Shop) -> None:
    for number in (1, 3):
        next(shop.keys.folder.glob(f"root-{number}.*")).unlink()
    with pytest.raises(KeyMissing, match="takes 2 of its 3 keys, and 1"):
        renew(shop.folder, [shop.keys], shop.clock.wall())
    assert View(shop.folder).root.signed.version == 1


def test_root_keys_may_lie_apart(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "stick"
    other.mkdir()
    for number in (2, 3):
        file = next(shop.keys.folder.glob(f"root-{number}.*"))
        file.rename(other / file.name)
    renew(shop.folder, [shop.keys, KeyFolder(other)], shop.clock.wall())
    assert (other / "root.json").read_bytes() == shop.registry.root()


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "releases", "group-default"])
def test_rotation_is_followed_by_devices_old_and_new(shop: Shop, device: Device, tmp_path: Path, role: str) -> None:
    ref = shop.release()
    shop.registry.set_group("default", [ref])
    device.group()
    old = {file.name for file in (*shop.folder.keys.glob("*.pem"), *shop.keys.folder.glob("*.pem"))}
    rotate(shop.folder, [shop.keys], role, shop.clock.wall())
    for file in (*shop.folder.keys.glob(f"{role}*.pem"), *shop.keys.folder.glob(f"{role}*.pem")):
        if file.name in old:
            file.unlink()
    again = shop.release("tiny", "2")
    shop.registry.set_group("default", [ref, again])
    for each in (device, Device(tmp_path / "new", device.url, shop.root)):
        assert each.group()["sequence"] == 2
        assert each.fetch(MODEL) == b"a model"
    rotate(shop.folder, [shop.keys], role, shop.clock.wall())
    assert device.group()["sequence"] == 2


def test_what_the_old_key_signs_counts_no_more(shop: Shop, tmp_path: Path) -> None:
    kept = next(shop.keys.folder.glob("releases.*"))
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    (stolen / kept.name).write_bytes(kept.read_bytes())
    rotate(shop.folder, [shop.keys], "releases", shop.clock.wall())
    (stolen / "root.json").write_bytes(shop.registry.root())
    shop.keys = KeyFolder(stolen)
    shop.stage()
    with pytest.raises(KeyMissing):
        shop.sign()


def test_added_group_speaks_for_itself(shop: Shop, device: Device) -> None:
    ref = shop.release()
    shop.registry.set_group("default", [ref])
    add_group(shop.folder, [shop.keys], "north", shop.clock.wall())
    assert shop.registry.groups() == ["default", "north"]
    shop.registry.set_group("north", [ref])
    shop.registry.set_group("north", [ref], {"tiny": 1})
    assert (device.group("north")["sequence"], device.group("default")["sequence"]) == (2, 1)


def test_damaged_key_is_named(shop: Shop) -> None:
    next(shop.keys.folder.glob("releases.*")).write_text("no key")
    shop.stage()
    with pytest.raises(KeyUnusable, match="releases"):
        shop.sign()


def test_online_keys_are_for_the_owner_s_eyes(shop: Shop) -> None:
    files = [*shop.folder.keys.iterdir(), *shop.keys.folder.glob("*.pem")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
