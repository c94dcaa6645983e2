import json

import numpy as np
import pytest

from cloud.registry.errors import LabelsUnreadable
from workbench.errors import LabelsMissing
from workbench.replay.labels import read_labels

CLIP = range(100)


def mot(tmp_path, *lines):
    file = tmp_path / "gt.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def coco(tmp_path, *, names=("000000.jpg", "000004.jpg"), **annotation):
    file = tmp_path / "labels.json"
    boxes = [
        {"id": i, "image_id": 2, "category_id": category, "bbox": [10, 20, 30, 40], **annotation}
        for i, category in enumerate((1, 1, 2))
    ]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names, 1)]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}]
    file.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return file


def test_mot_s_frames_are_counted_from_one(tmp_path):
    found = read_labels(
        mot(tmp_path, "1,7,10,20,30,40,1", "3,7,11,20,30,40,1"), tmp_path / "clip.avi", CLIP, "person"
    )
    assert found.frames == {0, 1, 2}
    assert found.truths["person"][0].boxes.tolist() == [[10, 20, 40, 60]]
    assert found.names == ("person",)


def test_mot_s_confidence_zero_counts_neither_way(tmp_path):
    found = read_labels(mot(tmp_path, "1,7,10,20,30,40,0", "1,8,1,2,3,4,1"), tmp_path / "clip.avi", CLIP, "person")
    assert found.truths["person"][0].counts.tolist() == [False, True]


def test_mot_says_who_is_who(tmp_path):
    lines = ("1,7,10,20,30,40,1", "", "1,12,50,20,30,40,1", "2,12,52,20,30,40,1")
    people = read_labels(mot(tmp_path, *lines), tmp_path / "clip.avi", CLIP, "person").people["person"]
    assert people[0].ids[1] == people[1].ids[0] != people[0].ids[0]


def test_coco_s_images_of_a_video_are_named_by_their_frame(tmp_path):
    found = read_labels(coco(tmp_path), tmp_path / "clip.avi", CLIP, "person")
    assert found.frames == {0, 4}
    assert len(found.truths["person"][4].boxes) == 2
    assert len(found.truths["car"][4].boxes) == 1
    assert found.people == {}


def test_coco_s_images_of_a_folder_are_its_files(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b.png", "a.jpg", "notes.txt"):
        (folder / name).touch()
    found = read_labels(coco(tmp_path, names=("a.jpg", "b.png")), folder, CLIP, "person")
    assert found.frames == {0, 1}
    assert list(found.truths["person"]) == [1]


def test_coco_s_crowds_are_kept_apart(tmp_path):
    found = read_labels(coco(tmp_path, iscrowd=1), tmp_path / "clip.avi", CLIP, "person")
    truth = found.truths["person"][4]
    assert (len(truth.boxes), len(truth.crowds)) == (0, 2)
    assert found.names == ()


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda folder: mot(folder, "1,7,ten,20,30,40,1"), LabelsUnreadable, "no line of MOT's"),
        (lambda folder: mot(folder, "900,7,10,20,30,40,1"), LabelsMissing, "none of the frames 0 to 99"),
        (lambda folder: coco(folder, names=("first.jpg", "second.jpg")), LabelsMissing, "ends in no number"),
        (lambda folder: folder / "nowhere.txt", LabelsUnreadable, "can't be read"),
    ],
    ids=["not MOT", "other frames", "no number", "no file"],
)
def test_labels_that_don_t_fit_are_refused_with_a_mend(tmp_path, make, error, said):
    with pytest.raises(error, match=said) as refused:
        read_labels(make(tmp_path), tmp_path / "clip.avi", CLIP, "person")
    assert refused.value.mend


def test_coco_s_images_that_a_folder_lacks_are_named(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(LabelsMissing, match=r"000000\.jpg, which is not in"):
        read_labels(coco(tmp_path), folder, CLIP, "person")


def test_only_what_is_looked_for_is_measured(tmp_path):
    found = read_labels(coco(tmp_path), tmp_path / "clip.avi", CLIP, "person")
    assert found.only(["car", "bus"]).names == ("car",)
    with pytest.raises(LabelsMissing, match="the labels know car, person, and what is looked for is bus"):
        found.only(["bus"])


def test_truths_are_arrays_even_where_nothing_is(tmp_path):
    truth = read_labels(coco(tmp_path, iscrowd=1), tmp_path / "clip.avi", CLIP, "person").truths["person"][4]
    assert truth.boxes.shape == (0, 4)
    assert truth.counts.dtype == np.bool_
