import numpy as np
import pytest

from tests.workbench.replay.scripted import ScriptedDetector, detections
from workbench.errors import MemoryUnusable
from workbench.replay.memory import Memory, RememberingDetector


def picture(grey=10, shape=(20, 30, 3)):
    return np.full(shape, grey, np.uint8)


def test_a_picture_is_judged_once_over_processes(tmp_path):
    model = ScriptedDetector([detections((0.1, 0.2, 0.3, 0.4, 0.9), (0.5, 0.5, 0.6, 0.6, 0.3))])
    for _ in range(2):
        with Memory(tmp_path / "kept" / "detections.db") as memory:
            detector = RememberingDetector(model, "a", memory)
            found = detector.detect(picture(), 0.25)
            assert found.boxes == pytest.approx(np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.6, 0.6]]))
            assert found.scores == pytest.approx(np.array([0.9, 0.3]))
            assert [found.label(row) for row in range(2)] == ["person", "person"]
            assert len(detector.detect(picture(), 0.5)) == 1
    assert model.asked == 1


@pytest.mark.parametrize("other", [picture(11), picture(10, (30, 20, 3)), picture(10, (20, 31, 3))])
def test_another_picture_is_judged_by_itself(other):
    model = ScriptedDetector([detections((0, 0, 1, 1, 0.9)), detections()])
    with Memory(None) as memory:
        detector = RememberingDetector(model, "a", memory)
        assert len(detector.detect(picture(), 0.1)) == 1
        assert len(detector.detect(other, 0.1)) == 0
        assert (detector.asked, detector.judged) == (2, 2)


def test_another_model_is_asked_itself():
    with Memory(None) as memory:
        first = RememberingDetector(ScriptedDetector([detections((0, 0, 1, 1, 0.9))]), "a", memory)
        second = RememberingDetector(ScriptedDetector([detections()]), "b", memory)
        assert [len(one.detect(picture(), 0.1)) for one in (first, second)] == [1, 0]


def test_a_part_of_a_frame_is_the_same_picture_as_its_copy():
    frame = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    model = ScriptedDetector([detections()])
    with Memory(None) as memory:
        detector = RememberingDetector(model, "a", memory)
        detector.detect(frame[5:15, 5:15], 0.1)
        detector.detect(frame[5:15, 5:15].copy(), 0.1)
    assert model.asked == 1


def test_a_file_that_is_no_memory_is_said_with_a_mend(tmp_path):
    file = tmp_path / "detections.db"
    file.write_bytes(b"this was something else" * 100)
    with pytest.raises(MemoryUnusable, match=r"detections\.db") as refused:
        Memory(file)
    assert "--cache" in refused.value.mend


def test_a_folder_that_can_t_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MemoryUnusable):
        Memory(tmp_path / "file" / "detections.db")
