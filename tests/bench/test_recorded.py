import numpy as np
import pytest

from bench.recorded import RecordedDetector
from vision.detections import Detections

LABELS = ("person",)


class Counting:
    """A model whose one box says where in the frame it looked: its score is the picture's first pixel."""

    labels = LABELS

    class manifest:  # noqa: N801 - stands for an attribute
        digest = "sha256:one"

    def __init__(self):
        self.ran = 0

    def detect(self, image, min_score):
        self.ran += 1
        scores = np.array([image[0, 0, 0] / 255, 0.15], np.float32)
        return Detections(np.tile(np.float32([0, 0, 1, 1]), (2, 1)), scores, np.zeros(2, np.int32), LABELS)


@pytest.fixture
def image():
    return np.arange(20 * 30, dtype=np.uint16).reshape(20, 30, 1).repeat(3, 2).astype(np.uint8)


@pytest.fixture
def model():
    return Counting()


def test_each_part_of_each_frame_is_asked_once(tmp_path, image, model):
    detector = RecordedDetector(model, tmp_path / "r.npz")
    for frame in (0, 1):
        detector.show(frame, image)
        for part in (image, image[5:10, 7:20], image[5:10, 7:20], image[4:10, 7:20]):
            assert detector.detect(part, 0.0).scores[0] == np.float32(part[0, 0, 0] / 255)
    assert (model.ran, detector.asked) == (6, 8)
    assert detector.spent_s > 0


def test_low_scores_are_kept_for_those_who_ask_for_them(tmp_path, image, model):
    detector = RecordedDetector(model, tmp_path / "r.npz")
    detector.show(0, image)
    part = image[6:, 20:]
    assert [len(detector.detect(part, floor)) for floor in (0.5, 0.1)] == [1, 2]


def test_what_was_saved_is_not_asked_again(tmp_path, image, model):
    file = tmp_path / "made" / "r.npz"
    first = RecordedDetector(model, file)
    first.show(3, image)
    before = first.detect(image[2:9, 4:], 0.0)
    first.save()
    again = RecordedDetector(model, file)
    again.show(3, image)
    after = again.detect(image[2:9, 4:], 0.0)
    assert model.ran == 1
    assert after.boxes.tolist() == before.boxes.tolist()
    assert after.scores.tolist() == before.scores.tolist()


def test_another_models_answers_are_not_used(tmp_path, image, model):
    file = tmp_path / "r.npz"
    first = RecordedDetector(model, file)
    first.show(0, image)
    first.detect(image, 0.0)
    first.save()
    other = Counting()
    other.manifest = type("manifest", (), {"digest": "sha256:other"})
    again = RecordedDetector(other, file)
    again.show(0, image)
    again.detect(image, 0.0)
    assert other.ran == 1
