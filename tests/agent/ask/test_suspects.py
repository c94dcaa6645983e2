from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.ask.suspects import GONE_S, MOST, Movers, Places, Sign, weak_signs
from agent.domain import Track, Word
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


def suspected_again_after(word, box=BOX):
    """How often a place is suspected that was asked about at .3 s, if something is followed there until 2 s."""
    seen = places()
    times = 0
    for step in range(100):
        now = step / 10
        there = (replace(track(box), word=word),) if 0.6 <= now < 2.0 else ()
        seen.note([Sign(BOX)], there, now)
        if step == 3:
            seen.asked((0.3, 0.3, 0.6, 0.7), now)
        elif step > 3 and seen.suspects(there, now):
            times += 1
            seen.asked((0.3, 0.3, 0.6, 0.7), now)
    return times


def test_where_the_cloud_saw_something_is_asked_about_again_once_it_is_not_followed_any_more():
    assert suspected_again_after(Word("0" * 32, 0.3, "person", 0.8)) == 1


@pytest.mark.parametrize(
    ("word", "box"),
    [
        (None, BOX),
        (Word("0" * 32, 0.3, None, 0.1), BOX),
        (Word("0" * 32, 0.2, "person", 0.8), BOX),
        (Word("0" * 32, 0.3, "person", 0.8), (0.415, 0.4, 0.445, 0.7)),
    ],
)
def test_where_it_saw_nothing_or_something_else_the_place_rests(word, box):
    assert suspected_again_after(word, box) == 0


def test_a_sky_full_of_signs_is_bounded():
    seen = places()
    for step in range(4):
        seen.note([Sign((n / 100, 0.1, n / 100 + 0.005, 0.2)) for n in range(100)], (), step / 10)
    assert len(seen.suspects((), 0.3)) == MOST


def moving(seen, step_px, count=6, start=0.0, every=0.3):
    """Where something 30 pixels wide of 1,000 that goes so far between two signs was suspected, by sign."""
    found = []
    for k in range(count):
        x = 0.2 + k * step_px / 1000
        seen.note([Sign((x, 0.4, x + 0.03, 0.48))], (), start + k * every)
        found.append([suspect.box[0] for suspect in seen.suspects((), start + k * every)])
    return found


def paths():
    return Movers(AskReason.MOTION, least_signs=3, least_s=0.5, again_s=5.0)


@pytest.mark.parametrize("step_px", [12, 30, 40])
def test_who_walks_is_suspected_where_he_is_by_now(step_px):
    found = moving(paths(), step_px)
    assert found[:2] == [[], []]
    assert found[5] == [pytest.approx(0.2 + 5 * step_px / 1000)]


@pytest.mark.parametrize("step_px", [0, 2, 60])
def test_what_stays_or_jumps_about_is_not_taken_for_somebody_who_walks(step_px):
    assert moving(paths(), step_px) == [[]] * 6


def test_who_was_asked_about_is_so_again_after_a_rest_as_long_as_he_goes_on():
    seen = paths()
    moving(seen, 10, count=6)
    seen.asked((0.2, 0.3, 0.3, 0.5), 1.5)
    later = [moving_on(seen, 0.25 + k / 100, 1.8 + 0.3 * k) for k in range(20)]
    assert [k for k, found in enumerate(later) if found] == list(range(16, 20))
    assert moving(seen, 10, start=20.0)[:2] == [[], []], "who went away is forgotten at once"


def moving_on(seen, x, now, **values):
    seen.note([Sign((x, 0.4, x + 0.03, 0.48), **values)], (), now)
    return seen.suspects((), now)


def test_who_passes_by_is_not_suspected_until_nothing_has_told_so_for_a_while():
    seen = paths()
    told = [moving_on(seen, 0.2 + k / 100, 0.3 * k, passing=True) for k in range(20)]
    assert not any(told)
    later = [moving_on(seen, 0.2 + k / 100, 0.3 * k) for k in range(20, 45)]
    assert [k for k, found in enumerate(later, 20) if found] == list(range(36, 45))


def walked_on_after(*places, at=1.5):
    """After how many steps who was asked about at 1.5 s is suspected again, where the cloud saw others here."""
    seen = paths()
    moving(seen, 10, count=6)
    seen.asked((0.2, 0.3, 0.3, 0.5), 1.5)
    seen.known_to_pass(places, at)
    later = [moving_on(seen, 0.25 + k / 100, 1.8 + 0.3 * k) for k in range(40)]
    return next((k for k, found in enumerate(later) if found), None)


THERE = (0.25, 0.4, 0.28, 0.48)
"""Where he is when he is asked about."""


def test_who_passes_by_for_the_cloud_is_not_suspected_again_for_as_long_as_he_is_followed():
    assert walked_on_after((0.9, 0.9, 1.0, 1.0), THERE) is None
    assert walked_on_after() == 16
    assert walked_on_after((0.9, 0.9, 1.0, 1.0)) == 16, "that is elsewhere"
    assert walked_on_after(THERE, at=1.2) == 16, "that is said of another frame"


def test_what_stands_where_he_goes_past_is_not_taken_for_him():
    assert walked_on_after((0.1, 0.3, 0.5, 0.5)) == 16


def test_only_what_is_too_weak_for_an_object_is_a_sign():
    boxes = np.array([BOX, (0.1, 0.1, 0.2, 0.2)], np.float32)
    found = Detections(boxes, np.array([0.9, 0.25], np.float32), np.array([0, 0], np.int32), ("person",))
    (sign,) = weak_signs(found, 0.35)
    assert sign.label == "person"
    assert abs(sign.score - 0.25) < 1e-6
