"""What the registry promises: numbers that only go up, floors that never sink, and nothing that was not signed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets

from cloud.registry.errors import (
    GroupRefused,
    GroupUnknown,
    RegistryBroken,
    RegistryMissing,
    ReleaseConflict,
    ReleaseExists,
    ReleaseUnknown,
)
from cloud.registry.layout import RegistryFolder
from cloud.registry.metadata import View
from cloud.registry.service import Registry
from cloud.registry.signing import targets_of
from tests.cloud.registry.samples import Shop, open_shop, stage_bytes
from tests.cloud.samples import DIGEST, ManualClock
from wire.updates import ModelRef


def bin_of(shop: Shop, name: str, version: str) -> Path:
    """The current list that vouches for the release's model."""
    view = View(shop.folder)
    role = view.bins().get_role_for_target(targets_of(name, version)["model.tflite"])
    return shop.folder.metadata / f"{view.role(role).signed.version}.{role}.json"


def neighbour(shop: Shop, name: str, version: str) -> str:
    """Another version of the model that meets this one in a list."""
    bins = View(shop.folder).bins()

    def lists(candidate: str) -> set[str]:
        return {bins.get_role_for_target(path) for path in targets_of(name, candidate).values()}

    return next(str(n) for n in range(2, 10_000) if lists(str(n)) & lists(version))


def bundle_of(shop: Shop, name: str, version: str, folder: Path) -> RegistryFolder:
    shop.registry.export(name, version, folder)
    return RegistryFolder(folder)


def test_numbers_count_up_for_each_model_by_itself(shop: Shop) -> None:
    assert [shop.release("a", version).number for version in ("1", "2")] == [1, 2]
    assert shop.release("b", "1").number == 1
    assert shop.release("a-b", "1").number == 1
    states = {(each.ref.name, each.ref.version): each.ref.number for each in shop.registry.releases()}
    assert states == {("a", "1"): 1, ("a", "2"): 2, ("b", "1"): 1, ("a-b", "1"): 1}


def test_old_copy_of_the_repository_can_t_have_a_number_given_twice(shop: Shop, tmp_path: Path) -> None:
    shop.stage("a", "1")
    old = bundle_of(shop, "a", "1", tmp_path / "old")
    assert shop.sign("a", "1").number == 1
    shop.registry.publish("a", "1")
    stage_bytes(old, "a", "2", b"another")
    assert shop.sign("a", "2", old).number == 2


def test_signing_again_never_gives_two_lists_the_same_version(shop: Shop) -> None:
    shop.stage()
    shop.sign()
    first = {
        file.name: Metadata.from_bytes(file.read_bytes()).signed.version
        for file in shop.folder.signed("tiny", "1").iterdir()
    }
    assert shop.sign().number == 2
    again = {
        file.name: Metadata.from_bytes(file.read_bytes()).signed.version
        for file in shop.folder.signed("tiny", "1").iterdir()
    }
    assert all(again[name] > version for name, version in first.items())
    assert shop.registry.publish("tiny", "1").number == 2


def test_published_release_is_for_good(shop: Shop) -> None:
    ref = shop.release()
    assert shop.registry.publish("tiny", "1") == ref
    shop.stage(model=b"other bytes")
    with pytest.raises(ReleaseExists):
        shop.sign()


def test_list_that_was_tampered_with_is_not_signed_along(shop: Shop, tmp_path: Path) -> None:
    """A stolen service adds a model of its own to the copy that goes to the offline key."""
    shop.release()
    victim = bin_of(shop, "tiny", "1")
    slipped: Metadata[Targets] = Metadata.from_bytes(victim.read_bytes())
    slipped.signed.targets["models/evil/1/model.tflite"] = TargetFile.from_data("models/evil/1/model.tflite", b"evil")
    shop.stage("other", "1")
    bundle = bundle_of(shop, "other", "1", tmp_path / "bundle")
    (bundle.metadata / victim.name).write_bytes(slipped.to_bytes())
    with pytest.raises(RegistryBroken, match="not signed by its keys"):
        shop.sign("other", "1", bundle)


