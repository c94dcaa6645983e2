"""What is counted as caught, and what verdicts are worth; all boxes are in a frame of 100 × 100 pixels."""

import numpy as np
import pytest

from agent.domain import AlertChange, Track
from vision.accuracy import Truth
from wire.messages import AlertEvent, AlertState, DecidedBy
from workbench.replay.events import People
from workbench.replay.labels import NOWHERE, Labels
from workbench.replay.scoring import alerting, catch
from workbench.replay.walk import Outcome, Seen

SIZE = (100, 100)
HERE, THERE, NOBODY_THERE = (0.1, 0.1, 0.2, 0.4), (0.5, 0.1, 0.6, 0.4), (0.8, 0.5, 0.9, 0.9)
NEW, UPDATE, END = AlertEvent.NEW, AlertEvent.UPDATE, AlertEvent.END
PROVISIONAL, CONFIRMED, RETRACTED = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED


def track(number, box, *, belief=0.9, stands=True, label="person"):
    return Track(number, label, belief, belief, box, 0.0, 0.0, 5, True, belief, stands)


def change(alert, event, state, *, number, by=DecidedBy.DEVICE, revision=0):
    return AlertChange(
        alert, event, revision, state, "clip", "anyone", None, "person", number, 0.5, HERE, 0.0, 0.0, 0.0, by, ""
    )


def outcome(*seen):
    return Outcome(tuple(seen), dict.fromkeys(AlertState, 0), 0.0, 0.0)


def labels(*boxes, frames=range(20)):
    pixels = np.array(boxes, float).reshape(-1, 4) * 100
    counts = np.ones(len(boxes), np.bool_)
    people = People(pixels, counts, np.arange(len(boxes)))
    return Labels(
        {"person": {frame: Truth(pixels, counts, NOWHERE) for frame in frames}},
        {"person": dict.fromkeys(frames, people)},
        frozenset(frames),
    )


def test_only_what_the_system_stands_behind_is_counted():
    seen = Seen(0, 0.0, (track(1, HERE), track(2, THERE, stands=False, belief=0.2), track(3, NOBODY_THERE)))
    found = catch(outcome(seen), labels(HERE, THERE), SIZE)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, pytest.approx(0.5))


def test_ap_is_of_all_that_is_followed_by_belief():
    sure_and_right = Seen(0, 0.0, (track(1, HERE), track(2, THERE, stands=False, belief=0.2)))
    assert catch(outcome(sure_and_right), labels(HERE, THERE), SIZE).ap50 == pytest.approx(1.0)
    sure_and_wrong = Seen(0, 0.0, (track(1, HERE, belief=0.5), track(2, NOBODY_THERE, belief=0.8)))
    assert catch(outcome(sure_and_wrong), labels(HERE), SIZE).ap50 == pytest.approx(0.5)


def test_frames_that_nobody_labelled_are_not_judged():
    seen = [Seen(index, index / 10, (track(1, HERE),)) for index in range(4)]
    found = catch(outcome(*seen), labels(HERE, frames=range(2)), SIZE)
    assert (found.frames, found.precision, found.recall) == (2, 1.0, 1.0)


def test_another_label_is_no_find():
    seen = Seen(0, 0.0, (track(1, HERE, label="car"),))
    assert catch(outcome(seen), labels(HERE), SIZE).recall == 0.0


def raised(alert, number, box, verdict=None):
    """An alert that is raised at once and, with a verdict, amended by the cloud five frames later; 20 frames."""
    seen = [Seen(index, index / 10, (track(number, box),)) for index in range(20)]
    seen[0].changes.append(change(alert, NEW, PROVISIONAL, number=number))
    if verdict is not None:
        event = END if verdict is RETRACTED else UPDATE
        seen[5].changes.append(change(alert, event, verdict, number=number, by=DecidedBy.CLOUD))
    return seen


@pytest.mark.parametrize(
    ("box", "verdict", "counted"),
    [
        (HERE, CONFIRMED, "confirmed_rightly"),
        (NOBODY_THERE, CONFIRMED, "confirmed_wrongly"),
        (NOBODY_THERE, RETRACTED, "retracted_rightly"),
        (HERE, RETRACTED, "retracted_wrongly"),
    ],
)
def test_verdicts_are_right_or_wrong(box, verdict, counted):
    worth = alerting(outcome(*raised("a", 1, box, verdict)), labels(HERE), SIZE, 10.0)["person"].verdicts
    assert {name: getattr(worth, name) for name in worth.__slots__} == dict.fromkeys(worth.__slots__, 0) | {
        counted: 1
    }


def test_what_an_alert_does_afterwards_is_no_second_verdict():
    seen = raised("a", 1, HERE, CONFIRMED)
    seen[9].changes.append(change("a", UPDATE, CONFIRMED, number=1, by=DecidedBy.CLOUD))
    seen[19].changes.append(change("a", END, CONFIRMED, number=1, by=DecidedBy.CLOUD))
    assert alerting(outcome(*seen), labels(HERE), SIZE, 10.0)["person"].verdicts.confirmed_rightly == 1


def test_what_was_retracted_is_gone_from_the_alerts_that_are_kept():
    worth = alerting(outcome(*raised("a", 1, NOBODY_THERE, RETRACTED)), labels(HERE), SIZE, 10.0)["person"]
    assert (worth.raised.alerts, worth.raised.precision) == (1, 0.0)
    assert (worth.kept.alerts, worth.kept.precision) == (0, 1.0)


def test_without_identities_alerts_are_not_judged():
    known = labels(HERE)
    nobody = Labels(known.truths, {}, known.frames)
    assert alerting(outcome(*raised("a", 1, HERE)), nobody, SIZE, 10.0) == {}
