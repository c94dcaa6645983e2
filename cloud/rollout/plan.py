"""What a rollout does next. Pure: the rollout, its orders, the fleet and the time in; a decision out.

The rules:
1. Never have more devices been told than the present stage's share of those that the rollout is about. One that was
   revoked since is none of them any more, and another takes its place.
2. Canaries come first, then the devices in the order of a hash over rollout and device: the same each time.
3. Before the last stage only devices that are there are chosen; in the last one all, and who is away catches up.
4. A stage is passed when nobody is left to tell, and enough have committed; when it has soaked, the next begins.
5. Too many failures, of all tried or of the latest stage's, halt the rollout; so does a stage that can't be passed
   any more, and a drop of the audited accuracy that is no chance. A halt holds back all who have not switched, and
   tells nobody new.
6. A rollback tells everyone who was told anything, and nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cloud.deployment import ALLOWED, Ask, Fate, Member, Order, Phase, Rollout, Tally, Wish
from cloud.rollout.judge import judged
from cloud.rollout.scope import budget, in_scope, rank
from vision.estimates import Drop
from wire.updates import ModelRef

# A device that lies about the version it saw must not drive its counter to the end of what a message can say.
_CREDIBLE_VERSION: Final = 2**52


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    Attributes:
        rollout: As it stands from now on.
        orders: Those that are new or changed.
        tell: The devices, of those, to which a new `Desired` goes.
        refused: Why the wish can't be granted; empty if it was, or there was none.
    """

    rollout: Rollout
    orders: tuple[Order, ...] = ()
    tell: tuple[str, ...] = ()
    refused: str = ""


def plan(
    rollout: Rollout,
    orders: Mapping[str, Order],
    fleet: Sequence[Member],
    now: datetime,
    *,
    wish: Wish | None = None,
    drop: Drop | None = None,
) -> Decision:
    """Decide on the next step.

    Args:
        rollout: As it stood.
        orders: What was told so far, by device.
        fleet: All devices that were not revoked.
        now: The time of day.
        wish: What a person asked for since.
        drop: Of the audited accuracy, from the model before to this one; None where too little was audited to tell.
    """
    planning = _Planning(rollout, orders, fleet, now)
    refused = planning.grant(wish) if wish is not None else ""
    planning.judge()
    planning.go_on(drop)
    return planning.decision(refused)


