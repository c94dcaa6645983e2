"""What became of an order, by what the device reports and whether it is there. Pure.

The rules:
1. Only a report on a `Desired` that asked for the same counts as an answer.
2. Who claims to be done but runs something else, lies; so does who was done and then is not. A lie is for good.
3. Who says that it failed, has failed; unless it succeeds after all, since a person had it try again.
4. Who was there when it was told, and is gone for long, has vanished; who was not there is away, and no failure.
5. Who shows no progress for long has timed out; who waits for its maintenance window has not.
6. Who vanished or timed out, and comes back and succeeds after all, has succeeded. Excused meanwhile, since a person
   resumed the rollout in spite of it, it counts again once it is at work.
7. Who was told to return, and runs what it shall return to, is there, whatever it says of how.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from cloud.deployment import Answer, Ask, Fate, Member, Order, Policy
from wire.updates import ModelRef, UpdateState

DONE: Final = frozenset({UpdateState.COMMITTED, UpdateState.ALREADY_INSTALLED})
BROKEN: Final = frozenset(
    {
        UpdateState.FAILED,
        UpdateState.ROLLED_BACK,
        UpdateState.ROLLBACK_FAILED,
        UpdateState.REJECTED,
        UpdateState.TIMED_OUT,
        UpdateState.CANCELED,
    }
)


def judged(order: Order, member: Member, goal: ModelRef, policy: Policy, now: datetime, *, timed: bool) -> Order:
    """The order as it stands by now; the same object if nothing changed.

    Args:
        order: As it stood.
        member: The device as it is.
        goal: What the order asks it to run.
        policy: For its limits.
        now: The time of day.
        timed: Whether time counts against the device: not while the rollout is paused.
    """
    if order.ask is Ask.WITHDRAW:
        return order
    if order.sure:
        return _mended(order, member.answer, goal, now)
    present = _present(order, member, now)
    answer = member.answer
    if answer is not None and order.since_version <= answer.desired_version <= order.version:
        present = _answered(present, answer, goal, now)
    elif order.fate is Fate.COMMITTED:
        if answer is not None and answer.running != goal.digest:
            return _lied(present, f"it was on {goal.version}, and now runs {answer.running[:19]}…")
        return order
    if timed and present.fate is Fate.PENDING:
        return _late(present, member, policy, now)
    return present


def _mended(order: Order, answer: Answer | None, goal: ModelRef, now: datetime) -> Order:
    """Who failed by its own word may succeed by it; a lie is for good, and left its order in no broken state."""
    if answer is None or order.state not in BROKEN:
        return order
    asked = order.since_version <= answer.desired_version <= order.version
    if asked and answer.state in DONE and answer.running == goal.digest:
        good = replace(order, state=answer.state, fate=Fate.COMMITTED, moved_at=now)
        return replace(good, reason="", sure=False, excused=False)
    return order


def _present(order: Order, member: Member, now: datetime) -> Order:
    """Who comes back was there from now on."""
    if order.there or not member.online:
        return order
    return replace(order, there=True, moved_at=now, fate=Fate.PENDING if order.fate is Fate.AWAY else order.fate)


def _answered(order: Order, answer: Answer, goal: ModelRef, now: datetime) -> Order:
    runs_it = answer.running == goal.digest
    moved = order
    if order.state is not answer.state:
        # Whatever it was excused for, it is at work again.
        moved = replace(order, state=answer.state, moved_at=now, excused=False)
    if order.ask is Ask.RETURN and runs_it:
        return _fated(moved, Fate.COMMITTED)
    if answer.state in BROKEN:
        ended = answer.state.replace("_", " ")
        said = f"{ended}: {answer.reason}" if answer.reason else ended
        return replace(moved, fate=Fate.FAILED, reason=said, sure=True)
    if answer.state in DONE or answer.state is UpdateState.IDLE:
        if runs_it:
            return _fated(moved, Fate.COMMITTED)
        if answer.state in DONE:
            return _lied(moved, f"it reports {answer.state}, but runs {answer.running[:19]}…")
    if order.fate is Fate.COMMITTED and answer.state is not UpdateState.ROLLING_BACK:
        return _lied(moved, f"it was committed, and went back to {answer.state}")
    return _fated(moved, Fate.PENDING) if moved is not order or order.fate is Fate.AWAY else order


def _late(order: Order, member: Member, policy: Policy, now: datetime) -> Order:
    if not member.online:
        gone_since = max(member.last_seen_at or order.moved_at, order.moved_at)
        if order.there and (now - gone_since).total_seconds() > policy.vanish_s:
            return replace(order, fate=Fate.FAILED, reason=f"it vanished{_while(order)}")
        return order
    if order.state is UpdateState.QUEUED and policy.windows:
        return order
    allowed_s = policy.timeout_s + policy.jitter_s + policy.gates.probation_s
    if (now - order.moved_at).total_seconds() > allowed_s:
        return replace(order, fate=Fate.FAILED, reason=f"no progress for {allowed_s:g} s{_while(order)}")
    return order


def _while(order: Order) -> str:
    return " without an answer" if order.state is None else f" while {order.state}"


def _fated(order: Order, fate: Fate) -> Order:
    excused = order.excused and fate is not Fate.COMMITTED
    if order.fate is fate and order.there and not order.reason and order.excused is excused:
        return order
    return replace(order, fate=fate, reason="", there=True, excused=excused)


def _lied(order: Order, how: str) -> Order:
    return replace(order, fate=Fate.FAILED, reason=f"not to be believed: {how}", sure=True)
