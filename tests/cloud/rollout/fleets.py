"""A fleet in memory whose devices do as they were scripted: obey, refuse, vanish, lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cloud.deployment import Answer, Ask, Fate, Member, Order, Phase, Policy, Rollout, Wish
from cloud.rollout.plan import Decision, plan
from cloud.rollout.scope import budget, in_scope
from tests.cloud.samples import NOW, new_id
from vision.estimates import Drop
from wire.updates import ModelRef, UpdateState


def ref(version: str = "2.0.0", number: int = 2, name: str = "nanodet") -> ModelRef:
    return ModelRef(name=name, version=version, digest=f"sha256:{number:064x}", number=number)


OLD, NEW = ref("1.0.0", 1), ref()


def rollout_of(policy: Policy | None = None, **changes: object) -> Rollout:
    fields: dict[str, object] = {
        "id": new_id(),
        "group": "default",
        "target": NEW,
        "back_to": OLD,
        "policy": policy or Policy(soak_s=0),
        "signed": True,
        "created_at": NOW,
        "changed_at": NOW,
    }
    return Rollout.model_validate(fields | changes)


Answering = Callable[[Answer, Order, str, datetime], Answer | None]
"""What a device reports next, by its last answer, its order and the digest that it is asked to run."""


def obeys(_last: Answer, order: Order, goal: str, _now: datetime) -> Answer:
    return Answer(order.version, UpdateState.COMMITTED, goal)


def refuses(last: Answer, order: Order, goal: str, _now: datetime) -> Answer:
    if last.running == goal:
        return Answer(order.version, UpdateState.ALREADY_INSTALLED, goal)
    return Answer(order.version, UpdateState.REJECTED, last.running, "it detects nothing")


def claims(last: Answer, order: Order, _goal: str, _now: datetime) -> Answer:
    return Answer(order.version, UpdateState.COMMITTED, last.running)


def vanishes(_last: Answer, _order: Order, _goal: str, _now: datetime) -> None:
    return None


def dawdles(last: Answer, order: Order, _goal: str, _now: datetime) -> Answer:
    return Answer(order.version, UpdateState.DOWNLOADING, last.running)


def relapses(last: Answer, order: Order, goal: str, _now: datetime) -> Answer:
    done = last.state is UpdateState.COMMITTED and last.running == goal
    return Answer(order.version, UpdateState.QUEUED if done else UpdateState.COMMITTED, goal)


@dataclass
class Simulation:
    """Turns the plan and the devices in steps."""

    rollout: Rollout
    members: dict[str, Member]
    answering: Mapping[str, Answering] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    now: datetime = NOW
    history: list[Decision] = field(default_factory=list)
    drop: Drop | None = None

    @classmethod
    def of(
        cls, count: int, rollout: Rollout, answering: Mapping[str, Answering] | None = None, *, online: bool = True
    ) -> Simulation:
        idle = Answer(0, UpdateState.IDLE, OLD.digest)
        ids = [f"cam-{number:05d}" for number in range(count)]
        member = Member("", online=online, last_seen_at=NOW, answer=idle)
        return cls(rollout, {one: replace(member, device=one) for one in ids}, answering or {})

    def step(self, wish: Wish | None = None, seconds: float = 1) -> Decision:
        decision = plan(self.rollout, self.orders, list(self.members.values()), self.now, wish=wish, drop=self.drop)
        self._check(decision)
        self.history.append(decision)
        self.rollout = decision.rollout
        self.orders |= {order.device: order for order in decision.orders}
        for device in decision.tell:
            self.members[device] = replace(self.members[device], desired_version=self.orders[device].version)
        self.now += timedelta(seconds=seconds)
        self._devices_answer()
        return decision

    def run(self, steps: int = 60, seconds: float = 1) -> Simulation:
        for _ in range(steps):
            if not self.rollout.is_open:
                break
            self.step(seconds=seconds)
        return self

    def touched(self) -> set[str]:
        return set(self.orders)

    def fates(self) -> dict[Fate, int]:
        return {fate: sum(order.fate is fate for order in self.orders.values()) for fate in Fate}

    def _devices_answer(self) -> None:
        for device, order in self.orders.items():
            member = self.members.get(device)
            if member is None or not member.online:
                continue
            behaves = self.answering.get(device, obeys)
            goal = OLD.digest if order.ask is Ask.RETURN else self.rollout.target.digest
            last = member.answer
            assert last is not None
            if order.ask in {Ask.PAUSE, Ask.WITHDRAW} and last.running != goal:
                paused = UpdateState.PAUSED if order.ask is Ask.PAUSE else UpdateState.IDLE
                answer: Answer | None = Answer(order.version, paused, last.running)
            else:
                answer = behaves(last, order, goal, self.now)
            self.members[device] = (
                replace(member, online=False)
                if answer is None
                else replace(member, answer=answer, last_seen_at=self.now)
            )

    def _check(self, decision: Decision) -> None:
        """What must hold at every step, whatever the devices do."""
        fresh = [order for order in decision.orders if order.device not in self.orders]
        after = decision.rollout
        scope = in_scope(after, self.members.values())
        if fresh:
            assert Phase.RUNNING in {self.rollout.phase, after.phase}
            told_so_far = len(self.orders.keys() & self.members.keys())
            assert told_so_far + len(fresh) <= budget(after.policy, after.stage, scope)
            assert {order.device for order in fresh} <= {member.device for member in scope}
        assert set(decision.tell) <= {order.device for order in decision.orders}
        changed = {order.device: order for order in decision.orders}
        for device in decision.tell:
            told = changed[device]
            assert told.version > self.members[device].desired_version
            if after.phase in {Phase.HALTED, Phase.PAUSED}:
                assert told.ask is Ask.PAUSE
