import json

import pytest

from bench.accuracy import average_precision, read_detections, read_truths

MOT = """1,1,10,10,20,40,1,0,0,0
1,2,60,10,20,40,0,0,0,0
2,1,12,10,20,40,1,0,0,0
"""


@pytest.fixture
def truths(tmp_path):
    (tmp_path / "gt.txt").write_text(MOT)
    return read_truths(tmp_path / "gt.txt")


def detections(tmp_path, *frames):
    lines = [
        {"frame": i, "t_ms": 0.0, "detections": [{"label": "person", "score": s, "box": b} for s, b in found]}
        for i, found in enumerate(frames)
    ]
    (tmp_path / "out.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return read_detections(tmp_path / "out.jsonl", "person", 100, 100)


def test_mot_frames_are_counted_from_one_and_ours_from_zero(truths):
    assert sorted(truths) == [0, 1]


def test_finding_all_is_one(truths, tmp_path):
    found = detections(tmp_path, [(0.9, [0.1, 0.1, 0.3, 0.5])], [(0.8, [0.12, 0.1, 0.32, 0.5])])
    assert average_precision(truths, found, [0, 1]).ap50 == pytest.approx(1.0)


def test_an_ignored_label_neither_helps_nor_harms(truths, tmp_path):
    found = detections(
        tmp_path, [(0.95, [0.6, 0.1, 0.8, 0.5]), (0.9, [0.1, 0.1, 0.3, 0.5])], [(0.8, [0.12, 0.1, 0.32, 0.5])]
    )
    got = average_precision(truths, found, [0, 1])
    assert (got.ap50, got.labelled) == (pytest.approx(1.0), 2)


def test_a_second_box_on_one_object_is_wrong_and_a_missed_object_costs_recall(truths, tmp_path):
    found = detections(tmp_path, [(0.9, [0.1, 0.1, 0.3, 0.5]), (0.95, [0.11, 0.1, 0.31, 0.5])], [])
    got = average_precision(truths, found, [0, 1])
    assert got.ap50 == pytest.approx(0.5)
    assert got.best_score == 0.95


def test_a_false_box_before_a_right_one_halves_its_precision(truths, tmp_path):
    found = detections(tmp_path, [(0.9, [0.4, 0.6, 0.5, 0.9]), (0.8, [0.1, 0.1, 0.3, 0.5])], [])
    assert average_precision(truths, found, [0]).ap50 == pytest.approx(0.5)
