import numpy as np
import pytest

from agent.detect.passing import PassersBy
from vision.detections import Detections

LABELS = ("person", "car")
CARS = frozenset({"car"})
SURE_FROM = 0.65
WALKER = (0.1, 0.4, 0.15, 0.6)
PARKED = (0.5, 0.4, 0.7, 0.6)


def seen(*objects):
    """Of each a label, a score and a box."""
    return Detections(
        np.array([box for _, _, box in objects], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in objects], np.float32),
        np.array([LABELS.index(label) for label, _, _ in objects], np.int32),
        LABELS,
    )


def at(box, step):
    """Where it is after so many frames of .2 s, half of a walker's width each."""
    return (box[0] + 0.025 * step, box[1], box[2] + 0.025 * step, box[3])


def after(*frames, labels=CARS, every_s=0.2):
    """Who passes by after frames that show these."""
    passers = PassersBy()
    for step, objects in enumerate(frames):
        passers.note(seen(*objects), labels, SURE_FROM, 100.0 + step * every_s)
    return [pytest.approx(box, abs=1e-6) for box in passers.boxes()]


def walk(score=0.9, count=8, label="person"):
    return [[(label, score, at(WALKER, step))] for step in range(count)]


def test_who_is_seen_surely_and_goes_about_passes_by_where_no_rule_looks_for_him():
    assert at(WALKER, 7) in after(*walk())
    assert after(*walk(), labels=frozenset({"person"})) == []
    assert after() == []


@pytest.mark.parametrize(("score", "passes"), [(0.64, False), (0.66, True)])
def test_only_of_what_the_model_is_sure(score, passes):
    assert bool(after(*walk(score))) == passes


def test_what_stands_does_not_pass_by_though_it_is_seen_surely_only_now_and_then():
    def frames(scores):
        return [[("person", score, PARKED)] for score in scores]

    assert after(*frames([0.9] * 8)) == []
    assert after(*frames([0.3] * 7 + [0.9])) == []
    assert after(*frames([0.9, 0.9]), [], [], *frames([0.9] * 3)) == []
    assert after([], [], [], [], *frames([0.9] * 3)) == [PARKED, PARKED], "it has come just now"


def test_until_it_is_known_what_stands_nobody_passes_by():
    assert after(*walk(count=5)) == []
    assert after(*walk(count=6)) != []
    assert after(*walk(count=6), every_s=2.0) == [], "the frame before is too long ago"


def test_who_is_missed_in_one_frame_passes_by_still():
    assert after(*walk(), []) == [at(WALKER, 7)]
    assert after(*walk(), [], []) == []


def test_what_may_be_what_a_rule_looks_for_does_not_pass_by():
    doubtful = [[*objects, ("car", 0.2, objects[0][2])] for objects in walk()]
    assert after(*doubtful) == []
    beside = [[*objects, ("car", 0.9, PARKED)] for objects in walk()]
    assert after(*beside) != []


def test_a_clock_that_goes_back_begins_anew():
    passers = PassersBy()
    for now in (100.0, 101.0, 50.0):
        passers.note(seen(("person", 0.9, at(WALKER, now))), CARS, SURE_FROM, now)
    assert passers.boxes() == []
