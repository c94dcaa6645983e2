import numpy as np
import pytest

from workbench.replay.events import People, alert_figures, identity_switches, read_people

FPS = 10.0


def box(x):
    return np.array([x, 0.0, x + 10.0, 20.0])


def truths(*people, frames=30, counts=True):
    """People at a place each, from a first to a last frame."""
    found = {}
    for frame in range(frames):
        there = [(who, x) for who, (x, first, last) in enumerate(people, 1) if first <= frame <= last]
        if there:
            found[frame] = People(
                np.array([box(x) for _, x in there]),
                np.full(len(there), counts),
                np.array([who for who, _ in there]),
            )
    return found


def followed(*tracks, frames=30):
    """Tracks at a place each, from a first to a last frame, numbered from 1."""
    return {
        frame: {number: box(x) for number, (x, first, last) in enumerate(tracks, 1) if first <= frame <= last}
        for frame in range(frames)
    }


def judged(labels, tracks, *alerts):
    return alert_figures(labels, tracks, alerts, range(30), FPS)


def test_each_person_told_of_once_and_soon():
    found = judged(truths((0, 0, 29), (100, 5, 29)), followed((0, 0, 29), (100, 7, 29)), (2, 1), (9, 2))
    assert (found.events, found.in_time, found.precision, found.duplicates) == (2, 1.0, 1.0, 0.0)
    assert found.delay_s == pytest.approx(0.3)


def test_who_is_there_for_less_than_a_second_is_no_event():
    assert judged(truths((0, 0, 8), (50, 0, 9)), followed()).events == 1


def test_who_does_not_count_is_no_event():
    found = judged(truths((0, 0, 29), counts=False), followed((0, 0, 29)), (2, 1))
    assert (found.events, found.in_time, found.precision) == (0, 0.0, 1.0)


def test_an_alert_about_nobody_costs_precision():
    found = judged(truths((0, 0, 29)), followed((0, 0, 29), (200, 0, 29)), (2, 1), (3, 2))
    assert (found.in_time, found.precision) == (1.0, 0.5)


def test_a_second_alert_about_one_person_is_a_duplicate():
    found = judged(truths((0, 0, 29)), followed((0, 0, 10), (0, 11, 29)), (2, 1), (14, 2))
    assert (found.precision, found.duplicates) == (1.0, 1.0)


def test_an_alert_that_is_late_is_not_in_time_and_one_that_is_early_has_no_delay():
    late = judged(truths((0, 0, 29)), followed((0, 0, 29)), (21, 1))
    assert (late.in_time, late.delay_s) == (0.0, pytest.approx(2.1))
    early = judged(truths((0, 6, 29)), followed((0, 0, 29)), (2, 1))
    assert (early.in_time, early.precision, early.delay_s) == (1.0, 1.0, 0.0)


def test_nobody_and_nothing():
    found = judged({}, followed())
    assert (found.events, found.alerts, found.precision, found.delay_s) == (0, 0, 1.0, None)


def test_a_person_who_goes_on_under_another_number_is_a_switch():
    labels = truths((0, 0, 29), (100, 0, 29))
    assert identity_switches(labels, followed((0, 0, 29), (100, 0, 29)), range(30)) == 0
    assert identity_switches(labels, followed((0, 0, 9), (100, 0, 29), (0, 12, 29)), range(30)) == 1


def test_two_who_swap_their_numbers_are_two_switches():
    labels = truths((0, 0, 29), (100, 0, 29))
    tracks = followed((0, 0, 29), (100, 0, 29))
    for frame in range(15, 30):
        tracks[frame] = {1: box(100), 2: box(0)}
    assert identity_switches(labels, tracks, range(30)) == 2


def test_a_better_overlap_does_not_take_a_number_that_still_fits():
    tracks = followed((3, 0, 29))
    for frame in range(10, 30):
        tracks[frame][2] = box(0)
    assert identity_switches(truths((0, 0, 29)), tracks, range(30)) == 0


def test_labels_are_counted_from_zero_and_keep_who_is_who(tmp_path):
    (tmp_path / "gt.txt").write_text("1,7,10,10,20,40,1,0,0,0\n1,9,60,10,20,40,0,0,0,0\n3,7,12,10,20,40,1\n")
    people = read_people(tmp_path / "gt.txt")
    assert sorted(people) == [0, 2]
    assert people[0].boxes.tolist() == [[10, 10, 30, 50], [60, 10, 80, 50]]
    assert people[0].counts.tolist() == [True, False]
    assert people[0].ids.tolist() == [7, 9]
