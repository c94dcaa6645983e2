from __future__ import annotations

import numpy as np

from agent.ask.suspects import GONE_S, MOST, Places, Sign, weak_signs
from agent.domain import Track
from vision.detections import Detections
from wire.messages import AskReason

BOX = (0.4, 0.4, 0.43, 0.6)


def places():
    return Places(AskReason.WEAK, least_signs=3, least_s=0.2, again_s=20.0)


def track(box):
    return Track(1, "person", 0.9, 0.9, box, 0.0, 0.0, 5, seen_now=True)


def test_a_place_is_suspected_after_enough_signs_over_enough_time():
    seen = places()
    for step in range(3):
        assert seen.suspects((), step / 10) == []
        seen.note([Sign(BOX, "person", 0.2 + step / 100)], (), step / 10)
    (suspect,) = seen.suspects((), 0.2)
    assert (suspect.label, suspect.score, suspect.reason) == ("person", 0.22, AskReason.WEAK)
    assert seen.suspects((track(BOX),), 0.2) == []


def test_three_signs_in_one_frame_are_one():
    seen = places()
    seen.note([Sign(BOX)] * 9, (), 0.0)
    seen.note([Sign(BOX)] * 9, (), 0.2)
    assert seen.suspects((), 0.2) == []


def test_a_place_that_falls_silent_is_forgotten_and_one_that_was_asked_about_rests():
    seen = places()
    for step in range(3):
        seen.note([Sign(BOX)], (), step / 10)
    seen.asked((0.3, 0.3, 0.6, 0.7), 0.3)
    for step in range(3, 190):
        seen.note([Sign(BOX)], (), step / 10)
        assert seen.suspects((), step / 10) == []
    seen.note([], (), 0.3 + 20.0 + 2 * GONE_S)
    assert seen.suspects((), 30.0) == []
    for step in range(3):
        seen.note([Sign(BOX)], (), 40.0 + step / 10)
    assert len(seen.suspects((), 40.2)) == 1


def test_a_sky_full_of_signs_is_bounded():
    seen = places()
    for step in range(4):
        seen.note([Sign((n / 100, 0.1, n / 100 + 0.005, 0.2)) for n in range(100)], (), step / 10)
    assert len(seen.suspects((), 0.3)) == MOST


def test_only_what_is_too_weak_for_an_object_is_a_sign():
    boxes = np.array([BOX, (0.1, 0.1, 0.2, 0.2)], np.float32)
    found = Detections(boxes, np.array([0.9, 0.25], np.float32), np.array([0, 0], np.int32), ("person",))
    (sign,) = weak_signs(found, 0.35)
    assert sign.label == "person"
    assert abs(sign.score - 0.25) < 1e-6
