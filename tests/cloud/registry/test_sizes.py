"""How many bytes of metadata an update costs with 1,000 releases and many groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, TargetFile, Targets

from cloud.registry.files import alone_in
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import group_role
from cloud.registry.metadata import Change, View, expiry, sign
from cloud.registry.signing import targets_of
from tests.cloud.registry.samples import Device, FolderFetcher, Shop

RELEASES = 1_000
TARGET_BYTES = 30_000


def fill(shop: Shop, groups: int) -> None:
    """A thousand releases in the lists, and groups that are only delegated to; their files are not fetched here."""
    with alone_in(shop.folder.root):
        view = View(shop.folder)
        change = Change(shop.folder, view, [shop.keys, KeyFolder(shop.folder.keys)], shop.clock.wall())
        for number in range(1, RELEASES + 1):
            for path in targets_of("ssdlite-mobilenetv2-300-int8", f"1.{number}.0").values():
                entry = TargetFile.from_data(path, path.encode(), ["sha256"])
                entry.unrecognized_fields["custom"] = {"number": number}
                view.role(view.bins().get_role_for_target(path)).signed.targets[path] = entry
        for role in view.bins().get_roles():
            change.sign_role(role, view.role(role).signed)
        targets = view.role("targets").signed
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        for number in range(groups):
            role = group_role(f"site-{number}")
            targets.delegations.roles[role] = DelegatedRole(
                role, [], 1, terminating=True, paths=[f"groups/site-{number}/*"]
            )
            key = CryptoSigner.generate_ed25519()
            targets.add_key(key.public_key, role)
            change.put_role(role, sign(Targets(expires=expiry(role, shop.clock.wall())), [key]))
        change.sign_role("targets", targets)
        change.publish()


def cost(shop: Shop, device: Device, version: str) -> int:
    """Bytes of metadata for the group's document and both files of a release."""
    fetcher = FolderFetcher(shop.folder)
    updater = device.updater(fetcher)
    for path in ("groups/default/current.json", *targets_of("ssdlite-mobilenetv2-300-int8", version).values()):
        assert updater.get_targetinfo(path) is not None
    return sum(size for place, size in fetcher.fetched.items() if place.startswith("metadata/"))


@pytest.mark.parametrize("groups", [0, 20, 100])
def test_update_costs_little(shop: Shop, tmp_path: Path, groups: int) -> None:
    ref = shop.release()
    shop.registry.set_group("default", [ref])
    fill(shop, groups)
    device = Device(tmp_path / "device", "", shop.root)
    first = cost(shop, device, "1.500.0")
    shop.registry.set_group("default", [ref], {"tiny": 1})
    following = cost(shop, device, "1.501.0")
    print(f"{RELEASES} releases, {groups + 1} groups: first contact {first} B, next update {following} B")  # noqa: T201 - the figure that is to be shown
    assert following < TARGET_BYTES
    assert first < TARGET_BYTES + 400 * groups
