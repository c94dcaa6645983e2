"""The models on disk, and the record beside them, when files are not what they should be."""

from __future__ import annotations

import errno
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.update_record_file import MAX_BYTES, UpdateRecordFile
from agent.errors import DownloadFailed, ModelStoreBroken
from agent.update.record import MAX_QUARANTINED, UpdateRecord, plain
from tests.agent.update.worker.bench import BORN, NEW, OLD, Device, content, on, ref, wanted
from wire.updates import UpdateState


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    on(device, OLD)
    on(device, NEW, 2)
    return device


def stored(device, model):
    return device.folder / "data/models/objects" / model.digest[7:]


DAMAGES = {
    "truncated": lambda folder: (folder / "model.tflite").write_bytes(b""),
    "changed": lambda folder: (folder / "model.tflite").write_bytes(b"x" * 300),
    "gone": shutil.rmtree,
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"")),
    "manifest changed": lambda folder: (folder / "manifest.json").write_text("{}"),
    "no seal": lambda folder: (folder / "seal.json").unlink(),
    "a list for a seal": lambda folder: (folder / "seal.json").write_text("[1]"),
    "a deep seal": lambda folder: (folder / "seal.json").write_text("[" * 4000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_broken_model_gives_way_to_the_one_before_and_that_to_the_built_in(device, damage):
    assert next(device.store.startup_models()).ref == NEW
    damage(stored(device, NEW))
    assert next(device.store.startup_models()).ref == OLD
    assert [error.name for error in device.errors] == ["ModelStoreBroken"]
    damage(stored(device, OLD))
    assert next(device.store.startup_models()).ref == BORN
    device.restart()
    assert device.live.running.ref == BORN


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_broken_model_is_fetched_again(device, damage):
    damage(stored(device, NEW))
    device.restart()
    assert device.update(wanted(version=3)).state is UpdateState.COMMITTED
    assert next(device.store.startup_models()).ref == NEW


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', "\x00" * 64, "[" * 4000])
def test_a_broken_pointer_gives_way_to_the_other(device, text):
    (device.folder / "data/models/current.json").write_text(text)
    assert next(device.store.startup_models()).ref == OLD
    with pytest.raises(ModelStoreBroken):
        device.store.collect()
    assert stored(device, NEW).exists(), "what a pointer names that can't be read is not removed"
    (device.folder / "data/models/previous.json").write_text(text)
    assert next(device.store.startup_models()).ref == BORN
    assert device.store.current() == BORN
    assert device.store.previous() is None


def test_a_model_that_can_t_be_removed_keeps_no_other(device, monkeypatch):
    removes = shutil.rmtree
    objects = device.folder / "data/models/objects"
    doomed = [objects / name for name in ("0" * 64, "1" * 64, "2" * 64)]
    for folder in doomed:
        folder.mkdir()

    def rmtree(path, **named):
        if path == stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        removes(path, **named)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    for stuck in (device.folder / "data/models/staging", *doomed):
        (device.folder / "data/models/staging").mkdir(exist_ok=True)
        for folder in doomed:
            folder.mkdir(exist_ok=True)
        with pytest.raises(ModelStoreBroken, match="Operation not permitted"):
            device.store.collect()
        assert [folder for folder in doomed if folder.exists()] == [folder for folder in doomed if folder == stuck]
        assert stored(device, NEW).exists()
        assert stored(device, OLD).exists()


def test_the_whole_folder_is_a_file(device):
    shutil.rmtree(device.folder / "data")
    (device.folder / "data").write_text("")
    device.restart()
    assert device.live.running.ref == BORN
    facts = device.update(wanted(version=1))
    assert facts.state is UpdateState.FAILED
    assert "ModelStoreBroken" in facts.reason


def test_staging_keeps_one_download_and_goes_on_with_it(device):
    first = device.store.stage(ref("a"))
    (first / "model.tflite").write_bytes(b"half")
    assert (device.store.stage(ref("a")) / "model.tflite").read_bytes() == b"half"
    device.store.stage(ref("b"))
    assert not first.exists()


@pytest.mark.parametrize("files", [{}, {"model.tflite": b"half"}, {"model.tflite": b"x", "manifest.json": b"{}"}])
def test_what_was_staged_is_not_the_release(device, files):
    folder = device.store.stage(ref("a"))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with pytest.raises(DownloadFailed):
        device.store.verify_staged(ref("a"))
    assert not folder.exists()


def test_only_the_two_signed_files_are_adopted(device):
    folder = device.store.stage(ref("a"))
    (folder / "model.tflite").write_bytes(content("a"))
    (folder / "manifest.json").write_bytes(b"{}")
    (folder / "extra").mkdir()
    adopted = device.store.adopt(ref("a"))
    assert {path.name for path in adopted.folder.iterdir()} == {"model.tflite", "manifest.json", "seal.json"}


def test_what_is_not_staged_cannot_be_adopted(device):
    with pytest.raises(ModelStoreBroken):
        device.store.adopt(ref("a"))


def test_the_built_in_model_can_be_returned_to(device):
    device.repository.allowed = (BORN,)
    facts = device.update(wanted(BORN, version=3))
    assert (facts.state, facts.running) == (UpdateState.COMMITTED, BORN)
    device.restart()
    assert device.live.running.ref == BORN


@given(st.binary(max_size=300))
def test_any_bytes_for_a_record(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("record") / "update.json"
    path.write_bytes(data)
    records = UpdateRecordFile(path)
    with pytest.raises(ModelStoreBroken, match="set aside"):
        records.load()
    assert records.load() is None
    assert path.with_name("update.json.corrupt").read_bytes() == data


def test_a_torn_or_endless_record_leaves_the_device_on_its_model(device):
    path = device.folder / "data/update.json"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole + b" " * MAX_BYTES):
        path.write_bytes(damaged)
        device.errors.clear()
        device.restart()
        assert device.booted.state is UpdateState.IDLE
        assert device.live.running.ref == NEW
        assert [error.name for error in device.errors] == ["ModelStoreBroken"]


def test_a_record_comes_back_as_it_was(device):
    assert device.records.load() == device.booted


def test_quarantine_is_bounded():
    record = UpdateRecord()
    for number in range(MAX_QUARANTINED + 5):
        record = record.model_copy(update={"quarantined": record.quarantining(ref(str(number)).digest)})
    again = record.quarantining(ref("5").digest)
    assert len(record.quarantined) == MAX_QUARANTINED
    assert (again[-1], len(again)) == (ref("5").digest, MAX_QUARANTINED)


@given(st.text(max_size=700))
def test_any_reason_can_be_reported(text):
    assert UpdateRecord(reason=plain(text)).reason == plain(text)
