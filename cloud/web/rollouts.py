"""Rollouts over HTTP, for reading: nothing is started here (`cloud.cli`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict

from cloud.deployment import Ask, Fate, Member, Order, Phase, Policy, Rollout, Tally
from cloud.fleet.presence import SILENT_AFTER
from cloud.ports import Clock
from cloud.rollout.scope import budget, in_scope
from cloud.store.rollouts import RolloutStore
from wire.fields import ID_PATTERN
from wire.messages import Refusal
from wire.updates import ModelRef, UpdateState

MAX_LISTED: Final = 200
HexId = Annotated[str, Path(pattern=ID_PATTERN)]


class View(BaseModel):
    """The base: made here, never changed."""

    model_config = ConfigDict(frozen=True)


class RolloutCounts(View):
    """Devices: those that the rollout is about, and what became of those that were told."""

    eligible: int
    away: int
    pending: int
    committed: int
    failed: int
    excused: int


class RolloutView(View):
    """A rollout; `stage` counts from 0 into `policy.stages`, `stage_devices` is how many may be told in it."""

    id: str
    group: str
    target: ModelRef
    back_to: ModelRef | None
    phase: Phase
    stage: int
    stage_devices: int
    reason: str
    passed_at: AwareDatetime | None
    created_at: AwareDatetime
    changed_at: AwareDatetime
    policy: Policy
    counts: RolloutCounts
    states: dict[str, int]


class RolloutDeviceView(View):
    """A device in a rollout: what it was told, what it last answered, and why it failed where it did."""

    device: str
    stage: int
    ask: Ask
    fate: Fate
    state: UpdateState | None
    reason: str
    online: bool
    excused: bool
    told_at: AwareDatetime
    moved_at: AwareDatetime


class RolloutDetail(RolloutView):
    """A rollout with its devices: failures first, then those at work, then by name; at most 200."""

    devices: tuple[RolloutDeviceView, ...]


_URGENCY: Final = (Fate.FAILED, Fate.PENDING, Fate.AWAY, Fate.COMMITTED)


def rollouts_router(*, rollouts: RolloutStore, clock: Clock) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["rollouts"], responses={404: {"model": Refusal}, 503: {"model": Refusal}})

    @router.get("/api/rollouts")
    async def list_rollouts(
        only_open: Annotated[bool, Query(description="Only those that are not over.")] = False,  # noqa: FBT002 - a query
    ) -> list[RolloutView]:
        """The rollouts, the latest first; at most 200."""
        listed = [one for one in await rollouts.all() if one.is_open or not only_open][:MAX_LISTED]
        fleet = await rollouts.members(clock.wall() - SILENT_AFTER) if listed else []
        return [rollout_view(one, await rollouts.orders(one.id), fleet) for one in listed]

    @router.get("/api/rollouts/{rollout_id}")
    async def one_rollout(rollout_id: HexId) -> RolloutDetail:
        """One rollout with its devices."""
        return await read_rollout(rollouts, rollout_id, clock)

    return router


async def read_rollout(store: RolloutStore, rollout_id: str, clock: Clock) -> RolloutDetail:
    """The rollout whose id begins so, as it stands.

    Raises:
        NotFound: There is none, or several.
    """
    rollout = await store.find(rollout_id)
    fleet = await store.members(clock.wall() - SILENT_AFTER)
    return rollout_detail(rollout, await store.orders(rollout.id), fleet)


def rollout_view(rollout: Rollout, orders: Mapping[str, Order], fleet: Sequence[Member]) -> RolloutView:
    """The rollout as a person sees it."""
    return RolloutView.model_validate(_fields(rollout, orders, fleet))


def rollout_detail(rollout: Rollout, orders: Mapping[str, Order], fleet: Sequence[Member]) -> RolloutDetail:
    """The rollout with its devices."""
    online = {member.device for member in fleet if member.online}
    shown = sorted(orders.values(), key=lambda order: (_URGENCY.index(order.fate), order.device))[:MAX_LISTED]
    devices = tuple(
        RolloutDeviceView(
            device=order.device,
            stage=order.stage,
            ask=order.ask,
            fate=order.fate,
            state=order.state,
            reason=order.reason,
            online=order.device in online,
            excused=order.excused,
            told_at=order.told_at,
            moved_at=order.moved_at,
        )
        for order in shown
    )
    return RolloutDetail.model_validate(_fields(rollout, orders, fleet) | {"devices": devices})


def _fields(rollout: Rollout, orders: Mapping[str, Order], fleet: Sequence[Member]) -> dict[str, object]:
    scope = in_scope(rollout, fleet)
    counts = Tally.of(orders.values(), len(scope))
    states = Counter("no answer yet" if order.state is None else order.state.value for order in orders.values())
    return {
        "id": rollout.id,
        "group": rollout.group,
        "target": rollout.target,
        "back_to": rollout.back_to,
        "phase": rollout.phase,
        "stage": rollout.stage,
        "stage_devices": budget(rollout.policy, rollout.stage, scope),
        "reason": rollout.reason,
        "passed_at": rollout.passed_at,
        "created_at": rollout.created_at,
        "changed_at": rollout.changed_at,
        "policy": rollout.policy,
        "counts": RolloutCounts(
            eligible=counts.eligible,
            away=counts.away,
            pending=counts.pending,
            committed=counts.committed,
            failed=counts.failed,
            excused=counts.excused,
        ),
        "states": dict(sorted(states.items())),
    }
