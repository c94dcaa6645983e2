"""What is said of the alerts of a run that is advised for its F1."""

import pytest

from workbench.replay.caution import caution
from workbench.replay.events import AlertFigures
from workbench.replay.scoring import Alerting, Verdicts

RAISED = AlertFigures(10, 99, 0.0, 0.0, 0.0, None)
"""What was retracted since does not count."""


def repeats(*figures):
    """Share found in time, and false alerts, of each repeat."""
    return [
        {"person": Alerting(RAISED, AlertFigures(10, 10 + false, in_time, 10 / (10 + false), 0.0, 0.2), Verdicts())}
        for in_time, false in figures
    ]


ALONE = repeats((0.9, 1), (0.8, 1), (0.9, 2), (1.0, 2))


def test_nothing_is_said_where_nothing_is_worse():
    assert caution(ALONE, ALONE) is None
    assert caution(repeats((1.0, 0), (0.9, 1), (1.0, 0), (1.0, 1)), ALONE) is None


def test_fewer_in_time_beyond_what_repeats_differ_by_are_told_with_how_much_of_it_is_chance():
    worse = repeats((0.8, 1), (0.7, 1), (0.7, 2), (0.8, 1))
    # Of .1, .1, .2 and .2 less.
    assert caution(worse, ALONE) == (
        "Than the device alone it finds fewer in time: .75 instead of .90 (a difference of .15 ± .03)."
    )


def test_more_false_alerts_are_told():
    worse = repeats((0.9, 4), (0.8, 3), (0.9, 4), (1.0, 5))
    assert caution(worse, ALONE) == (
        "Than the device alone it raises more false alerts: 4.0 instead of 1.5 a run (a difference of 2.5 ± 0.3)."
    )


@pytest.mark.parametrize("like", [((0.8, 1), (0.9, 1), (0.8, 2), (0.9, 1)), ((0.9, 2), (0.8, 1), (0.9, 1), (0.9, 2))])
def test_what_repeats_differ_by_themselves_is_not_told(like):
    assert caution(repeats(*like), ALONE) is None


def test_of_one_run_it_is_told_that_it_may_be_chance():
    assert caution(repeats((0.8, 1)), ALONE[:1]) == (
        "Than the device alone it finds fewer in time: .80 instead of .90."
        " Of one run each this may be chance: --repeats tells."
    )


def test_both_at_once_and_labels_together():
    worse, alone = repeats((0.5, 3)), repeats((0.9, 0))
    worse[0]["dog"] = alone[0]["dog"] = repeats((0.9, 0))[0]["person"]
    assert caution(worse, alone) == (
        "Than the device alone it finds fewer in time: .70 instead of .90, and it raises more false alerts: 3.0"
        " instead of 0.0 a run. Of one run each this may be chance: --repeats tells."
    )


def test_without_who_is_who_nothing_is_said():
    assert caution([{}], [{}]) is None
    nobody = [{"person": Alerting(RAISED, AlertFigures(0, 0, 0.0, 1.0, 0.0, None), Verdicts())}]
    assert caution(nobody, nobody) is None