class _Planning:
    def __init__(self, before: Rollout, orders: Mapping[str, Order], fleet: Sequence[Member], now: datetime) -> None:
        self._before = before
        self._rollout = before
        self._orders_before = orders
        self._orders = dict(orders)
        self._fleet = {member.device: member for member in fleet}
        self._scope = in_scope(before, fleet)
        self._now = now
        self._tell: dict[str, None] = {}

    def decision(self, refused: str) -> Decision:
        changed = tuple(
            order
            for device, order in self._orders.items()
            if (before := self._orders_before.get(device)) is not order and before != order
        )
        rollout = self._rollout
        if rollout != self._before:
            rollout = rollout.model_copy(update={"changed_at": self._now})
        return Decision(rollout, changed, tuple(self._tell), refused)

    # --- what a person wants -------------------------------------------------------------------------------------

    def grant(self, wish: Wish) -> str:
        rollout = self._rollout
        if rollout.phase not in ALLOWED[wish]:
            return f"a rollout that is {rollout.phase} can't {wish}"
        match wish:
            case Wish.PAUSE:
                self._enter(Phase.PAUSED, "a person paused it")
                self._hold_back()
            case Wish.RESUME:
                self._enter(Phase.RUNNING, "")
                self._take_up()
            case Wish.ABORT:
                self._enter(Phase.ABORTED, "a person aborted it; what has switched stays")
                self._withdraw()
            case Wish.ROLLBACK if rollout.back_to is None:
                return "no signed release is known that its devices could return to"
            case Wish.ROLLBACK:
                self._enter(Phase.ROLLING_BACK, "", signed=False)
        return ""

    def _enter(self, phase: Phase, reason: str, **more: object) -> None:
        self._rollout = self._rollout.model_copy(
            update={"phase": phase, "reason": reason, "passed_at": None, **more},
        )

    def _hold_back(self) -> None:
        """Whoever has not switched yet shall not."""
        for order in self._unsettled(Ask.INSTALL):
            self._ask(order, Ask.PAUSE)

    def _take_up(self) -> None:
        for order in tuple(self._orders.values()):
            settled = order.sure or order.fate is Fate.COMMITTED
            excused = order.excused or (order.fate is Fate.FAILED and self._before.phase is Phase.HALTED)
            if order.ask is Ask.PAUSE and not settled:
                waits = replace(order, fate=_waiting(order), reason="", moved_at=self._now, excused=excused)
                self._ask(waits, Ask.INSTALL)
                continue
            # What came to its end while it was being held back is not asked again.
            ask = Ask.INSTALL if order.ask is Ask.PAUSE else order.ask
            self._orders[order.device] = replace(order, ask=ask, excused=excused)

    def _withdraw(self) -> None:
        for order in (*self._unsettled(Ask.INSTALL), *self._unsettled(Ask.PAUSE), *self._unsettled(Ask.RETURN)):
            self._ask(order, Ask.WITHDRAW)

    def _unsettled(self, ask: Ask) -> list[Order]:
        return [
            order
            for order in self._orders.values()
            if order.ask is ask and order.fate is not Fate.COMMITTED and not order.sure
        ]

    # --- what became of the orders -------------------------------------------------------------------------------

    def judge(self) -> None:
        rollout, policy = self._rollout, self._rollout.policy
        timed = rollout.phase in {Phase.RUNNING, Phase.ROLLING_BACK}
        for order in tuple(self._orders.values()):
            member = self._fleet.get(order.device)
            if member is None and order.fate is Fate.PENDING:
                self._orders[order.device] = replace(order, fate=Fate.AWAY)
            elif member is not None:
                goal = self._goal(order)
                self._orders[order.device] = judged(order, member, goal, policy, self._now, timed=timed)

    def _goal(self, order: Order) -> ModelRef:
        if order.ask is Ask.RETURN and self._rollout.back_to is not None:
            return self._rollout.back_to
        return self._rollout.target

    # --- the next step -------------------------------------------------------------------------------------------

    def go_on(self, drop: Drop | None) -> None:
        if not self._rollout.signed:
            return
        if self._rollout.phase is Phase.ROLLING_BACK:
            self._return_all()
        elif self._rollout.phase is Phase.RUNNING:
            why = self._harm(drop)
            if why:
                self._halt(why)
            else:
                self._advance()

    def _halt(self, why: str) -> None:
        self._enter(Phase.HALTED, why)
        self._hold_back()

    def _harm(self, drop: Drop | None) -> str:
        policy, rollout = self._rollout.policy, self._rollout
        latest = [order for order in self._orders.values() if order.stage == rollout.stage]
        for among, orders in (("all", self._orders.values()), ("this stage's", latest)):
            counts = Tally.of(orders)
            tried = counts.committed + counts.failed
            if tried >= policy.min_tried and counts.failed > policy.max_failure_share * tried:
                return f"{counts.failed} of {among} {_devices(tried)} tried failed; {self._commonest_failure()}"
        if drop is not None and drop.exceeds(policy.max_accuracy_drop):
            return (
                f"the audited accuracy fell from {drop.before:.3f} ({drop.frames_before} frames) to {drop.now:.3f}"
                f" ({drop.frames_now} frames)"
            )
        return ""

    def _commonest_failure(self) -> str:
        reasons = [order.reason for order in self._orders.values() if order.fate is Fate.FAILED and not order.excused]
        return f"most often: {max(sorted(set(reasons)), key=reasons.count)}"

    def _advance(self) -> None:
        self._tell_more()
        verdict = self._stage_verdict()
        if verdict is not None:
            self._not_passed(*verdict)
            return
        if self._rollout.passed_at is None:
            self._note(passed_at=self._now, reason="the stage is passed, and soaks")
        if not self._soaked():
            return
        if self._last():
            self._enter(Phase.FINISHED, self._summary())
        else:
            self._note(stage=self._next_stage(), passed_at=None, reason="")
            self._tell_more()

    def _not_passed(self, reason: str, hopeless: bool) -> None:  # noqa: FBT001 - half of a verdict
        if hopeless:
            self._halt(reason)
        else:
            self._note(passed_at=None, reason=reason)

    def _note(self, **changes: object) -> None:
        self._rollout = self._rollout.model_copy(update=changes)

    def _last(self) -> bool:
        return self._rollout.stage == len(self._rollout.policy.stages) - 1

    def _next_stage(self) -> int:
        """The next that has room for another device; in a small group several stages are the same."""
        policy, told = self._rollout.policy, self._told()
        for stage in range(self._rollout.stage + 1, len(policy.stages) - 1):
            if budget(policy, stage, self._scope) > told:
                return stage
        return len(policy.stages) - 1

    def _soaked(self) -> bool:
        since = self._rollout.passed_at
        return since is not None and (self._now - since).total_seconds() >= self._rollout.policy.soak_s

    def _stage_verdict(self) -> tuple[str, bool] | None:
        """Why the stage is not passed, and whether it can't be any more; None if it is passed."""
        counts = Tally.of(self._orders.values(), len(self._scope))
        tried = counts.committed + counts.failed + counts.pending
        if self._room() and self._candidates():
            return f"{_devices(counts.pending)} at work on it, as many as may be", False
        if self._last() and counts.pending:
            return f"waiting for {_devices(counts.pending)}", False
        if tried + counts.excused == 0 and counts.eligible > 0:
            return "waiting for a device to be there", False
        if counts.committed + counts.excused == 0 and counts.pending:
            return f"waiting for {_devices(counts.pending)}", False
        if counts.committed + counts.excused == 0 and counts.failed:
            return f"no device could be brought to it; {self._commonest_failure()}", True
        if counts.committed < (1 - self._rollout.policy.max_failure_share) * tried - 1e-9:
            if counts.pending:
                return f"waiting for {_devices(counts.pending)}", False
            return f"{counts.failed} of {_devices(tried)} tried failed; {self._commonest_failure()}", True
        return None

    def _summary(self) -> str:
        counts = Tally.of(self._orders.values(), len(self._scope))
        parts = [f"{counts.committed} run it"]
        parts += [f"{counts.failed + counts.excused} failed"] if counts.failed + counts.excused else []
        away = [order for order in self._orders.values() if order.fate is Fate.AWAY]
        return ", ".join([*parts, *self._missing(away, "will catch up")])

    def _missing(self, orders: Sequence[Order], will: str) -> list[str]:
        """Of whose devices nothing was heard, and of whose nothing will be."""
        known = sum(order.device in self._fleet for order in orders)
        revoked = len(orders) - known
        parts = [f"{known} are away and {will}"] if known else []
        return parts + ([f"{revoked} {'was' if revoked == 1 else 'were'} revoked"] if revoked else [])

    # --- telling devices -----------------------------------------------------------------------------------------

    def _room(self) -> int:
        return budget(self._rollout.policy, self._rollout.stage, self._scope) - self._told()

    def _told(self) -> int:
        """How many were told something; who was revoked since leaves a place to another."""
        return sum(device in self._fleet for device in self._orders)

    def _candidates(self) -> list[Member]:
        """Who may be told next; in the first stage and the last, who is away too, if it must be that one."""
        canaries = set(self._rollout.policy.canaries)
        return [
            member
            for member in self._scope
            if member.device not in self._orders and (member.online or self._last() or member.device in canaries)
        ]

    def _tell_more(self) -> None:
        room = self._room()
        if room <= 0:
            return
        policy = self._rollout.policy
        canaries = set(policy.canaries)
        candidates = sorted(
            self._candidates(),
            key=lambda member: (member.device not in canaries, rank(self._rollout.id, member.device)),
        )
        flying = sum(order.fate is Fate.PENDING for order in self._orders.values())
        for member in candidates[:room]:
            if member.online:
                if flying >= policy.max_in_flight:
                    continue
                flying += 1
            self._ask(self._new_order(member), Ask.INSTALL)

    def _new_order(self, member: Member) -> Order:
        return Order(
            device=member.device,
            stage=self._rollout.stage,
            ask=Ask.INSTALL,
            version=0,
            since_version=0,
            told_at=self._now,
            moved_at=self._now,
            there=member.online,
            fate=Fate.PENDING if member.online else Fate.AWAY,
        )

    def _ask(self, order: Order, ask: Ask) -> None:
        member = self._fleet.get(order.device)
        if member is None:
            return
        version = self._next_version(order, member)
        same_goal = {order.ask, ask} == {Ask.INSTALL, Ask.PAUSE}
        self._orders[order.device] = replace(
            order,
            ask=ask,
            version=version,
            since_version=order.since_version if same_goal else version,
            told_at=self._now,
        )
        self._tell[order.device] = None

    def _next_version(self, order: Order, member: Member) -> int:
        """Above all that the device has seen, also where our own count was lost."""
        reported = 0 if member.answer is None else member.answer.desired_version
        seen = reported if reported < _CREDIBLE_VERSION else 0
        return max(order.version, member.desired_version, seen) + 1

    # --- back ----------------------------------------------------------------------------------------------------

    def _return_all(self) -> None:
        waiting = [order for order in self._orders.values() if order.ask is not Ask.RETURN]
        waiting = [order for order in waiting if order.device in self._fleet]
        flying = sum(o.ask is Ask.RETURN and o.fate is Fate.PENDING for o in self._orders.values())
        for order in sorted(waiting, key=lambda order: rank(self._rollout.id, order.device)):
            online = self._fleet[order.device].online
            if online and flying >= self._rollout.policy.max_in_flight:
                continue
            flying += online
            fresh = replace(
                order,
                moved_at=self._now,
                there=online,
                state=None,
                fate=Fate.PENDING if online else Fate.AWAY,
                reason="",
                sure=False,
                excused=False,
            )
            self._ask(fresh, Ask.RETURN)
        returning = [order for order in self._orders.values() if order.ask is Ask.RETURN]
        left = sum(order.fate is Fate.PENDING for order in returning) + len(waiting)
        if left:
            self._note(reason=f"waiting for {_devices(left)}")
        else:
            missing = [o for o in self._orders.values() if o.ask is not Ask.RETURN or o.fate is Fate.AWAY]
            self._enter(Phase.ROLLED_BACK, ", ".join([*_returned(returning), *self._missing(missing, "will")]))


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def _waiting(order: Order) -> Fate:
    return Fate.AWAY if order.fate is Fate.AWAY else Fate.PENDING


def _returned(orders: Sequence[Order]) -> list[str]:
    counts = Tally.of(orders)
    parts = [f"{counts.committed} returned"]
    return parts + ([f"{counts.failed} failed to"] if counts.failed else [])
