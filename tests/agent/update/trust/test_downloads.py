from __future__ import annotations

import errno
import os

import pytest

from agent.deliver.ledger import Why
from agent.errors import ConfigInvalid, DownloadFailed, ModelStoreBroken, NoRoom, RepositoryUnreachable
from agent.update.trust import TrustSettings
from tests.agent.update.trust.conftest import MODEL, REF, Device
from tests.agent.update.trust.hostile_server import Exchange, cut_after


def model_path(device: Device) -> str:
    return next(path for path in device.signed.files if path.endswith(".model.tflite"))


def sent(device: Device) -> int:
    return device.server.sent[model_path(device)]


def test_a_release_is_fetched_with_its_manifest(device):
    seen: list[float] = []
    repository = device.repository()
    assert repository.group_release("default").allowed == (REF,)
    repository.fetch(REF, device.staging, seen.append, lambda: False)
    assert (device.staging / "model.tflite").read_bytes() == MODEL
    manifest = next(data for path, data in device.signed.files.items() if path.endswith(".manifest.json"))
    assert (device.staging / "manifest.json").read_bytes() == manifest
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert device.ledger.bytes_by_reason()[Why.UPDATES] > 0


def test_a_link_that_is_cut_ten_times_never_restarts(device):
    device.server.behave("model.tflite", cut_after(len(MODEL) // 10 - 1_000))
    device.fetch()
    assert device.installed()
    assert device.server.requests.count(model_path(device)) == 11
    assert sent(device) == len(MODEL)


def test_a_download_goes_on_after_a_restart(device):
    device.server.behave("model.tflite", cut_after(30_000))
    for _ in range(6):
        with pytest.raises(RepositoryUnreachable):
            device.fetch(max_resumes=0)
    assert not device.installed()
    device.fetch(max_resumes=0)
    assert (device.staging / "model.tflite").read_bytes() == MODEL
    assert sent(device) == len(MODEL)


def test_a_link_that_brings_nothing_is_not_tried_for_ever(device):
    device.server.behave("model.tflite", cut_after(0))
    with pytest.raises(RepositoryUnreachable):
        device.fetch()
    assert device.server.requests.count(model_path(device)) == 1


def test_a_server_without_ranges_begins_again_and_still_fits(device):
    device.server.behave("model.tflite", cut_after(50_000))
    with pytest.raises(RepositoryUnreachable):
        device.fetch(max_resumes=0)
    device.server.behave("model.tflite", lambda exchange: exchange.serve(ranges=False))
    device.fetch()
    assert (device.staging / "model.tflite").read_bytes() == MODEL


def test_a_range_that_was_not_asked_for_is_refused(device):
    device.server.behave("model.tflite", cut_after(50_000))
    with pytest.raises(RepositoryUnreachable):
        device.fetch(max_resumes=0)

    def elsewhere(exchange: Exchange) -> None:
        exchange.handler.send_response(206)
        exchange.handler.send_header("Content-Range", f"bytes 0-9/{len(MODEL)}")
        exchange.handler.send_header("Content-Length", "10")
        exchange.handler.end_headers()
        exchange.send(MODEL[:10])

    device.server.behave("model.tflite", elsewhere)
    with pytest.raises(RepositoryUnreachable, match="asked for bytes from 50000"):
        device.fetch()


def test_a_damaged_beginning_is_found_out_and_fetched_again(device):
    device.server.behave("model.tflite", cut_after(50_000))
    with pytest.raises(RepositoryUnreachable):
        device.fetch(max_resumes=0)
    part = next(device.staging.glob("*.part"))
    part.write_bytes(b"\0" * 50_000)
    device.server.behaviours.clear()
    with pytest.raises(DownloadFailed):
        device.fetch()
    device.fetch()
    assert (device.staging / "model.tflite").read_bytes() == MODEL


def test_what_is_there_already_is_verified_and_not_fetched_again(device):
    device.fetch()
    device.fetch()
    assert sent(device) == len(MODEL)
    (device.staging / "model.tflite").write_bytes(b"x" * len(MODEL))
    with pytest.raises(DownloadFailed):
        device.fetch()
    device.fetch()
    assert (device.staging / "model.tflite").read_bytes() == MODEL


def test_the_rate_is_kept_below_its_limit(device):
    device.repository(wait=device.clock.wait, max_rate_bytes_s=50_000).fetch(
        REF, device.staging, lambda _: None, lambda: False
    )
    # The last piece is not waited for beyond its own due time, and headers count.
    assert len(MODEL) / 50_000 <= device.clock.seconds <= (len(MODEL) + 2_000) / 50_000


def test_a_cancelled_download_keeps_what_came(device):
    calls: list[float] = []
    with pytest.raises(DownloadFailed, match="cancelled"):
        device.repository().fetch(REF, device.staging, calls.append, lambda: bool(calls))
    assert not device.installed()
    had = next(device.staging.glob("*.part")).stat().st_size
    assert 0 < had < len(MODEL)
    device.fetch()
    assert device.installed()


def test_a_full_disk_is_named(device, monkeypatch):
    """The only place where a call of the system is replaced: a full disk can't be had without being root."""
    device.repository().group_release("default")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(NoRoom):
        device.fetch()


def test_a_folder_that_is_a_file_is_named(device):
    device.staging.parent.mkdir(parents=True)
    device.staging.write_bytes(b"")
    with pytest.raises(ModelStoreBroken):
        device.fetch()


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"signed": 1}', b"not json"])
def test_a_root_file_that_is_none_is_named(device, content):
    if content is None:
        device.root_file.unlink()
    else:
        device.root_file.write_bytes(content)
    with pytest.raises(ConfigInvalid, match="root_file"):
        device.repository()


def test_a_root_that_did_not_sign_itself_is_named(device):
    device.root_file.write_bytes(device.signed.first_root.replace(b'"sig":"', b'"sig":"00'))
    with pytest.raises(ConfigInvalid, match="root_file"):
        device.repository()


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="max_rate_bytes_s must be at least twice"):
        TrustSettings(max_rate_bytes_s=1_000, min_rate_bytes_s=900)