def test_repository_under_another_root_is_not_signed(shop: Shop, tmp_path: Path) -> None:
    foreign = open_shop(tmp_path / "foreign")
    foreign.stage()
    with pytest.raises(RegistryBroken):
        shop.sign("tiny", "1", foreign.folder)


def test_bytes_swapped_after_signing_are_not_published(shop: Shop) -> None:
    shop.stage()
    shop.sign()
    (shop.folder.staged("tiny", "1") / "model.tflite").write_bytes(b"b model")
    with pytest.raises(RegistryBroken, match="not what was signed"):
        shop.registry.publish("tiny", "1")


def test_list_signed_by_another_key_is_not_published(shop: Shop, tmp_path: Path) -> None:
    foreign = open_shop(tmp_path / "foreign")
    foreign.stage()
    foreign.sign()
    shop.stage()
    with pytest.raises(RegistryBroken, match="not signed by its keys"):
        shop.registry.publish("tiny", "1", foreign.folder.root)


def test_second_of_two_that_meet_in_a_list_is_signed_again(shop: Shop, tmp_path: Path) -> None:
    other = neighbour(shop, "tiny", "1")
    for version in ("1", other):
        shop.stage("tiny", version)
    bundles = {version: bundle_of(shop, "tiny", version, tmp_path / version) for version in ("1", other)}
    for version, bundle in bundles.items():
        shop.sign("tiny", version, bundle)
    shop.registry.publish("tiny", "1", bundles["1"].root)
    with pytest.raises(ReleaseConflict):
        shop.registry.publish("tiny", other, bundles[other].root)
    shop.sign("tiny", other)
    assert shop.registry.publish("tiny", other).number == 3


def test_group_counts_up_and_keeps_its_floors(shop: Shop) -> None:
    one, two = shop.release("tiny", "1"), shop.release("tiny", "2")
    assert shop.registry.group("default") is None
    assert shop.registry.set_group("default", [one]).sequence == 1
    assert shop.registry.set_group("default", [one]).sequence == 1
    assert shop.registry.set_group("default", [one, two]).sequence == 2
    floored = shop.registry.set_group("default", [two], {"tiny": 2})
    assert shop.registry.group("default") == floored
    assert shop.registry.set_group(
        "default", [two, ModelRef(name="born", version="1", digest=DIGEST)]
    ).min_release == {"tiny": 2}
    assert shop.registry.groups() == ["default"]


def test_group_that_breaks_a_promise_is_refused(shop: Shop) -> None:
    one, two = shop.release("tiny", "1"), shop.release("tiny", "2")
    shop.registry.set_group("default", [two], {"tiny": 2})
    with pytest.raises(GroupRefused, match="is the floor"):
        shop.registry.set_group("default", [one])
    with pytest.raises(GroupRefused, match="can't sink"):
        shop.registry.set_group("default", [two], {"tiny": 1})
    with pytest.raises(GroupRefused, match="at least 1"):
        shop.registry.set_group("default", [])
    with pytest.raises(ReleaseUnknown, match="not published"):
        shop.registry.set_group("default", [two.model_copy(update={"version": "9"})])
    with pytest.raises(ReleaseUnknown, match="another number or digest"):
        shop.registry.set_group("default", [two.model_copy(update={"digest": DIGEST})])
    with pytest.raises(GroupUnknown):
        shop.registry.set_group("nobody", [two])
    assert shop.registry.group("default").sequence == 1  # type: ignore[union-attr]


def test_deliberate_rollback_is_a_higher_sequence(shop: Shop) -> None:
    one, two = shop.release("tiny", "1"), shop.release("tiny", "2")
    shop.registry.set_group("default", [two])
    back = shop.registry.set_group("default", [one])
    assert (back.sequence, back.allowed) == (2, (one,))


def test_damaged_repository_is_named(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(RegistryMissing):
        Registry(tmp_path / "none", ManualClock()).group("default")
    shop.release()
    bin_of(shop, "tiny", "1").write_bytes(b"{}")
    with pytest.raises(RegistryBroken):
        shop.registry.releases()
    shutil.rmtree(shop.folder.metadata)
    with pytest.raises(RegistryMissing):
        shop.registry.set_group("default", [])
