"""A device that failed and was had to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloud.deployment import Answer, Ask, Fate, Member, Order, Policy
from cloud.rollout.judge import judged
from wire.updates import ModelRef, UpdateState

NOW = datetime(2026, 11, 25, tzinfo=UTC)
S = UpdateState


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


GOAL = ModelRef(name="detector", version="2", digest=digest("b"), number=2)


def order(**more: object) -> Order:
    fields: dict[str, object] = {
        "device": "gate-1", "stage": 0, "ask": Ask.INSTALL, "version": 3, "since_version": 3, "told_at": NOW,
        "moved_at": NOW, "there": True,
    }  # fmt: skip
    return Order(**(fields | more))  # type: ignore[arg-type]


def after(before: Order, state: UpdateState, running: str, version: int = 3) -> Order:
    member = Member("gate-1", online=True, last_seen_at=NOW, answer=Answer(version, state, running, "so"))
    return judged(before, member, GOAL, Policy(), NOW + timedelta(seconds=5), timed=True)


@pytest.mark.parametrize("state", [S.FAILED, S.REJECTED, S.TIMED_OUT, S.CANCELED])
def test_who_failed_and_is_had_to_try_again_has_succeeded_when_it_does(state: UpdateState) -> None:
    failed = after(order(), state, digest("a"))
    assert (failed.fate, failed.sure) == (Fate.FAILED, True)
    for on_the_way in (S.QUEUED, S.DOWNLOADING, S.PROBATION):
        assert after(failed, on_the_way, digest("a")) is failed
    assert after(failed, S.COMMITTED, digest("a")) is failed
    assert after(failed, S.COMMITTED, digest("b"), version=2) is failed
    done = after(failed, S.COMMITTED, digest("b"))
    assert (done.fate, done.reason, done.sure, done.excused) == (Fate.COMMITTED, "", False, False)


def test_who_lied_is_not_believed_later() -> None:
    lied = after(order(), S.COMMITTED, digest("a"))
    assert (lied.fate, lied.sure) == (Fate.FAILED, True)
    assert after(lied, S.COMMITTED, digest("b")) is lied
