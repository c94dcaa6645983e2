"""Which messages are pushed, and what an answer means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cloud.push.decide import Answer, Pace, answer_of, moment_of, pause_s
from cloud.push.settings import Moment
from tests.cloud.push.made import push
from tests.cloud.samples import alert, new_id
from wire.messages import AlertEvent, AlertState

P, C, R = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED


def life(*states, ends=True):
    """The messages of one alert."""
    id_, last = new_id(), len(states) - 1
    return [
        alert(
            id=id_,
            revision=revision,
            state=state,
            sequence=revision + 1,
            **({"event": AlertEvent.END} if ends and revision == last and revision > 0 else {}),
        )
        for revision, state in enumerate(states)
    ]


def told(messages, **changes):
    return [moment_of(push(**changes), one, messages[:at]) for at, one in enumerate(messages)]


@pytest.mark.parametrize(
    ("states", "on", "moments"),
    [
        ((C, C, C), ["confirmed"], ["confirmed", None, None]),
        ((P, P, C, C), ["confirmed"], [None, None, "confirmed", None]),
        ((P, R, R), ["confirmed"], [None, None, None]),
        ((P, C, C), ["raised"], ["raised", None, None]),
        ((P, R, R), ["raised", "retracted"], ["raised", "retracted", None]),
        ((P, R, R), ["confirmed", "retracted"], [None, None, None]),
        ((P, C, R, R), ["confirmed", "retracted"], [None, "confirmed", "retracted", None]),
        ((P, C, R, C, C), ["confirmed", "retracted"], [None, "confirmed", "retracted", "confirmed", None]),
        ((C, C), ["confirmed", "ended"], ["confirmed", "ended"]),
        ((P, P), ["confirmed", "ended"], [None, None]),
        ((C, C), ["raised", "confirmed"], ["confirmed", None]),
        ((P, R), ["raised", "retracted", "ended"], ["raised", "retracted"]),
    ],
)
def test_a_life_is_told_in_the_moments_that_are_wanted(states, on, moments):
    assert told(life(*states), on=on) == moments


def test_what_comes_late_was_overtaken():
    first, confirmed, ended = life(P, C, C)
    assert moment_of(push(on=["raised", "confirmed", "ended"]), confirmed, [first, ended]) is None


@pytest.mark.parametrize(
    ("only", "pushed"),
    [
        ({"devices": ["cam-1"]}, True),
        ({"devices": ["cam-2"]}, False),
        ({"cameras": ["yard"], "labels": ["person", "dog"]}, True),
        ({"cameras": ["yard"], "labels": ["dog"]}, False),
        ({"rules": ["people"]}, True),
        ({"rules": ["others"]}, False),
    ],
)
def test_only_what_is_asked_for_is_pushed(only, pushed):
    assert (told(life(C), **only) == [Moment.CONFIRMED]) is pushed


@examples(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(AlertState), min_size=1, max_size=8),
    st.lists(st.sampled_from(Moment), min_size=1, max_size=4, unique=True),
)
def test_an_alert_is_told_as_confirmed_only_when_it_becomes_so_and_never_ends_untold(states, on):
    moments = told(life(*states), on=on)
    assert all(moment is None or moment in on for moment in moments)
    assert moments.count("raised") <= 1
    told_before = False
    for state, moment in zip(states, moments, strict=True):
        assert moment != "confirmed" or state is C
        assert moment not in {"retracted", "ended"} or told_before
        told_before = told_before or moment in {"raised", "confirmed"}


def test_what_a_status_means():
    assert {answer_of(status) for status in (200, 201, 204)} == {Answer.TAKEN}
    assert {answer_of(status) for status in (400, 413, 422)} == {Answer.REFUSED}
    assert {answer_of(status) for status in (301, 307, 401, 403, 404, 408, 429, 502, 503, 504)} == {Answer.LATER}
    assert {answer_of(status) for status in (500, 501, 520)} == {Answer.BROKEN}


def test_pauses_double_between_their_bounds():
    settings = push(retry_min_s=2, retry_max_s=30)
    assert [pause_s(settings, failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [2, 4, 8, 16, 30, 30]


@examples(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.lists(st.floats(0, 30), max_size=60))
def test_no_minute_holds_more_than_it_may(most, steps):
    pace, now, sent = Pace(most), 0.0, []
    for step in steps:
        now += step
        wait = pace.wait_s(now)
        if wait == 0:
            sent.append(now)
        else:
            now += wait
            assert pace.wait_s(now + 1e-6) == 0
            sent.append(now + 1e-6)
            now += 1e-6
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[most:], strict=False))
