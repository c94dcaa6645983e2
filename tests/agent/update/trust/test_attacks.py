"""What a hostile repository can try; each ends with nothing installed and the error named."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from agent.adapters.system_clock import SystemClock
from agent.errors import (
    ClockImplausible,
    DownloadFailed,
    MetadataExpired,
    MetadataInvalid,
    MetadataRolledBack,
    ReleaseNotAllowed,
    ReleaseTooOld,
    RepositoryUnreachable,
    UpdateError,
)
from tests.agent.update.trust.conftest import MODEL, REF, Device
from tests.agent.update.trust.hostile_server import drip, drip_headers, endless, endless_headers, redirect, stall
from tests.agent.update.trust.signed_repository import SignedRepository, group_role, model_bytes, ref_of
from wire.updates import MODEL_TARGET, GroupRelease

IMPATIENT = {"min_rate_bytes_s": 100_000.0, "rate_window_s": 0.2}
NEWER = ref_of(model_bytes(1_000, seed=2), version="2.0.0", number=2)


def refused(device: Device, error: type[UpdateError], ref=None, **settings) -> UpdateError:
    with pytest.raises(error) as caught:
        device.fetch(ref, **settings)
    assert type(caught.value) is error
    assert not device.installed()
    return caught.value


def served_model(device: Device) -> str:
    return next(path for path in device.signed.files if path.endswith(".model.tflite"))


def latest(device: Device, role: str) -> str:
    return f"metadata/{device.signed.roles[role].signed.version}.{role}.json"


def allow(device: Device, *refs, sequence: int, **changes) -> None:
    device.signed.add_group(GroupRelease(group="default", sequence=sequence, allowed=refs, **changes))


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_tampered_model_is_refused_and_thrown_away(device):
    path = served_model(device)
    device.signed.files[path] = flip(MODEL, 1_000)
    refused(device, DownloadFailed)
    assert not list(device.staging.glob("*.part"))
    device.signed.files[path] = MODEL
    device.fetch()
    assert (device.staging / "model.tflite").read_bytes() == MODEL


def test_a_tampered_manifest_is_refused(device):
    path = next(path for path in device.signed.files if path.endswith(".manifest.json"))
    device.signed.files[path] = flip(device.signed.files[path], 30)
    refused(device, MetadataInvalid)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "releases", "group-default"])
def test_tampered_metadata_is_refused(device, role):
    path = "metadata/timestamp.json" if role == "timestamp" else latest(device, role)
    metadata = json.loads(device.signed.files[path])
    metadata["signed"]["expires"] = "2039-01-01T00:00:00Z"
    device.signed.files[path] = json.dumps(metadata).encode()
    refused(device, MetadataInvalid)


def test_a_release_of_a_foreign_key_is_refused(device):
    device.signed.keys[group_role("default")] = [CryptoSigner.generate_ed25519()]
    allow(device, REF, sequence=2)
    refused(device, MetadataInvalid)


def test_a_group_key_cannot_speak_for_releases(device):
    path = MODEL_TARGET.format(name=NEWER.name, version=NEWER.version)
    device.signed.add_target(group_role("default"), path, model_bytes(1_000, seed=2), {"number": 2})
    allow(device, NEWER, sequence=2)
    refused(device, MetadataInvalid, NEWER)


def test_a_replayed_timestamp_is_refused(device):
    old = device.signed.files["metadata/timestamp.json"]
    device.signed.publish()
    device.repository().group_release("default")
    device.signed.files["metadata/timestamp.json"] = old
    refused(device, MetadataRolledBack)


@pytest.mark.parametrize("metadata_lost", [False, True])
def test_a_rolled_back_repository_is_refused(device, metadata_lost):
    old = dict(device.signed.files)
    device.signed.add_release(NEWER, model_bytes(1_000, seed=2))
    device.repository().group_release("default")
    if metadata_lost:
        shutil.rmtree(device.trust / "metadata")
    device.server.files = old
    error = refused(device, MetadataRolledBack)
    assert "timestamp" in error.what
    device.server.files = device.signed.files
    device.fetch()  # and the genuine one is taken again, although the old one was written down


def test_an_old_root_is_refused_though_the_metadata_was_lost(device):
    device.signed.rotate("targets")
    device.signed.publish("targets")
    device.repository().group_release("default")
    shutil.rmtree(device.trust / "metadata")
    del device.signed.files["metadata/2.root.json"]
    refused(device, MetadataInvalid)  # what the new key signed can't be verified either


def test_a_frozen_repository_is_named_expired(device):
    device.repository().group_release("default")
    device.clock.now += timedelta(days=1, minutes=1)
    refused(device, MetadataExpired)


def test_a_repository_that_expired_by_the_machines_clock_is_named_expired(device):
    device.signed.roles["timestamp"].signed.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    device.signed.publish()
    refused(device, MetadataExpired)


def test_a_group_that_nobody_renewed_is_named_expired(device):
    device.signed.roles["group-default"].signed.expires = device.signed.now + timedelta(hours=2)
    device.signed.publish("group-default")
    device.clock.now += timedelta(hours=3)
    error = refused(device, MetadataExpired)
    assert "group-default" in error.what


@pytest.mark.parametrize(
    ("role", "error"),
    [("snapshot", MetadataInvalid), ("targets", MetadataRolledBack), ("group-default", MetadataRolledBack)],
)
def test_mixed_metadata_is_refused(device, role, error):
    older = device.signed.files[latest(device, role)]
    device.signed.publish(*([] if role == "snapshot" else [role]))
    device.signed.files[latest(device, role)] = older
    refused(device, error)


@pytest.mark.parametrize("path", ["timestamp.json", "2.root.json", "snapshot.json", "current.json"])
def test_endless_data_is_cut_off(device, path):
    device.server.behave(path, endless)
    refused(device, MetadataInvalid)
    assert sum(device.server.sent.values()) < 16_000_000


@pytest.mark.parametrize("path", ["timestamp", "model.tflite"])
def test_endless_headers_are_cut_off(device, path):
    device.server.behave(path, endless_headers)
    refused(device, RepositoryUnreachable)


def test_an_endless_model_is_cut_off_at_its_signed_length(device):
    largest = 0

    def look(size: float) -> None:
        nonlocal largest
        largest = max(largest, *(part.stat().st_size for part in device.staging.glob("*.part")))

    device.server.behave("model.tflite", endless)
    with pytest.raises(DownloadFailed):
        device.repository().fetch(REF, device.staging, look, lambda: False)
    assert 0 < largest <= len(MODEL)
    assert not device.installed()


@pytest.mark.parametrize("behaviour", [drip, drip_headers])
def test_dripping_metadata_is_given_up(device, behaviour):
    device.clock = SystemClock()
    device.server.behave("timestamp.json", behaviour)
    error = refused(device, RepositoryUnreachable, **IMPATIENT)
    assert "slow" in error.what


class ClockFrom(SystemClock):
    """Stands still until the server was asked for that: what comes before is not slow, whatever the machine does."""

    def __init__(self, device: Device, text: str) -> None:
        self._requests = device.server.requests
        self._text = text
        self._from: float | None = None

    def monotonic(self) -> float:
        if self._from is None and any(self._text in path for path in self._requests):
            self._from = super().monotonic()
        return 0.0 if self._from is None else super().monotonic() - self._from


@pytest.mark.parametrize("behaviour", [drip, drip_headers])
def test_a_dripping_model_is_given_up(device, behaviour):
    device.clock = ClockFrom(device, "model.tflite")
    device.server.behave("model.tflite", behaviour)
    error = refused(device, DownloadFailed, **IMPATIENT)
    assert "slow" in error.what


def test_a_drip_above_the_minimum_rate_ends_at_the_deadline(device):
    device.clock = SystemClock()
    device.server.behave("model.tflite", drip)
    error = refused(device, DownloadFailed, min_rate_bytes_s=0, download_deadline_s=0.3)
    assert "not done after" in error.what


@pytest.mark.parametrize("path", ["timestamp.json", "model.tflite"])
def test_silence_is_given_up(device, path):
    device.server.behave(path, stall)
    refused(device, RepositoryUnreachable, silence_timeout_s=0.2)


@pytest.mark.parametrize(("path", "error"), [("timestamp", RepositoryUnreachable), ("model.tflite", DownloadFailed)])
def test_a_redirect_is_not_followed(device, path, error):
    device.server.behave(path, redirect)
    assert "302" in refused(device, error).what
    assert not [request for request in device.server.requests if request.endswith("?again")]


def test_a_repository_that_is_away_is_unreachable(device):
    device.server.stop()
    refused(device, RepositoryUnreachable)


def test_a_clock_in_2020_stops_updates_even_on_a_new_device(device):
    device.clock.now = datetime(2020, 1, 1, tzinfo=UTC)
    refused(device, ClockImplausible)


def test_a_clock_before_what_was_seen_stops_updates_before_anything_is_asked(device):
    device.repository().group_release("default")
    asked = len(device.server.requests)
    device.clock.now = datetime(2020, 1, 1, tzinfo=UTC)
    refused(device, ClockImplausible)
    assert len(device.server.requests) == asked


def test_a_clock_that_was_a_little_ahead_may_be_set_back(device):
    genuine = device.clock.now
    device.clock.now += timedelta(hours=20)
    device.repository().group_release("default")
    device.clock.now = genuine
    device.fetch()
    assert device.installed()


def test_a_clock_in_2040_finds_everything_expired_and_recovers(device):
    genuine = device.clock.now
    device.clock.now = datetime(2040, 1, 1, tzinfo=UTC)
    refused(device, MetadataExpired)
    device.clock.now = genuine
    device.fetch()  # a clock that was wrong once does not raise the floor
    assert device.installed()


def test_keys_of_every_role_can_be_replaced(device):
    device.repository().group_release("default")
    for role in ("timestamp", "snapshot", "root"):
        device.signed.rotate(role)
    device.signed.rotate("targets")
    device.signed.publish("targets")
    device.signed.rotate_group("default")
    device.fetch()
    assert device.installed()


def test_a_root_that_one_key_signed_is_refused(device):
    device.signed.rotate("root")
    forged = Metadata.from_bytes(device.signed.files["metadata/2.root.json"])
    for keyid in list(forged.signatures)[1:]:
        del forged.signatures[keyid]
    device.signed.files["metadata/2.root.json"] = forged.to_bytes()
    refused(device, MetadataInvalid)


def test_another_repository_is_refused(device):
    stranger = SignedRepository()
    stranger.add_release(REF, MODEL)
    stranger.add_group(GroupRelease(group="default", sequence=9, allowed=(REF,)))
    device.server.files = stranger.files
    refused(device, MetadataInvalid)


def test_a_sequence_that_was_locked_away_comes_back_with_a_new_key(device):
    allow(device, REF, sequence=2**53)
    device.repository().group_release("default")
    allow(device, REF, sequence=2)
    refused(device, MetadataRolledBack)
    device.signed.rotate_group("default")
    device.fetch()
    assert device.installed()


@pytest.mark.parametrize("metadata_lost", [False, True])
def test_an_older_sequence_is_refused(device, metadata_lost):
    allow(device, REF, sequence=7)
    device.repository().group_release("default")
    if metadata_lost:
        shutil.rmtree(device.trust / "metadata")
    allow(device, REF, sequence=6)
    refused(device, MetadataRolledBack)


def test_a_document_of_another_group_is_refused(device):
    other = GroupRelease(group="other", sequence=5, allowed=(REF,))
    device.signed.add_group(other, as_group="default")
    refused(device, MetadataInvalid)


def test_a_group_without_a_document_is_named(device):
    with pytest.raises(MetadataInvalid, match="groups/other/current"):
        device.repository().group_release("other")
    with pytest.raises(MetadataInvalid, match="groups/nobody/current"):
        device.repository().group_release("nobody")


def test_a_release_that_is_not_allowed_is_refused(device):
    device.signed.add_release(NEWER, model_bytes(1_000, seed=2))
    refused(device, ReleaseNotAllowed, NEWER)
    refused(device, ReleaseNotAllowed, REF.model_copy(update={"digest": NEWER.digest}))


def test_nothing_below_the_lowest_release_ever_runs_again(device):
    device.signed.add_release(NEWER, model_bytes(1_000, seed=2))
    allow(device, NEWER, REF, sequence=2, min_release={"watch": 2})
    refused(device, ReleaseTooOld)
    allow(device, REF, sequence=3)  # the minimum is forgotten, or was left out by a thief
    refused(device, ReleaseTooOld)
    device.signed.rotate_group("default")
    refused(device, ReleaseTooOld)
    assert device.repository().group_release("default").min_release == {"watch": 2}


def test_a_number_that_only_the_group_claims_is_refused(device):
    risen = REF.model_copy(update={"number": 5})
    allow(device, risen, sequence=2, min_release={"watch": 4})
    error = refused(device, MetadataInvalid, risen)
    assert "release 5" in error.what


def test_a_digest_that_only_the_group_claims_is_refused(device):
    other = REF.model_copy(update={"digest": NEWER.digest})
    allow(device, other, sequence=2)
    refused(device, MetadataInvalid, other)


@pytest.mark.parametrize(
    "changes", [{"digest": NEWER.digest}, {"size": 7}, {"name": "another"}, {"version": "9"}, {"labels": []}]
)
def test_a_manifest_of_another_model_is_refused(device, changes):
    device.signed.add_release(REF, MODEL, **changes)
    refused(device, MetadataInvalid)


def test_a_model_too_large_for_the_device_is_not_fetched(device):
    data = model_bytes(2 * 1024 * 1024)
    large = ref_of(data, version="3.0.0", number=3)
    device.signed.add_release(large, data)
    allow(device, large, sequence=2)
    refused(device, DownloadFailed, large, max_model_mib=1)
    assert not device.server.sent[next(path for path in device.signed.files if large.digest[7:] in path)]


def test_paths_that_lead_elsewhere_are_refused_or_mean_nothing(device):
    document = GroupRelease(group="default", sequence=2, allowed=(REF,)).model_dump_json()
    device.signed.add_target(
        group_role("default"), "groups/default/current.json", document.replace('"watch"', '"../../etc"').encode()
    )
    refused(device, MetadataInvalid)
    path = "models/../../../../escaped"
    for role in ("releases", *device.signed.bins.get_roles()):
        device.signed.add_target(role, path, b"evil")
    allow(device, REF, sequence=3)
    device.fetch()
    assert sorted(file.name for file in device.staging.iterdir()) == ["manifest.json", "model.tflite"]
    assert not list(device.folder.parent.rglob("*escaped*"))


def test_a_captive_portal_is_no_repository(device):
    device.server.behave("metadata/", lambda exchange: (exchange.begin(Content_Length="4"), exchange.send(b"<a/>")))
    refused(device, MetadataInvalid)


def test_the_attacks_leave_a_device_that_still_updates(device):
    for attack in (endless, redirect, stall):
        device.server.behave("timestamp.json", attack)
        with pytest.raises(UpdateError):
            device.fetch(silence_timeout_s=0.2)
    device.server.behaviours.clear()
    device.fetch()
    assert device.installed()
    assert device.faults.counts() == {}
