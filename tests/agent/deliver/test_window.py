from __future__ import annotations

import pytest

from agent.deliver.outbox import Queued
from agent.deliver.window import MAX_ACK_TIMEOUT_S, Window


def queued(row: int) -> Queued:
    return Queued(row, f"{row:032x}", b"")


def window_with(rows: range, size: int = 4) -> Window:
    window = Window(size, ack_timeout_s=10.0)
    for row in rows:
        window.sent(queued(row), now=100.0)
    return window


def test_what_was_sent_takes_room_until_it_is_acked():
    window = window_with(range(1, 4))
    assert (window.room, window.cursor) == (1, 3)
    window.acked([f"{1:032x}", f"{2:032x}", "unknown"], now=101.0)
    assert (window.room, window.waiting) == (3, 1)


def test_it_is_overdue_only_after_the_timeout_without_any_ack():
    window = window_with(range(1, 3))
    assert not window.overdue(109.9)
    window.acked([f"{1:032x}"], now=109.0)
    assert not window.overdue(118.9)
    assert window.overdue(119.0)


def test_going_back_starts_from_the_oldest_and_waits_twice_as_long():
    window = window_with(range(1, 3))
    window.go_back()
    assert (window.cursor, window.waiting, window.repeat_at()) == (0, 0, None)
    window.sent(queued(1), now=200.0)
    assert window.repeat_at() == 220.0


def test_an_ack_makes_the_timeout_short_again():
    window = window_with(range(1, 3))
    for _ in range(20):
        window.go_back()
    window.sent(queued(1), now=0.0)
    assert window.repeat_at() == MAX_ACK_TIMEOUT_S
    window.sent(queued(2), now=0.0)
    window.acked([f"{1:032x}"], now=50.0)
    assert window.repeat_at() == 60.0


def test_a_foreign_ack_is_no_progress():
    window = window_with(range(1, 2))
    window.acked(["f" * 32], now=109.0)
    assert window.overdue(110.0)


def test_a_new_connection_starts_again():
    window = window_with(range(1, 5))
    assert window.room == 0
    window.restart()
    assert (window.room, window.cursor) == (4, 0)


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_nothing_sent_is_never_overdue(now):
    assert not Window(4, 10.0).overdue(now)


def test_a_slow_link_is_given_more_time():
    window = window_with(range(1, 2))
    window.postpone(109.0)
    assert not window.overdue(112.0)
