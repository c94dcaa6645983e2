"""The tracker through its public door: detections in, tracks out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.track import Tracker, TrackSettings, standing
from agent.track.carrying import LOOKED_S
from vision.detections import Detections

LABELS = ("person", "car", "")


def found(*rows):
    """Detections of (label, score, x1, y1, x2, y2)."""
    rows = sorted(rows, key=lambda row: -row[1])
    return Detections(
        np.array([row[2:] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([LABELS.index(row[0]) for row in rows], np.int32),
        LABELS,
    )


def person(x, score=0.8, y=0.3):
    return ("person", score, x, y, x + 0.05, y + 0.2)


def test_one_walking_person_keeps_one_id_at_any_frame_rate():
    for fps in (2, 10, 30):
        tracker = Tracker(TrackSettings())
        ids = set()
        for k in range(4 * fps):
            tracks = tracker.update(found(person(0.1 + 0.05 * k / fps)), k / fps)
            ids |= {track.id for track in tracks}
        assert ids == {1}, fps


def test_what_a_track_says_of_itself():
    tracker = Tracker(TrackSettings())
    tracker.update(found(person(0.1, 0.7)), 5.0)
    tracker.update(found(person(0.1, 0.9)), 5.1)
    (track,) = tracker.update(found(person(0.1, 0.6)), 5.2)
    assert (track.id, track.label, track.hits, track.seen_now) == (1, "person", 3, True)
    assert track.score == pytest.approx(0.6)
    assert track.best_score == pytest.approx(0.9)
    assert (track.first_at, track.last_at) == (5.0, 5.2)
    assert track.box == pytest.approx((0.1, 0.3, 0.15, 0.5), abs=1e-3)


@pytest.mark.parametrize(("x", "same"), [(0.4, True), (0.945, False), (0.005, False)])
@pytest.mark.parametrize(("unseen_s", "both"), [(0.5, True), (1.5, False)])
def test_whoever_comes_where_somebody_left_the_picture_is_another(x, same, unseen_s, both):
    tracker = Tracker(TrackSettings())
    for k in range(5):
        (before,) = tracker.update(found(person(x)), k / 10)
    for k in range(5, round(4 + 10 * unseen_s)):
        tracker.update(found(), k / 10)
    (after,) = tracker.update(found(person(x)), 0.4 + unseen_s)
    assert (after.id == before.id) is (same or both)


def test_a_weak_detection_keeps_an_object_alive_but_begins_none():
    tracker = Tracker(TrackSettings())
    assert tracker.update(found(person(0.1, 0.25)), 0.0) == ()
    tracker.update(found(person(0.1, 0.8)), 0.1)
    (track,) = tracker.update(found(person(0.1, 0.25)), 0.2)
    assert track.hits == 2
    assert track.seen_now
    (track,) = tracker.update(found(person(0.1, 0.1)), 0.3)
    assert not track.seen_now


def test_an_unseen_object_coasts_then_hides_and_is_found_again_under_its_id():
    tracker = Tracker(TrackSettings(coast_s=0.5, max_age_s=3.0))
    for k in range(10):
        tracker.update(found(person(0.1 + 0.01 * k)), k / 10)
    (track,) = tracker.update(found(), 1.2)
    assert not track.seen_now
    assert track.box[0] > 0.19, "it is expected further along its way"
    assert tracker.update(found(), 1.6) == ()
    (track,) = tracker.update(found(person(0.25)), 2.5)
    assert (track.id, track.seen_now) == (1, True)


def test_an_object_unseen_for_too_long_is_forgotten():
    tracker = Tracker(TrackSettings(max_age_s=3.0))
    for k in range(5):
        tracker.update(found(person(0.4)), k / 10)
    (track,) = tracker.update(found(person(0.4)), 4.0)
    assert track.id == 2
    assert track.first_at == 4.0


def test_what_was_seen_once_is_forgotten_sooner():
    tracker = Tracker(TrackSettings(tentative_s=0.5, max_age_s=3.0))
    tracker.update(found(person(0.4)), 0.0)
    (track,) = tracker.update(found(person(0.4)), 1.0)
    assert track.id == 2


def test_two_who_pass_each_other_keep_their_ids():
    tracker = Tracker(TrackSettings())
    where = {}
    for k in range(41):
        left, right = 0.1 + 0.015 * k, 0.7 - 0.015 * k
        for track in tracker.update(found(person(left), person(right, 0.75, y=0.33)), k / 10):
            where[track.id] = track.box[0]
    assert where == {1: pytest.approx(0.7, abs=0.02), 2: pytest.approx(0.1, abs=0.02)}


def test_a_second_box_around_one_person_neither_begins_an_object_nor_steals_one():
    tracker = Tracker(TrackSettings())
    ids = set()
    for k in range(20):
        double = ("person", 0.6 + 0.3 * (k % 2), 0.405, 0.3, 0.455, 0.42)
        ids |= {track.id for track in tracker.update(found(person(0.4), double), k / 10)}
    assert ids == {1}


def test_labels_never_match_each_other():
    tracker = Tracker(TrackSettings())
    tracker.update(found(("person", 0.8, 0.1, 0.1, 0.3, 0.3)), 0.0)
    tracks = tracker.update(found(("car", 0.8, 0.1, 0.1, 0.3, 0.3)), 0.1)
    assert [(track.id, track.label, track.seen_now) for track in tracks] == [(1, "person", False), (2, "car", True)]


def test_one_who_walks_out_of_the_picture_is_gone():
    tracker = Tracker(TrackSettings(coast_s=3.0))
    for k in range(10):
        tracker.update(found(person(0.85 + 0.015 * k)), k / 10)
    assert tracker.update(found(), 2.5) == ()


def test_a_still_scene_keeps_its_objects():
    tracker = Tracker(TrackSettings(max_age_s=3.0))
    for k in range(5):
        tracker.update(found(person(0.4)), k / 10)
    for now in (2.0, 4.0, 6.0, 8.0):
        tracker.still(now)
    (track,) = tracker.update(found(person(0.4)), 9.0)
    assert (track.id, track.first_at) == (1, 0.0)


def test_a_clock_that_stands_or_goes_back_is_taken_as_standing():
    tracker = Tracker(TrackSettings())
    tracker.update(found(person(0.4)), 5.0)
    (track,) = tracker.update(found(person(0.4)), 4.0)
    assert (track.id, track.last_at, track.hits) == (1, 5.0, 2)


def test_belief_rises_with_what_is_seen_and_sinks_with_what_is_not():
    tracker = Tracker(TrackSettings())
    believed = [tracker.update(found(person(0.4, 0.8)), k / 10)[0].belief for k in range(20)]
    assert believed == sorted(believed)
    assert believed[0] < 0.6
    assert believed[-1] == pytest.approx(0.8, abs=0.02)
    sinking = [tracker.update(found(), 1.9 + k / 10)[0].belief for k in range(1, 5)]
    assert believed[-1] > sinking[0] > sinking[-1] > 0.3


def test_belief_does_not_depend_on_how_often_an_object_is_looked_at():
    believed = []
    for fps in (5, 30):
        tracker = Tracker(TrackSettings())
        for k in range(fps + 1):
            (track,) = tracker.update(found(person(0.4, 0.8)), k / fps)
        believed.append(track.belief)
    assert believed[0] == pytest.approx(believed[1], abs=0.01)


def test_the_device_stands_behind_what_it_believes_in_and_goes_on_while_it_is_hidden():
    tracker = Tracker(TrackSettings(coast_s=2.0))
    once = tracker.update(found(person(0.4, 0.9)), 0.0)
    assert standing(once) == (), "one frame's word is not enough"
    for k in range(1, 15):
        tracks = tracker.update(found(person(0.4, 0.9), person(0.7, 0.36)), k / 10)
    assert [track.id for track in standing(tracks)] == [1]
    (track,) = standing(tracker.update(found(), 1.6))
    assert not track.seen_now
    assert standing(tracker.update(found(), 3.3)) == ()


def test_belief_in_what_is_hidden_behind_another_sinks_slowly():
    believed = []
    for step in (0.01, 0.0):
        tracker = Tracker(TrackSettings())
        for k in range(18):
            tracker.update(found(person(0.4), person(0.6 - step * k)), k / 10)
        for k in range(18, 20):
            first, second = tracker.update(found(person(0.6 - step * k)), k / 10)
        assert (first.seen_now, second.seen_now) == (False, True)
        believed.append(first.belief)
    passed, alone = believed
    assert passed > alone + 0.1


def test_what_is_expected_before_a_frame_is_where_it_will_be():
    tracker = Tracker(TrackSettings())
    assert tracker.expected(0.0) == ()
    for k in range(10):
        tracker.update(found(person(0.1 + 0.01 * k)), k / 10)
    (one,) = tracker.expected(1.0)
    assert (one.id, one.label, one.looked_at) == (1, "person", None)
    assert one.box[0] == pytest.approx(0.2, abs=0.005)
    (track,) = tracker.update(found(person(0.2)), 1.0)
    assert (track.id, track.hits) == (1, 11)


def test_expecting_changes_nothing():
    plain, asked = Tracker(TrackSettings()), Tracker(TrackSettings())
    for k in range(12):
        seen = found(person(0.1 + 0.02 * k)) if k % 4 else found()
        asked.expected(k / 10)
        assert plain.update(seen, k / 10) == asked.update(seen, k / 10)


def test_a_place_was_looked_at_when_the_look_held_all_of_the_object():
    tracker = Tracker(TrackSettings())
    tracker.update(found(person(0.1), person(0.6)), 0.0, [(0.0, 0.0, 0.3, 0.8), (0.62, 0.0, 1.0, 1.0)])
    assert [one.looked_at for one in tracker.expected(0.1)] == [0.0, None]


def test_an_object_is_seen_well_for_a_while_after_a_closer_look_at_it_and_a_large_one_wherever_looks_are_made():
    tracker = Tracker(TrackSettings())
    large = ("person", 0.9, 0.4, 0.2, 0.6, 0.8)
    before = tracker.update(found(large, person(0.1)), 0.0)
    after = tracker.update(found(large, person(0.1)), 0.1, [(0.0, 0.0, 0.3, 0.8)])
    later = tracker.update(found(large, person(0.1)), 0.2 + LOOKED_S)
    unseen = tracker.update(found(), 0.3 + LOOKED_S)
    assert [[one.seen_well for one in tracks] for tracks in (before, after, later, unseen)] == [
        [False, False], [True, True], [True, False], [False, False],
    ]  # fmt: skip


RED, BLUE = (0.0, 0.0, 200.0) * 3, (200.0, 0.0, 0.0) * 3


def test_two_who_meet_and_turn_back_are_told_apart_by_their_looks():
    kept = []
    for looks in ((RED, BLUE), (None, None)):
        tracker = Tracker(TrackSettings())
        for k in range(41):
            step = 0.011 * min(k, 40 - k)
            left, right = person(0.3 + step, 0.8), person(0.7 - step, 0.75)
            tracks = tracker.update(found(left, right), k / 10, (), looks)
        kept.append([round(track.box[0], 1) for track in tracks] == [0.3, 0.7])
    assert kept[0]


def test_someone_else_at_the_place_of_the_lost_is_not_taken_for_them():
    for looks, number in ((BLUE, 2), (RED, 1)):
        tracker = Tracker(TrackSettings())
        for k in range(10):
            tracker.update(found(person(0.4)), k / 10, (), [RED])
        (track,) = (one for one in tracker.update(found(person(0.45)), 1.5, (), [looks]) if one.seen_now)
        assert track.id == number


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"low_score": 0.6}, "low_score"),
        ({"coast_s": 5.0}, "max_age_s"),
        ({"new_score": 1.5}, "new_score"),
        ({"max_age": 5.0}, "max_age"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        TrackSettings(**values)


sides = st.floats(0, 1, width=32)
boxes = st.tuples(sides, sides, sides, sides).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
rows = st.builds(lambda label, score, box: (label, score, *box), st.sampled_from(LABELS), sides, boxes)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(rows, max_size=8), st.floats(0, 4)), max_size=12))
def test_any_detections_give_sound_tracks(frames):
    tracker = Tracker(TrackSettings())
    firsts = {}
    nows = itertools.accumulate(gap for _, gap in frames)
    for (detections, _), now in zip(frames, nows, strict=True):
        tracks = tracker.update(found(*detections), now)
        assert len({track.id for track in tracks}) == len(tracks)
        assert sum(track.seen_now for track in tracks) <= len(detections)
        for track in tracks:
            x1, y1, x2, y2 = track.box
            assert 0 <= x1 <= x2 <= 1
            assert 0 <= y1 <= y2 <= 1
            assert track.first_at <= track.last_at <= now
            assert track.last_at == now or not track.seen_now
            assert track.score <= track.best_score
            assert 0 <= track.belief <= track.best_score + 1e-6
            assert track.hits > 1 or not track.stands
            assert firsts.setdefault(track.id, (track.label, track.first_at)) == (track.label, track.first_at)
