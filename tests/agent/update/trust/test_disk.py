"""What a power cut or an old card leaves behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.trust_store import TrustStore
from agent.deliver.faults import Faults
from agent.errors import MetadataRolledBack, ModelStoreBroken
from agent.update.trust import Floors, RoleFloor
from tests.agent.update.trust.conftest import Device

FLOORS = Floors(roles={"timestamp": RoleFloor(version=7, keys="k")}, min_release={"watch": 3})


def metadata_files(device: Device) -> list[Path]:
    return sorted(file for file in (device.trust / "metadata").rglob("*.json") if not file.is_symlink())


def test_torn_metadata_is_fetched_again(device):
    device.repository().group_release("default")
    names = [str(file.relative_to(device.trust)) for file in metadata_files(device)]
    assert len(names) == 5
    for name in names:
        for keep in (0, 1, 100):
            file = device.trust / name
            file.write_bytes(file.read_bytes()[:keep])
            device.repository().group_release("default")
    device.fetch()
    assert device.installed()


def test_torn_metadata_does_not_open_the_door_to_an_old_repository(device):
    old = dict(device.signed.files)
    device.signed.publish()
    device.repository().group_release("default")
    for file in metadata_files(device):
        file.write_bytes(b"")
    device.server.files = old
    with pytest.raises(MetadataRolledBack):
        device.fetch()


def test_every_file_of_metadata_is_synced_before_its_content_is_used(device, monkeypatch):
    synced: set[str] = set()
    sync = os.fsync

    def note(handle: int) -> None:
        synced.add(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    monkeypatch.setattr("os.fsync", note)
    device.repository().group_release("default")
    wanted = {file.name for file in metadata_files(device)} | {"metadata", "root_history", "trust"}
    assert wanted <= synced


def test_litter_of_a_power_cut_is_removed(device):
    device.repository().group_release("default")
    litter = device.trust / "metadata" / "tmpabc123"
    litter.write_bytes(b"{")
    device.repository().group_release("default")
    assert not litter.exists()


def test_litter_that_can_t_be_removed_holds_up_no_update(device, monkeypatch, caplog):
    removes = Path.unlink
    litter = device.trust / "metadata" / "tmpabc123"
    device.repository().group_release("default")
    litter.write_bytes(b"{")

    def unlink(path, missing_ok=False):
        if path == litter:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        removes(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    device.repository().group_release("default")
    assert litter.exists()
    assert "an old temporary file can't be removed" in caplog.text


def test_floors_survive_the_loss_of_one_copy(tmp_path):
    faults = Faults()
    store = TrustStore(tmp_path / "trust" / "floors.json", faults)
    assert store.load() == Floors()
    store.save(FLOORS)
    (tmp_path / "trust" / "floors.json").write_bytes(b"\0\0\0")
    assert store.load() == FLOORS
    assert faults.counts() == {"ModelStoreBroken": 1}
    (tmp_path / "trust" / "floors.json").unlink()
    assert store.load() == FLOORS


def test_floors_that_cannot_be_read_stop_updates(tmp_path):
    (tmp_path / "floors.json").mkdir()
    with pytest.raises(ModelStoreBroken):
        TrustStore(tmp_path / "floors.json", Faults()).load()


@pytest.mark.parametrize("other", [b"{}", b'{"":""}', b'{"roles":{}}'])
def test_another_object_is_not_taken_for_floors(tmp_path, other):
    faults = Faults()
    store = TrustStore(tmp_path / "floors.json", faults)
    store.save(FLOORS)
    (tmp_path / "floors.json").write_bytes(other)
    assert store.load() == FLOORS
    assert faults.counts() == {"ModelStoreBroken": 1}


@given(st.binary(max_size=200))
def test_floors_that_are_noise_begin_anew(data):
    class Noise(type(Path())):
        def exists(self, **_):
            return True

        def read_bytes(self):
            return data

    faults = Faults()
    assert TrustStore(Noise("floors.json"), faults).load() == Floors()
    assert faults.counts() == {"ModelStoreBroken": 2}
