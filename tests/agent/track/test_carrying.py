"""The cloud's word, taken in by the tracker."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.boxes import overlap
from agent.domain import Found, Report, Word
from agent.track import Tracker, TrackSettings
from agent.track.carrying import CARRIED_S, NEWS_S, RIDDEN_S, believed, compare
from tests.agent.track.test_tracker import found, person

EVERYWHERE = (0.0, 0.0, 1.0, 1.0)
WHERE = (0.1, 0.3, 0.15, 0.5)


def report(at, *objects, known=None, looked=EVERYWHERE, track=None, question="a" * 32):
    return Report(question, track, at, looked, tuple(objects), {} if known is None else known)


def watching(score=0.5, frames=5, speed=0.0):
    tracker = Tracker(TrackSettings())
    for k in range(frames):
        tracks = tracker.update(found(person(0.1 + speed * k / 10, score)), k / 10)
    return tracker, tracks


def test_a_word_that_vouches_makes_the_device_stand_behind_what_it_doubted():
    tracker, (doubted,) = watching(score=0.36, frames=2)
    assert not doubted.stands
    tracker.hear(report(0.1, Found("person", 0.9, WHERE), known={1: WHERE}))
    (track,) = tracker.update(found(person(0.1, 0.36)), 0.2)
    assert track.stands
    assert track.belief > 0.7
    assert track.word == Word("a" * 32, 0.1, "person", 0.9)


def test_a_word_that_denies_makes_it_doubt_and_wanes():
    tracker, (track,) = watching(score=0.55, frames=12)
    assert track.stands
    tracker.hear(report(1.1, known={1: WHERE}, track=1))
    (track,) = tracker.update(found(person(0.1, 0.55)), 1.2)
    assert not track.stands
    assert not track.word.vouches
    for k in range(13, 40):
        (track,) = tracker.update(found(person(0.1, 0.55)), k / 10)
    assert track.stands


def test_what_was_asked_about_is_denied_wherever_the_cloud_looked():
    tracker, _ = watching()
    tracker.hear(report(0.4, known={1: WHERE, 77: WHERE}, looked=(0.6, 0.6, 0.9, 0.9), track=1))
    (track,) = tracker.update(found(person(0.1)), 0.5)
    assert track.word is not None
    assert not track.word.vouches


def test_what_the_picture_did_not_show_wholly_is_not_denied():
    tracker, _ = watching()
    tracker.hear(report(0.4, known={1: WHERE}, looked=(0.0, 0.0, 0.12, 1.0)))
    (track,) = tracker.update(found(person(0.1)), 0.5)
    assert track.word is None


def test_the_box_is_carried_to_where_the_object_went_while_the_answer_travelled():
    tracker, (then,) = watching(score=0.9, frames=10, speed=0.2)
    for k in range(10, 15):
        (now,) = tracker.update(found(person(0.1 + 0.02 * k, 0.9)), k / 10)
    wider = (then.box[0] - 0.02, then.box[1], then.box[2] + 0.02, then.box[3])
    tracker.hear(report(0.9, Found("person", 0.9, wider), known={1: then.box}))
    (after,) = tracker.update(found(person(0.1 + 0.02 * 15, 0.9)), 1.5)
    assert after.box[2] - after.box[0] > 1.2 * (now.box[2] - now.box[0])
    assert (after.box[0] + after.box[2]) / 2 == pytest.approx(0.125 + 0.02 * 15, abs=0.01)


def test_another_name_is_taken_over_with_the_word():
    tracker, _ = watching()
    tracker.hear(report(0.4, Found("car", 0.9, WHERE), known={1: WHERE}))
    (track,) = tracker.update(found(person(0.1)), 0.5)
    assert (track.id, track.label) == (1, "car")


def test_what_only_the_cloud_sees_is_followed_from_then_on():
    tracker, _ = watching()
    there = (0.6, 0.3, 0.65, 0.5)
    tracker.hear(report(0.4, Found("person", 0.9, there), Found("person", 0.9, WHERE), known={1: WHERE}))
    tracks = tracker.update(found(person(0.1)), 0.5)
    assert [(track.id, track.seen_now, track.stands) for track in tracks] == [(1, True, True), (2, False, True)]
    tracks = tracker.update(found(person(0.1), person(0.6, 0.25)), 0.6)
    assert tracks[1].seen_now


def test_it_begins_no_second_object_where_one_is_followed_nor_long_after_the_frame():
    tracker, _ = watching()
    tracker.hear(report(0.4, Found("person", 0.9, (0.11, 0.31, 0.16, 0.5)), known={}))
    tracker.hear(report(0.4 - NEWS_S - 0.1, Found("person", 0.9, (0.6, 0.3, 0.65, 0.5)), known={}))
    assert [track.id for track in tracker.update(found(person(0.1)), 0.5)] == [1]


def test_a_word_that_is_minutes_late_moves_no_box_and_one_about_the_dead_is_nothing():
    tracker, _ = watching(frames=60, score=0.9)
    away = (0.11, 0.25, 0.18, 0.5)
    tracker.hear(report(5.9 - CARRIED_S - 1.0, Found("person", 0.9, away), known={1: WHERE, 77: WHERE}))
    (track,) = tracker.update(found(person(0.1, 0.9)), 6.0)
    assert track.box == pytest.approx(WHERE, abs=1e-3)
    tracker.hear(report(-300.0, known={77: WHERE}, track=77))
    assert [track.id for track in tracker.update(found(person(0.1, 0.9)), 6.1)] == [1]


def test_an_older_word_does_not_replace_a_newer_one():
    tracker, _ = watching()
    tracker.hear(report(0.4, Found("person", 0.9, WHERE), known={1: WHERE}, question="b" * 32))
    tracker.hear(report(0.1, known={1: WHERE}, track=1, question="c" * 32))
    (track,) = tracker.update(found(person(0.1)), 0.5)
    assert track.word.question_id == "b" * 32


def test_a_report_before_the_first_frame_is_nothing():
    tracker = Tracker(TrackSettings())
    tracker.hear(report(0.0, Found("person", 0.9, WHERE)))
    assert tracker.update(found(), 0.1) == ()


def test_what_the_device_sees_closely_the_cloud_does_not_take_from_it():
    plain, looked, alone = watching()[0], watching()[0], watching()[0]
    for tracker, places in ((plain, ()), (looked, (EVERYWHERE,)), (alone, (EVERYWHERE,))):
        tracker.update(found(person(0.1)), 0.5, looked=places)
    for tracker in (plain, looked):
        tracker.hear(report(0.5, known={1: WHERE}, track=1))
    (denied,), (kept,), (same,) = (tracker.update(found(person(0.1)), 0.6) for tracker in (plain, looked, alone))
    assert denied.belief < kept.belief
    assert (kept.belief, kept.box) == (same.belief, same.box)


def test_what_the_device_doubts_after_a_close_look_it_goes_on_doubting_by_the_clouds_name():
    tracker, _ = watching(score=0.4)
    (doubted,) = tracker.update(found(person(0.1, 0.4)), 0.5, looked=(EVERYWHERE,))
    assert not doubted.stands
    tracker.hear(report(0.5, Found("zebra", 0.9, WHERE), known={1: WHERE}, track=1))
    (named,) = tracker.update(found(person(0.1, 0.4)), 0.6)
    assert not named.stands
    assert (named.label, named.word.after_look) == ("zebra", True)


@pytest.mark.parametrize(
    ("box", "looked", "looked_at", "begins"),
    [
        ((0.6, 0.3, 0.65, 0.5), EVERYWHERE, 0.5, False),
        ((0.6, 0.3, 0.65, 0.5), EVERYWHERE, 1.3, True),
        ((0.6, 0.3, 0.65, 0.5), (0.0, 0.0, 0.62, 1.0), 0.5, True),
        ((0.6, 0.3, 0.8, 0.7), (0.0, 0.0, 0.5, 0.5), 0.5, False),
    ],
    ids=["seen nothing there", "only later", "cut off", "too large to need a look"],
)
def test_what_a_close_look_did_not_show_the_cloud_begins_nothing_of(box, looked, looked_at, begins):
    tracker, _ = watching()
    asked_at = 0.5
    tracker.update(found(person(0.1)), looked_at, looked=(looked,))
    tracker.hear(report(asked_at, Found("person", 0.9, box), known={}))
    tracks = tracker.update(found(person(0.1)), 1.4)
    assert [track.id for track in tracks] == ([1, 2] if begins else [1])


@pytest.mark.parametrize("closely", [True, False])
def test_a_doubt_about_what_is_hidden_counts_only_where_the_device_does_not_look_closely(closely):
    tracker, alone = watching(score=0.8, frames=10)[0], watching(score=0.8, frames=10)[0]
    looked = ((0.5, 0.5, 0.9, 0.9),) if closely else ()
    for one in (tracker, alone):
        one.update(found(), 1.0, looked=looked)
    tracker.hear(report(1.0, known={1: WHERE}, track=1))
    (doubted,), (same,) = (one.update(found(), 1.1, looked=looked) for one in (tracker, alone))
    assert (doubted.belief == same.belief) == closely
    assert doubted.stands == closely


def test_a_hidden_object_is_kept_by_the_clouds_word_though_the_device_looked_closely_and_saw_nothing():
    tracker, _ = watching(score=0.8, frames=10)
    for k in range(10, 14):
        tracker.update(found(), k / 10, looked=(EVERYWHERE,))
    tracker.hear(report(1.3, Found("person", 0.8, WHERE), known={1: WHERE}, track=1))
    for k in range(14, 20):
        (track,) = tracker.update(found(), k / 10, looked=(EVERYWHERE,))
        assert (track.id, track.seen_now, track.stands) == (1, False, True)
    assert not track.word.after_look


@pytest.mark.parametrize("score", [0.0, 0.2, 0.5, 0.95])
def test_belief_stays_a_share_and_returns_to_the_devices_own(score):
    word = Word("a" * 32, 0.0, "person", score)
    for own in (0.0, 0.3, 1.0):
        assert all(0.0 <= believed(own, word, age) <= 1.0 for age in (0.0, 1.0, 1e6))
        assert believed(own, word, 1e3) == pytest.approx(own)
    assert believed(0.4, None, 5.0) == 0.4


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100))
def test_after_a_close_look_a_word_neither_takes_nor_gives(own, score, age_s):
    assert believed(own, Word("a" * 32, 0.0, "person", score, after_look=True), age_s) == own


wild = st.one_of(st.floats(-1, 2), st.sampled_from((math.nan, math.inf, -math.inf)))
objects = st.lists(
    st.builds(Found, st.sampled_from(("person", "car", "", "zebra")), wild, st.tuples(wild, wild, wild, wild)),
    max_size=8,
)
tidy = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 1), st.floats(0.001, 1)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(
    st.lists(
        st.tuples(objects, st.dictionaries(st.integers(0, 5), tidy, max_size=4), tidy, st.floats(-400, 3)),
        max_size=12,
    )
)
def test_hostile_reports_leave_sound_tracks(reports):
    tracker = Tracker(TrackSettings())
    for k, (seen, known, looked, age_s) in enumerate(reports):
        tracks = tracker.update(found(person(0.1)), k / 10)
        tracker.hear(report(k / 10 - age_s, *seen, known=known, looked=looked, track=1))
        for track in tracks:
            x1, y1, x2, y2 = track.box
            assert 0.0 <= x1 <= x2 <= 1.0
            assert 0.0 <= y1 <= y2 <= 1.0
            assert 0.0 <= track.belief <= 1.0
        assert len({track.id for track in tracks}) == len(tracks)


@given(objects, st.dictionaries(st.integers(0, 5), tidy, max_size=5), tidy)
def test_each_object_gets_one_word_and_each_finding_goes_once(seen, known, looked):
    heard = compare(report(0.0, *seen, known=known, looked=looked), dict.fromkeys(known, "person"))
    given_out = [id(one) for one in heard.words.values() if one is not None] + [id(one) for one in heard.news]
    assert len(given_out) == len(set(given_out))
    assert heard.words.keys() <= known.keys()


SMALL, LARGE = (0.1, 0.3, 0.15, 0.5), (0.1, 0.3, 0.3, 0.7)
CLOSE = ((0.8, 0.8, 0.9, 0.9),)


@pytest.mark.parametrize(("box", "looked", "kept"), [(SMALL, CLOSE, False), (LARGE, (), False), (LARGE, CLOSE, True)])
def test_a_large_object_stays_as_it_is_seen_by_a_device_that_looks_closely_at_small_ones(box, looked, kept):
    tracker = Tracker(TrackSettings())
    for k in range(10):
        (track,) = tracker.update(found(("person", 0.9, *box)), k / 10, looked)
    wider = (box[0] - 0.02, box[1], box[2] + 0.02, box[3])
    tracker.hear(report(0.9, Found("person", 0.9, wider), known={1: box}))
    (track,) = tracker.update(found(("person", 0.9, *box)), 1.0)
    assert track.word.after_look == kept
    assert (track.box == pytest.approx(box, abs=1e-3)) == kept


def shifted(box, dx):
    return (box[0] + dx, box[1], box[2] + dx, box[3])


def riding(tracker, at):
    """Where those that ride were in the latest picture, by number."""
    return {number: one.box for number, one in tracker.riding(at).items()}


def told(tracker, at, box=WHERE, gone=None):
    tracker.hear(report(at, Found("person", 0.9, box, gone), known={1: WHERE}))


def test_what_the_cloud_placed_goes_with_the_pictures_and_hardly_with_the_devices_own_boxes():
    tracker, _ = watching(frames=5)
    wider = (0.09, 0.28, 0.17, 0.52)
    told(tracker, 0.2, wider, gone=shifted(wider, 0.01))
    assert riding(tracker, 0.5) == {1: pytest.approx(shifted(wider, 0.01))}
    for k in range(5, 9):
        tracker.ride({1: shifted(wider, 0.01 * (k - 3))}, k / 10)
        (track,) = tracker.update(found(person(0.1 + 0.01 * (k - 3) - 0.02, 0.5)), k / 10)
    assert track.seen_now
    assert overlap(track.box, shifted(wider, 0.05)) > 0.7
    assert overlap(track.box, shifted(WHERE, 0.03)) < 0.6


def test_an_object_rides_no_longer_than_the_pictures_may_be_believed_nor_after_a_close_look():
    tracker, _ = watching()
    told(tracker, 0.4)
    tracker.update(found(person(0.1)), 0.4 + RIDDEN_S + 0.1)
    assert riding(tracker, 2.6) == {}

    looked, _ = watching()
    looked.update(found(person(0.1)), 0.5, looked=(EVERYWHERE,))
    told(looked, 0.5, gone=WHERE)
    assert riding(looked, 0.6) == {}


def test_nothing_rides_of_which_the_cloud_said_nothing_or_that_it_denied():
    tracker, _ = watching()
    assert riding(tracker, 0.5) == {}
    tracker.hear(report(0.4, known={1: WHERE}, track=1))
    assert riding(tracker, 0.5) == {}


def walking(pictures):
    """A person who walks a hundredth of the picture in each frame, and rides from .4 s on; a picture every other."""
    tracker, _ = watching(frames=5)
    tracker.ride({}, 0.4)
    told(tracker, 0.4, gone=WHERE)
    for k in range(5, 5 + 2 * pictures):
        if k % 2 == 0:
            tracker.ride({1: shifted(riding(tracker, k / 10)[1], 0.02)}, k / 10)
        (track,) = tracker.update(found(person(0.1 + 0.01 * (k - 4) - 0.02, 0.5)), k / 10)
    return tracker, track


def test_between_two_pictures_it_rides_on_at_the_speed_that_they_show():
    tracker, before = walking(pictures=4)
    (between,) = tracker.update(found(person(0.1 + 0.09 - 0.02, 0.5)), 1.3)
    assert between.box[0] - before.box[0] == pytest.approx(0.01, abs=0.002)
    one = tracker.riding(1.4)[1]
    assert one.box == pytest.approx(before.box, abs=0.002)
    assert one.ahead == pytest.approx((0.02, 0.0), abs=0.003)


def test_how_far_it_rode_since_a_picture_leaves_out_what_corrected_its_place():
    tracker, track = walking(pictures=4)
    assert track.box[0] < 0.175, "the device's own boxes draw it to where they are"
    assert tracker.rode(1, 0.4) == pytest.approx((0.08, 0.0), abs=1e-6)
    assert tracker.rode(1, 1.0) == pytest.approx((0.02, 0.0), abs=1e-6)
    assert tracker.rode(1, 0.5) is None, "there was no picture"
    assert tracker.rode(7, 0.4) is None


@pytest.mark.parametrize("moved", [None, {}])
def test_nobody_rides_on_from_a_picture_that_does_not_show_them_or_without_one(moved):
    tracker, _ = walking(pictures=4)
    tracker.ride(moved, 1.4)
    tracker.update(found(), 1.4)
    assert tracker.rode(1, 1.2) is None


def test_what_the_device_does_not_see_rides_unless_something_is_before_it():
    tracker, _ = watching()
    told(tracker, 0.4)
    tracker.update(found(), 0.5)
    assert riding(tracker, 0.6).keys() == {1}
    car = ("car", 0.9, 0.08, 0.3, 0.2, 0.5)
    tracker.update(found(car, car), 0.6)
    assert riding(tracker, 0.7) == {}


def test_what_a_device_that_looks_closely_does_not_see_is_hidden_and_does_not_ride():
    tracker, _ = watching()
    tracker.update(found(person(0.1)), 0.5, looked=((0.7, 0.7, 0.9, 0.9),))
    told(tracker, 0.5)
    assert riding(tracker, 0.6).keys() == {1}
    tracker.update(found(), 0.6, looked=((0.7, 0.7, 0.9, 0.9),))
    assert riding(tracker, 0.7) == {}


def test_what_leaves_the_picture_does_not_ride_on_what_was_behind_it():
    tracker, _ = watching()
    told(tracker, 0.4, gone=WHERE)
    at_the_edge = (0.945, 0.3, 0.995, 0.5)
    tracker.ride({1: at_the_edge}, 0.5)
    tracker.update(found(person(0.945)), 0.5)
    assert riding(tracker, 0.6).keys() == {1}, "it is seen"
    tracker.ride({1: at_the_edge}, 0.6)
    tracker.update(found(), 0.6)
    assert riding(tracker, 0.7) == {}


def test_what_only_the_cloud_sees_begins_where_it_has_gone_and_goes_on():
    tracker, _ = watching()
    there = (0.6, 0.3, 0.65, 0.5)
    tracker.hear(report(0.1, Found("person", 0.9, there, shifted(there, 0.06)), known={1: WHERE}))
    assert riding(tracker, 0.5)[2] == pytest.approx(shifted(there, 0.06))
    _, begun = tracker.update(found(person(0.1)), 0.5)
    assert begun.box[0] > there[0] + 0.06


def test_pictures_of_the_past_and_of_what_is_not_followed_change_nothing():
    tracker, _ = watching(frames=10)
    told(tracker, 0.9)
    tracker.ride({1: WHERE, 77: WHERE}, 0.3)
    (track,) = tracker.update(found(person(0.1)), 1.0)
    assert track.box == pytest.approx(WHERE, abs=1e-3)
