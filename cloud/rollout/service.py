"""The loop of the rollouts: look at the fleet, decide, commit, publish.

For each decision, in this order: the group's document is signed; the decision is committed with the messages that
follow from it; these are published. Whatever stops it in between, the next round goes on from what was committed. A
decision is dropped where a person wished something meanwhile of which it knew nothing.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cloud.bus import Bus, Change, Kind
from cloud.deployment import Ask, Order, Phase, Rollout, Wish
from cloud.errors import CloudError, LinkError, StoreError
from cloud.fleet.presence import SILENT_AFTER
from cloud.log import Trouble
from cloud.ports import Clock
from cloud.rollout.plan import plan
from cloud.rollout.ports import AuditedAccuracy, GroupSigner, Publisher
from cloud.store.rollouts import RolloutStore, Standing
from vision.estimates import Drop
from wire.topics import Channel
from wire.updates import Desired, Gates, GroupRelease, ModelRef

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
# The link's own bound is 1000 unacknowledged; alerts' acks go the same way.
PUBLISHED_AT_ONCE: Final = 200
_MAX_ALLOWED: Final = 8
# Back means away from harm: no trial, no window, and the model before is held to nothing that the bad one did: it may
# be slower, and find as much more or less as it finds.
_RETURN: Final[Mapping[str, object]] = {
    "shadow_frames": 0,
    "max_latency_ratio": 1000.0,
    "min_detection_ratio": 0.0,
    "max_detection_ratio": 1000.0,
    "max_accuracy_drop": 1.0,
}


class RolloutService:
    """Runs until it is cancelled. The only one that moves rollouts on: persons' wishes pass through the store."""

    def __init__(
        self,
        *,
        store: RolloutStore,
        signer: GroupSigner,
        link: Publisher,
        bus: Bus,
        clock: Clock,
        accuracy: AuditedAccuracy | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._link = link
        self._bus = bus
        self._clock = clock
        self._accuracy = accuracy
        self._trouble = Trouble()
        # As committed; saves reading ten thousand of them each second.
        self._orders: dict[str, dict[str, Order]] = {}

    async def run(self) -> None:
        """Look every second."""
        while True:
            try:
                await self.look()
            except StoreError as failed:
                self._orders.clear()
                if self._trouble.begins(failed):
                    log.warning("rollouts wait for the store: %s", failed)
            else:
                if self._trouble.ends():
                    log.info("rollouts go on")
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """One round.

        Raises:
            StoreError: Nothing was decided that is not committed.
        """
        standing = await self._store.active()
        self._orders = {
            one.rollout.id: self._orders[one.rollout.id] for one in standing if one.rollout.id in self._orders
        }
        for one in standing:
            await self._move_on(one)
        await self._publish()

    async def _move_on(self, standing: Standing) -> None:
        rollout = standing.rollout
        if rollout.id not in self._orders:
            self._orders[rollout.id] = await self._store.orders(rollout.id)
        if not rollout.signed and standing.wish is None:
            rollout = await self._signed(rollout)
        orders = self._orders[rollout.id]
        now = self._clock.wall()
        decision = plan(
            rollout,
            orders,
            await self._store.members(now - SILENT_AFTER),
            now,
            wish=standing.wish,
            drop=await self._drop(rollout),
        )
        if decision.refused:
            log.warning("rollout: %s", decision.refused, extra={"deployment_id": rollout.id})
        if decision.rollout == standing.rollout and not decision.orders and standing.wish is None:
            return
        changed = {order.device: order for order in decision.orders}
        messages = [desired_of(decision.rollout, changed[device], now) for device in decision.tell]
        if not await self._store.save(decision.rollout, decision.orders, messages, standing.wish):
            return  # A person wished otherwise meanwhile: decided anew at the next look.
        orders |= changed
        _say(standing, decision.rollout, len(messages))
        self._bus.publish(Change(Kind.ROLLOUT, rollout.id))

    async def _drop(self, rollout: Rollout) -> Drop | None:
        if self._accuracy is None or rollout.back_to is None:
            return None
        return await self._accuracy.drop(rollout.back_to.digest, rollout.target.digest)

    # --- the signed document -------------------------------------------------------------------------------------

    async def _signed(self, rollout: Rollout) -> Rollout:
        """With the group's document signed for its phase, or with the reason why that can't be done."""
        if rollout.phase not in {Phase.RUNNING, Phase.ROLLING_BACK}:
            return rollout
        try:
            allowed = self._allowed(
                rollout,
                await self._store.running(rollout.group),
                await asyncio.to_thread(self._published),
                await asyncio.to_thread(self._signer.group, rollout.group),
            )
            document = await asyncio.to_thread(self._signer.set_group, rollout.group, allowed)
        except StoreError:
            raise
        except (CloudError, OSError) as refused:
            return rollout.model_copy(update={"reason": f"the group's document can't be signed: {refused}"})
        log.info("group signed", extra={"group": rollout.group, "sequence": document.sequence})
        return rollout.model_copy(update={"signed": True, "reason": ""})

    def _published(self) -> dict[str, ModelRef]:
        return {release.ref.digest: release.ref for release in self._signer.releases() if release.published}

    def _allowed(
        self,
        rollout: Rollout,
        running: Sequence[ModelRef],
        published: Mapping[str, ModelRef],
        document: GroupRelease | None,
    ) -> list[ModelRef]:
        """The rollout's release and the one before it; what other devices run stays allowed, where it is genuine.

        A rollback no longer allows what it turns away from.
        """
        floors = {} if document is None else document.min_release
        returning = rollout.phase is Phase.ROLLING_BACK
        first = [] if returning else [rollout.target]
        first += [] if rollout.back_to is None else [rollout.back_to]
        allowed = {ref.digest: ref for ref in first}
        for ref in running:
            genuine = published.get(ref.digest)
            if genuine is None or genuine.number < floors.get(genuine.name, 0):
                continue
            if not returning or genuine.digest != rollout.target.digest:
                allowed.setdefault(genuine.digest, genuine)
        return list(allowed.values())[:_MAX_ALLOWED]

    # --- telling the devices -------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        while messages := await self._store.unpublished(PUBLISHED_AT_ONCE):
            sent = await self._sent(messages)
            await self._store.published(sent)
            if len(sent) < len(messages):
                return

    async def _sent(self, messages: Sequence[Desired]) -> list[Desired]:
        """Those that the broker has by now."""
        results = await asyncio.gather(
            *(self._link.publish(message.device, Channel.DESIRED, message) for message in messages),
            return_exceptions=True,
        )
        sent: list[Desired] = []
        for message, result in zip(messages, results, strict=True):
            if result is None:
                sent.append(message)
            elif not isinstance(result, LinkError):
                raise result
        return sent


def desired_of(rollout: Rollout, order: Order, now: datetime) -> Desired:
    """The message that says what the order says."""
    policy = rollout.policy
    returning = order.ask is Ask.RETURN
    gates = Gates.model_validate({**policy.gates.model_dump(), **_RETURN}) if returning else policy.gates
    models = {Ask.WITHDRAW: None, Ask.RETURN: rollout.back_to}
    return Desired(
        message_id=uuid.uuid4().hex,
        device=order.device,
        made_at=now,
        version=order.version,
        deployment_id=rollout.id,
        group=rollout.group,
        model=models.get(order.ask, rollout.target),
        gates=gates,
        windows=() if returning else policy.windows,
        paused=order.ask is Ask.PAUSE,
        start_jitter_s=0.0 if returning else policy.jitter_s,
        timeout_s=policy.timeout_s,
    )


def _say(before: Standing, after: Rollout, told: int) -> None:
    rollout = before.rollout
    if (rollout.phase, rollout.stage) != (after.phase, after.stage) or told or before.wish is Wish.ROLLBACK:
        log.info(
            "rollout %s%s",
            after.phase,
            f": {after.reason}" if after.reason else "",
            extra={"deployment_id": after.id, "stage": after.stage, "told": told},
        )
