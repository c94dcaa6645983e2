"""The reader against sound, foreign, truncated and mutated files."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vision.shared import shared
from tests.vision.tiny_models import PICTURE, Spec, build, metadata
from vision.errors import ModelMissing, ModelRefused, ModelUnreadable
from vision.tflite_file import EXP, POSTPROCESS, read_tflite

OUTPUT = Spec((1, 84, 7), "int8", 0.25, -3)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "m.tflite"
    build(
        path,
        [Spec((1, 64, 64, 3), "uint8", 0.5, 128)],
        [OUTPUT],
        extra_codes=[EXP],
        metadata=metadata(mean=[127.5], std=[127.5]),
        attached={"labels.txt": b"person\n???\ncar\n"},
    )
    return path.read_bytes()


def write(folder: Path, data: bytes) -> Path:
    path = folder / "m.tflite"
    path.write_bytes(data)
    return path


def test_tensors_operators_and_metadata_are_read(sound: bytes, tmp_path: Path) -> None:
    file = read_tflite(write(tmp_path, sound))
    assert [(t.shape, t.dtype.name, t.scale, t.zero_point) for t in file.inputs] == [
        ((1, 64, 64, 3), "uint8", 0.5, 128)
    ]
    assert [(t.name, t.shape, t.dtype.name, t.scale, t.zero_point) for t in file.outputs] == [
        ("tensor:0", (1, 84, 7), "int8", 0.25, -3)
    ]
    assert EXP in file.operators
    assert file.postprocess is None
    assert file.metadata is not None
    assert (file.metadata.mean, file.metadata.std) == ((127.5,), (127.5,))
    assert file.metadata.labels == ("person", "", "car")
    assert (file.metadata.name, file.metadata.licence) == ("a model", "Apache-2.0")


def test_a_public_model_with_metadata() -> None:
    file = read_tflite(shared("models/ssd_mobilenet_v1_1_metadata_1.tflite"))
    assert file.inputs[0].scale == pytest.approx(1 / 128)
    assert file.postprocess == (0, 1, 2, 3)
    assert file.metadata is not None
    assert file.metadata.labels[:2] == ("", "person")
    assert file.metadata.background_first


def test_the_postprocess_operator_tells_which_output_is_which(tmp_path: Path) -> None:
    outputs = [Spec((1, 10, 4)), Spec((1, 10)), Spec((1, 10)), Spec((1,))]
    path = build(tmp_path / "m.tflite", [PICTURE], outputs, custom=POSTPROCESS)
    file = read_tflite(path)
    assert file.postprocess == (3, 2, 1, 0)
    assert [file.outputs[place].name for place in file.postprocess] == [f"tensor:{place}" for place in range(4)]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="there is no model at"):
        read_tflite(tmp_path / "none.tflite")


@pytest.mark.parametrize("data", [b"", b"TFL3", b"PK\x03\x04" + b"\0" * 64, b"\x89PNG\r\n\x1a\n" * 9])
def test_files_of_other_kinds(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable):
        read_tflite(write(tmp_path, data))


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable):
        read_tflite(tmp_path)


def test_every_truncation_is_unreadable_or_lacks_only_its_labels(sound: bytes, tmp_path: Path) -> None:
    read = 0
    for length in range(0, len(sound), 3):
        try:
            read_tflite(write(tmp_path, sound[:length]))
            read += 1
        except (ModelUnreadable, ModelRefused):
            continue
    assert read == 0


def survives(path: Path) -> bool:
    """Whether a damaged file is read or refused in our own words; anything else fails the test."""
    try:
        read_tflite(path)
    except (ModelUnreadable, ModelRefused):
        return False
    return True


def test_thousands_of_mutations_raise_nothing_else(sound: bytes, tmp_path: Path) -> None:
    chance = random.Random(20260101)
    hostile = [0, 1, 0x7F, 0x80, 0xFF]
    refused = 0
    for _ in range(2000):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data))
            if chance.random() < 0.5:
                data[at] = chance.choice(hostile)
            else:
                word = struct.pack("<I", chance.choice([0, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data)]))
                data[at : at + 4] = word
        refused += not survives(write(tmp_path, bytes(data)))
    assert refused > 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_noise_behind_the_identifier(data: bytes, tmp_path: Path) -> None:
    survives(write(tmp_path, data[:4].ljust(4, b"\x10") + b"TFL3" + data[4:]))


def test_a_hostile_length_costs_no_memory(sound: bytes, tmp_path: Path) -> None:
    worst = 0
    for at in range(0, min(len(sound), 600), 4):
        path = write(tmp_path, sound[:at] + b"\xff\xff\xff\x7f" + sound[at + 4 :])
        tracemalloc.start()
        survives(path)
        worst = max(worst, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert worst < 8 << 20


def with_labels(tmp_path: Path, labels: bytes, name: str = "labels.txt") -> Path:
    return build(tmp_path / "m.tflite", [PICTURE], [OUTPUT], metadata=metadata(), attached={name: labels})


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (b"person\n\x1b[2Jcar\n", "label 2 inside the model can't be used.*U\\+001B"),
        ("person\n\u202ecar\n".encode(), "U\\+202E"),
        (b"x" * 65, "at most 64"),
        (b"a\n" * 5000, "5000 labels"),
        (b"{'names': 7}", "no readable `names`"),
        (b"{'names': {0: 'a', 2: 'b'}}", "no readable `names`"),
    ],
)
def test_labels_that_can_not_be_shown_are_refused(labels: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=why):
        read_tflite(with_labels(tmp_path, labels))


def test_labels_with_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    found = read_tflite(with_labels(tmp_path, "\ufeffperson\r\nvélo\r\n".encode())).metadata
    assert found is not None
    assert found.labels == ("person", "vélo")


def test_labels_in_an_ultralytics_description(tmp_path: Path) -> None:
    text = b"{'description': 'x', 'stride': 32, 'names': {0: 'person', 1: \"driver's seat\"}, 'imgsz': [64, 64]}"
    found = read_tflite(with_labels(tmp_path, text)).metadata
    assert found is not None
    assert found.labels == ("person", "driver's seat")


def test_a_label_file_that_is_not_attached(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=r"labels\.txt"):
        read_tflite(with_labels(tmp_path, b"person", name="other.txt"))
    path = build(tmp_path / "n.tflite", [PICTURE], [OUTPUT], metadata=metadata())
    with pytest.raises(ModelUnreadable, match="no archive is attached"):
        read_tflite(path)


def test_a_label_file_that_unpacks_without_end(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match="is over"):
        read_tflite(with_labels(tmp_path, b"\0" * (64 << 20)))


def test_an_archive_with_a_directory_without_end(tmp_path: Path) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as many:
        for index in range(2000):
            many.writestr(f"{index}", b"")
        many.writestr("labels.txt", b"person")
    path = build(tmp_path / "m.tflite", [PICTURE], [OUTPUT], metadata=metadata())
    path.write_bytes(path.read_bytes() + out.getvalue())
    with pytest.raises(ModelUnreadable, match="too long"):
        read_tflite(path)


def test_damaged_archives_raise_nothing_else(tmp_path: Path) -> None:
    path = with_labels(tmp_path, b"person\ncar\n" * 40)
    data = path.read_bytes()
    start = data.index(b"PK\x03\x04")
    chance = random.Random(7)
    refused = 0
    for _ in range(600):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            broken[chance.randrange(start, len(broken))] = chance.randrange(256)
        refused += not survives(write(tmp_path, bytes(broken)))
    assert refused > 100


def test_tensor_types_that_no_detector_has(tmp_path: Path) -> None:
    path = build(tmp_path / "m.tflite", [PICTURE], [Spec((1, 2), "complex64")])
    with pytest.raises(ModelRefused, match="type number 8"):
        read_tflite(path)


def test_metadata_of_another_kind(tmp_path: Path) -> None:
    path = build(tmp_path / "m.tflite", [PICTURE], [OUTPUT], metadata=b"\x08\0\0\0M999" + b"\0" * 16)
    with pytest.raises(ModelUnreadable, match="M001"):
        read_tflite(path)
