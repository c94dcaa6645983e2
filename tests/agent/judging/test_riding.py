"""What the tracker is told of answers: where what they found has gone since."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.decide.masks import MaskFilter
from agent.detect.flow import Flow
from agent.domain import Found, Report
from agent.judging.lane import Lane
from agent.judging.riding import tell
from agent.track import Tracker, TrackSettings
from agent.track.carrying import Heard
from tests.agent.track.test_tracker import found

ONE, OTHER, THIRD = (0.1, 0.2, 0.2, 0.5), (0.4, 0.2, 0.5, 0.5), (0.7, 0.4, 0.8, 0.7)
WALL = np.kron(np.random.default_rng(5).integers(0, 255, (72, 96, 3), np.uint8), np.ones((4, 4, 1), np.uint8))


class HearingTracker(Tracker):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(TrackSettings())
        self.heard: list[tuple[str, Heard]] = []

    def hear(self, report: Report, heard: Heard | None = None) -> None:
        """Keep it."""
        assert heard is not None
        self.heard.append((report.question_id, heard))


class CountedFlow(Flow):
    """Counts how often it is asked."""

    asked_since = 0
    boxes = ()

    def since(self, at, boxes):
        self.asked_since += 1
        self.boxes = boxes
        return super().since(at, boxes)


def report(question, at, *boxes):
    return Report(question, None, at, (0.0, 0.0, 1.0, 1.0), tuple(Found("person", 0.9, box) for box in boxes), {})


def detections(*boxes):
    return found(*(("person", 0.9, *box) for box in boxes))


def lane(flow):
    return Lane(HearingTracker(), MaskFilter((), "front"), flow=flow)


def test_what_several_answers_found_in_one_frame_is_followed_at_once_and_told_in_their_order():
    flow = CountedFlow()
    flow.asked(WALL, 5.0)
    flow.see(np.roll(WALL, 6, axis=1), 5.1)
    flow.asked(np.roll(WALL, 6, axis=1), 5.1)
    flow.see(np.roll(WALL, 10, axis=1), 5.2)
    scene = lane(flow)
    tell(scene, [report("a", 5.0, ONE, OTHER), report("b", 5.1, THIRD), report("c", 5.0, THIRD)])
    assert flow.asked_since == 2
    heard = scene.tracker.heard
    assert [question for question, _ in heard] == ["a", "b", "c"]
    went = [[round(384 * (found.gone[0] - found.box[0])) for found in one.news] for _, one in heard]
    assert went == [[10, 10], [4], [10]]


def test_what_is_an_objects_that_has_ridden_since_goes_as_far_as_that_and_is_not_followed():
    flow = CountedFlow()
    flow.asked(WALL, 5.0)
    flow.see(np.roll(WALL, 8, axis=1), 5.2)
    scene = lane(flow)
    tracker = scene.tracker
    tracker.update(detections(ONE, OTHER), 5.0)
    known = {1: ONE, 2: OTHER}
    Tracker.hear(tracker, replace(report("a", 5.0, ONE), known=known), Heard({1: Found("person", 0.9, ONE, ONE)}, ()))
    ridden = tuple(side + step for side, step in zip(ONE, (0.05, 0, 0.05, 0), strict=True))
    tracker.ride({1: ridden}, 5.2)
    tell(scene, [replace(report("b", 5.0, ONE, OTHER), known=known)])
    assert flow.boxes == [OTHER]
    ((_, heard),) = tracker.heard
    assert heard.words[1].gone == pytest.approx(ridden)
    assert heard.words[2].gone[0] - OTHER[0] == pytest.approx(8 / 384, abs=0.003)


def test_what_changes_nothing_is_not_followed():
    flow = CountedFlow()
    flow.asked(WALL, 5.0)
    flow.see(WALL, 5.1)
    scene = lane(flow)
    doubtful = replace(report("a", 5.0, ONE, OTHER), found=(Found("person", 0.9, ONE), Found("person", 0.4, OTHER)))
    tell(scene, [doubtful])
    assert flow.boxes == [ONE]


def test_without_pictures_the_tracker_is_told_all_the_same():
    scene = lane(None)
    tell(scene, [report("a", 5.0, ONE)])
    assert scene.tracker.heard == [("a", Heard({}, (Found("person", 0.9, ONE),)))]
