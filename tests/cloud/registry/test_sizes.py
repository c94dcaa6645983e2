"""What an update costs with 1,000 releases, many groups and 10,000 devices: bytes of metadata, and time to sign."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from sqlalchemy import insert
from tuf.api.metadata import DelegatedRole, TargetFile, Targets

from cloud.bus import Bus
from cloud.deployment import Policy
from cloud.domain import Totals
from cloud.registry.files import alone_in
from cloud.registry.keys import KeyFolder
from cloud.registry.layout import group_role
from cloud.registry.metadata import Change, View, expiry, sign
from cloud.registry.signing import targets_of
from cloud.rollout.service import RolloutService
from cloud.rollout.start import start
from cloud.store.database import Database, open_database
from cloud.store.rollouts import RolloutStore
from cloud.store.schema import devices
from tests.cloud.migrated import migrated
from tests.cloud.registry.samples import Device, FolderFetcher, Shop
from tests.cloud.rollout.signers import FakeLink
from tests.cloud.samples import ManualClock, new_id
from wire.messages import Presence
from wire.updates import ModelRef, Reported, UpdateState

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


@pytest.mark.parametrize("groups", [0, 100])
def test_signing_a_group_s_document_takes_no_time_to_speak_of(shop: Shop, groups: int) -> None:
    """Online, while an operator waits for `rollout start`, or for a pause to hold; the figure waits for the disk."""
    ref = shop.release()
    fill(shop, groups)
    took_s = []
    for sequence in range(1, 12):
        born = ModelRef(name="born", version=str(sequence), digest=ref.digest)
        began = time.perf_counter()
        document = shop.registry.set_group("default", [ref, born])
        took_s.append(time.perf_counter() - began)
        assert document.sequence == sequence
    took_ms = 1000 * statistics.median(took_s)
    print(f"{RELEASES} releases, {groups + 1} groups: signed in {took_ms:.0f} ms (median of 11)")  # noqa: T201 - the figure that is to be shown
    assert statistics.median(took_s) < 2


async def enrol(database: Database, count: int, running: ModelRef, clock: ManualClock) -> None:
    """Devices that are there, and run the release: row by row as the service writes them, in one transaction."""
    rows = []
    for number in range(count):
        name = f"cam-{number}"
        reported = Reported(
            message_id=new_id(), device=name, made_at=clock.wall(), boot_id=new_id(), boot_seq=1,
            desired_version=0, state=UpdateState.IDLE, running=running,
        )  # fmt: skip
        row = {"id": name, "token_sha256": name, "enrolled_at": clock.wall(), "last_seen_at": clock.wall()}
        kept = {"presence": Presence.ONLINE, "reported": reported.model_dump_json()}
        rows.append(row | kept | {"past": Totals().model_dump_json()})
    async with database.writing() as connection:
        await connection.execute(insert(devices), rows)


@pytest.mark.parametrize("count", [3, pytest.param(10_000, marks=pytest.mark.system)])
async def test_the_number_of_devices_does_not_matter(shop: Shop, tmp_path: Path, count: int) -> None:
    """A rollout to all of them signs one document, and each device fetches as much as in a fleet of three."""
    one, two = shop.release("tiny", "1"), shop.release("tiny", "2", b"another")
    shop.registry.set_group("default", [one])
    device = Device(tmp_path / "device", "", shop.root, FolderFetcher(shop.folder))
    device.group()
    before = {file.name for file in shop.folder.repository.rglob("*.json")}
    clock, link = ManualClock(), FakeLink()
    async with open_database(await migrated(tmp_path / "db")) as database:
        await enrol(database, count, one, clock)
        store = RolloutStore(database)
        policy = Policy(stages=(100,), soak_s=0, max_in_flight=count)
        await start(store=store, signer=shop.registry, clock=clock, model="tiny@2", group="default", policy=policy)
        await RolloutService(store=store, signer=shop.registry, link=link, bus=Bus(), clock=clock).look()
    assert len({message.device for message in link.sent}) == count
    added = sorted(name for name in {file.name for file in shop.folder.repository.rglob("*.json")} - before)
    assert [name.partition(".")[2] for name in added if name.startswith("3.")] == ["group-default.json"]
    assert len(added) == 3, added  # That, the snapshot that names it, and the document.
    fetcher = FolderFetcher(shop.folder)
    device.fetcher = fetcher
    assert device.group()["allowed"] == [two.model_dump(mode="json"), one.model_dump(mode="json")]
    fetched = sum(fetcher.fetched.values())
    print(f"{count} devices: {len(added) + 1} files signed, {fetched} B fetched by each")  # noqa: T201 - the figure that is to be shown
    assert 5_000 < fetched < 7_000
