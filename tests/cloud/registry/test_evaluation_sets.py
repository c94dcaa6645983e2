"""What may be an evaluation set, how everything else is refused, and that only whole ones are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cloud.registry.errors import (
    BoxOutside,
    ClassUnknown,
    EvaluationSetExists,
    EvaluationSetRefused,
    EvaluationSetUnknown,
    LabelsUnreadable,
    PictureAbsent,
    PictureTorn,
    RegistryBroken,
)
from cloud.registry.evaluation.building import Sources
from cloud.registry.evaluation.document import Kind
from cloud.registry.evaluation.shelf import EvaluationSets
from cloud.registry.layout import RegistryFolder
from tests.cloud.registry.labelled import FOUND, nothing, picture, write_coco, write_video

HERE = {"id": 1, "image_id": 0, "category_id": 7, "bbox": FOUND}


@pytest.fixture
def folder(tmp_path: Path) -> RegistryFolder:
    return RegistryFolder(tmp_path / "registry")


@pytest.fixture
def sets(folder: RegistryFolder) -> EvaluationSets:
    return EvaluationSets(folder)


def refused(sets: EvaluationSets, folder: RegistryFolder, sources: Sources, error: type[Exception], *said: str):
    with pytest.raises(error) as caught:
        sets.add("yard", sources, nothing)
    assert type(caught.value) is error
    for part in said:
        assert part in caught.value.what, caught.value.what
    assert caught.value.mend
    assert sets.all() == []
    assert [file.name for file in folder.root.rglob("*") if file.is_file()] == ["lock"]


def test_coco_set_is_kept_with_its_pictures_and_digest(sets: EvaluationSets, folder: RegistryFolder, tmp_path: Path):
    progress = []
    made = sets.add("yard", write_coco(tmp_path / "set"), lambda done, of: progress.append((done, of)))
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert (made.labels, made.clip, made.objects()) == (("person",), None, [0, 0])
    assert [len(each.boxes) for each in made.pictures] == [1, 1, 0]
    shutil.rmtree(tmp_path / "set")
    assert sets.get("yard") == made
    assert sets.all() == [made]
    kept = {file.read_bytes() for file in (sets.folder_of("yard") / "pictures").iterdir()}
    assert kept == {picture(90), picture(91), picture(92)}
    assert list(folder.root.glob(".*")) == []


def test_same_set_again_is_harmless_and_another_under_its_name_is_refused(sets: EvaluationSets, tmp_path: Path):
    made = sets.add("yard", write_coco(tmp_path / "set"), nothing)
    assert sets.add("yard", write_coco(tmp_path / "again"), nothing) == made
    assert sets.add("other", write_coco(tmp_path / "set"), nothing).digest == made.digest
    changed = write_coco(tmp_path / "set", annotations=[HERE])
    with pytest.raises(EvaluationSetExists, match="yard"):
        sets.add("yard", changed, nothing)
    assert sets.get("yard") == made
    sets.remove("yard")
    assert sets.add("yard", changed, nothing).digest != made.digest


def test_removed_set_is_gone(sets: EvaluationSets, tmp_path: Path):
    sets.add("yard", write_coco(tmp_path / "set"), nothing)
    sets.remove("yard")
    assert sets.all() == []
    for asked in (sets.get, sets.remove, sets.folder_of):
        with pytest.raises(EvaluationSetUnknown, match="yard"):
            asked("yard")
    with pytest.raises(EvaluationSetUnknown):
        sets.get("../staged")


def test_crowd_is_neither_right_nor_wrong_and_unused_classes_are_not_asked_for(sets: EvaluationSets, tmp_path: Path):
    crowd = {"id": 3, "image_id": 2, "category_id": 7, "bbox": [0, 0, 60, 40], "iscrowd": 1}
    only = {"id": 4, "image_id": 2, "category_id": 8, "bbox": [0, 0, 60, 40], "iscrowd": 1}
    made = sets.add("yard", write_coco(tmp_path / "set", annotations=[HERE, crowd, only]), nothing)
    assert made.labels == ("person",)
    assert [each.kind for each in made.pictures[2].boxes] == [Kind.CROWD]


def test_torn_pictures_are_named(sets: EvaluationSets, folder: RegistryFolder, tmp_path: Path):
    sources = write_coco(tmp_path / "set")
    for data, said in (
        (picture()[:-30], "cut off"),
        (b"", "no JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "no JPEG"),
    ):
        (sources.pictures / "b.jpg").write_bytes(data)
        refused(sets, folder, sources, PictureTorn, "b.jpg", said)


def test_picture_that_is_not_there_is_named(sets: EvaluationSets, folder: RegistryFolder, tmp_path: Path):
    sources = write_coco(tmp_path / "set")
    (sources.pictures / "b.jpg").unlink()
    refused(sets, folder, sources, PictureAbsent, "b.jpg")
    refused(sets, folder, Sources(tmp_path / "nowhere", sources.labels), PictureAbsent, "nowhere")
    stray = HERE | {"id": 9, "image_id": 55}
    refused(sets, folder, write_coco(tmp_path / "set", annotations=[stray]), PictureAbsent, "annotation 9", "55")


@pytest.mark.parametrize("bbox", [[60, 40, 9, 9], [-2, 0, 9, 9], [0, 0, 0, 9], [70, 5, 9, 9], [0, 0, 9, -3]])
def test_box_outside_its_picture_is_named(sets: EvaluationSets, folder: RegistryFolder, tmp_path: Path, bbox):
    sources = write_coco(tmp_path / "set", annotations=[HERE, HERE | {"id": 12, "bbox": bbox}])
    refused(sets, folder, sources, BoxOutside, "annotation 12", "a.jpg", "64×48")


def test_box_that_is_no_number_is_refused(sets: EvaluationSets, folder: RegistryFolder, tmp_path: Path):
    sources = write_coco(tmp_path / "set")
    sources.labels.write_text(sources.labels.read_text().replace("25.6", "NaN"))
    refused(sets, folder, sources, BoxOutside, "annotation 1")


def test_fraction_of_a_pixel_over_the_edge_is_cut_off(sets: EvaluationSets, tmp_path: Path):
    sources = write_coco(tmp_path / "set", annotations=[HERE | {"bbox": [-0.4, 40, 64.8, 8.5]}])
    [box] = sets.add("yard", sources, nothing).pictures[0].boxes
    assert box.box == (0.0, 40.0, 64.0, 48.0)


def test_unknown_class_is_named(sets: EvaluationSets, folder: RegistryFolder, tmp_path: Path):
    sources = write_coco(tmp_path / "set", annotations=[HERE | {"id": 5, "category_id": 99}])
    refused(sets, folder, sources, ClassUnknown, "annotation 5", "99")


def test_picture_of_another_size_than_was_labelled_is_named(sets, folder, tmp_path: Path):
    images = [{"id": 0, "file_name": "a.jpg", "width": 640, "height": 480}]
    sources = write_coco(tmp_path / "set", images=images, annotations=[HERE])
    refused(sets, folder, sources, EvaluationSetRefused, "64×48", "640×480")


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [{"id": 0, "file_name": "../../a.jpg"}], "annotations": [HERE]},
        {"images": [{"id": 0, "file_name": "/etc/passwd"}], "annotations": [HERE]},
        {"images": [{"id": 0, "file_name": "a.jpg"}, {"id": 0, "file_name": "b.jpg"}], "annotations": [HERE]},
        {"categories": [{"id": 7, "name": "person"}, {"id": 7, "name": "dog"}]},
        {"categories": {}},
        {"annotations": [{"image_id": 0}]},
    ],
)
def test_labels_out_of_form_are_named(sets, folder, tmp_path: Path, changes):
    refused(sets, folder, write_coco(tmp_path / "set", **changes), LabelsUnreadable, "labels.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_labels_that_are_none_are_named(sets, folder, tmp_path: Path, data):
    sources = write_coco(tmp_path / "set")
    sources.labels.write_bytes(data)
    refused(sets, folder, sources, LabelsUnreadable)
    sources.labels.unlink()
    refused(sets, folder, sources, LabelsUnreadable, "can't be read")


def test_set_that_asks_for_nothing_or_has_no_name_is_refused(sets, folder, tmp_path: Path):
    refused(sets, folder, write_coco(tmp_path / "set", annotations=[]), EvaluationSetRefused, "labels no object")
    for name in ("../up", "A", "", "a" * 41):
        with pytest.raises(EvaluationSetRefused, match="no name"):
            sets.add(name, write_coco(tmp_path / "set"), nothing)


MOT = "2,1,25.6,14.4,12.8,19.2,1,-1,-1,-1\n4,1,60,40,20,20,1,-1,-1,-1\n4,2,0,0,9,9,0,-1,-1,-1\n"
"""Frames 2 and 4 of five; what is labelled goes from the one to the other."""


def mot(folder: Path, lines: str = MOT, frames: int = 5) -> Sources:
    folder.mkdir(exist_ok=True)
    (folder / "gt.txt").write_text(lines)
    return Sources(write_video(folder / "clip.avi", frames), folder / "gt.txt", "person")


def test_labelled_video_is_kept_as_it_is(sets: EvaluationSets, tmp_path: Path):
    sources = mot(tmp_path / "set")
    made = sets.add("yard", sources, nothing)
    assert [each.name for each in made.pictures] == ["frame 2", "frame 3", "frame 4"]
    assert [each.frame for each in made.pictures] == [1, 2, 3]
    assert [[box.kind for box in each.boxes] for each in made.pictures] == [
        [Kind.OBJECT],
        [],
        [Kind.OBJECT, Kind.IGNORED],
    ]
    assert made.pictures[2].boxes[0].box == (60, 40, 64, 48)
    [kept] = (sets.folder_of("yard") / "pictures").iterdir()
    assert kept.read_bytes() == sources.pictures.read_bytes()
    assert made.clip == f"sha256:{kept.name}"


def test_numbered_frames_are_the_same_frames(sets: EvaluationSets, tmp_path: Path):
    sources = mot(tmp_path / "set")
    frames = tmp_path / "img1"
    frames.mkdir()
    for number in (1, 2, 3, 4, 5):
        (frames / f"{number:06}.jpg").write_bytes(picture(number))
    made = sets.add("yard", Sources(frames, sources.labels), nothing)
    assert [(each.name, len(each.boxes)) for each in made.pictures] == [
        ("000002.jpg", 1),
        ("000003.jpg", 0),
        ("000004.jpg", 2),
    ]
    (frames / "000002.jpg").unlink()
    with pytest.raises(PictureAbsent, match="frame 2"):
        sets.add("other", Sources(frames, sources.labels), nothing)


def test_classes_of_later_challenges(sets: EvaluationSets, tmp_path: Path):
    lines = "1,1,5,5,9,9,1,1,1\n1,2,5,5,9,9,1,7,1\n1,3,5,5,9,9,1,3,1\n1,4,5,5,9,9,0,1,1\n"
    made = sets.add("yard", mot(tmp_path / "set", lines), nothing)
    assert [box.kind for box in made.pictures[0].boxes] == [Kind.OBJECT, Kind.IGNORED, Kind.IGNORED]


@pytest.mark.parametrize(
    ("lines", "error", "said"),
    [
        ("6,1,5,5,9,9,1\n", PictureAbsent, "frame 6"),
        ("1,1,99,5,9,9,1\n", BoxOutside, "gt.txt:1"),
        ("1,1,5,5,9,9,1,14,1\n", ClassUnknown, "class 14"),
        ("1,1,5,5,9,9,1,x,1\n", ClassUnknown, "class x"),
        ("0,1,5,5,9,9,1\n", LabelsUnreadable, "counted from 1"),
        ("1,1,5,5,9\n", LabelsUnreadable, "gt.txt:1"),
        ("1,1,5,5,9,9,1\nframe,id\n", LabelsUnreadable, "gt.txt:2"),
        ("\xff\xfe", LabelsUnreadable, "gt.txt"),
        ("", EvaluationSetRefused, "labels no object"),
    ],
)
def test_wrong_lines_are_named(sets, folder, tmp_path: Path, lines, error, said):
    refused(sets, folder, mot(tmp_path / "set", lines), error, said)


def test_what_is_no_video_is_named(sets, folder, tmp_path: Path):
    sources = mot(tmp_path / "set")
    for data in (b"", b"no video" * 99, sources.pictures.read_bytes()[:600]):
        sources.pictures.write_bytes(data)
        refused(sets, folder, sources, PictureTorn, "clip.avi")
    sources.pictures.unlink()
    refused(sets, folder, sources, PictureAbsent, "clip.avi")


def test_damaged_set_is_named(sets: EvaluationSets, tmp_path: Path):
    sets.add("yard", write_coco(tmp_path / "set"), nothing)
    file = sets.folder_of("yard") / "set.json"
    document = json.loads(file.read_text())
    for data in (b"{", json.dumps(document | {"labels": []}).encode()):
        file.write_bytes(data)
        with pytest.raises(RegistryBroken, match=r"set\.json"):
            sets.get("yard")


def test_set_that_was_half_deleted_makes_room(sets: EvaluationSets, tmp_path: Path):
    sets.add("yard", write_coco(tmp_path / "set"), nothing)
    (sets.folder_of("yard") / "set.json").unlink()
    made = sets.add("yard", write_coco(tmp_path / "set", annotations=[HERE]), nothing)
    assert sets.get("yard") == made
