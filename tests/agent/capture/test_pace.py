from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.pace import Backoff, ClipTime, RateLimit


def test_a_clip_is_due_at_its_own_pace_from_its_first_picture_on() -> None:
    clip = ClipTime(50.0)
    assert [clip.due(position) for position in (3.0, 3.1, 3.2)] == pytest.approx([50.0, 50.1, 50.2])


def test_a_loop_follows_the_last_picture_at_the_same_distance() -> None:
    clip = ClipTime(50.0)
    first = [clip.due(position) for position in (0.0, 0.5, 1.0)]
    clip.begin_again()
    assert first + [clip.due(position) for position in (0.0, 0.5)] == pytest.approx([50.0, 50.5, 51.0, 51.5, 52.0])


@given(
    fps=st.floats(5, 120),
    limit=st.floats(0.5, 60),
)
def test_a_rate_limit_keeps_the_average(fps: float, limit: float) -> None:
    rate = RateLimit(limit)
    seconds = 20
    passed = sum(rate.admits(index / fps) for index in range(int(fps * seconds)))
    assert passed == pytest.approx(min(fps, limit) * seconds, rel=0.1, abs=2)


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    rate = RateLimit(1.0)
    assert rate.admits(0.0)
    assert rate.admits(100.0)
    assert not rate.admits(100.1)


def test_without_a_limit_everything_passes() -> None:
    rate = RateLimit(None)
    assert all(rate.admits(at) for at in (0.0, 0.0, 0.001, 5.0))


def test_pauses_double_up_to_the_most_and_begin_anew_after_a_life() -> None:
    backoff = Backoff(1.0, 8.0, random=lambda: 1.0)
    assert [backoff.next_s(lived_s=0.0) for _ in range(6)] == [1, 2, 4, 8, 8, 8]
    assert backoff.next_s(lived_s=5.0) == 8.0
    assert backoff.next_s(lived_s=9.0) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_jitter_shortens_by_a_half_at_most(draws: list[float]) -> None:
    rolls = iter(draws)
    backoff = Backoff(1.0, 60.0, random=lambda: next(rolls))
    for index in range(len(draws)):
        full = min(2.0**index, 60.0)
        assert full / 2 <= backoff.next_s(lived_s=0.0) <= full
