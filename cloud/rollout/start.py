"""Beginning a rollout: which release, and what its devices could return to."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence

from cloud.deployment import Policy, Rollout
from cloud.errors import RolloutRefused
from cloud.fleet.presence import SILENT_AFTER
from cloud.ports import Clock
from cloud.rollout.ports import GroupSigner, ReleaseInfo
from cloud.rollout.scope import in_scope
from cloud.store.rollouts import RolloutStore
from wire.updates import GroupRelease, ModelRef


async def start(
    *, store: RolloutStore, signer: GroupSigner, clock: Clock, model: str, group: str, policy: Policy
) -> Rollout:
    """Commit a new rollout; a running service begins it within a second.

    Args:
        store: Where it is committed.
        signer: Knows the releases.
        clock: For its date.
        model: `NAME` for its latest published release, or `NAME@VERSION`.
        group: Whose devices.
        policy: How.

    Raises:
        RolloutRefused: There is no such release, or no device that it could be about.
        RolloutOpen: Another one of the group is not over.
        CloudError: The repository can't be read, or signs for no such group.
    """
    releases = await asyncio.to_thread(signer.releases)
    target = _target(releases, model)
    document = await asyncio.to_thread(signer.group, group)
    now = clock.wall()
    rollout = Rollout(
        id=uuid.uuid4().hex,
        group=group,
        target=target,
        back_to=_back_to(await store.running(group), releases, document, target),
        policy=policy,
        created_at=now,
        changed_at=now,
    )
    scope = {member.device for member in in_scope(rollout, await store.members(now - SILENT_AFTER))}
    if not scope:
        raise RolloutRefused(
            f"there is no device in the group {group} that the rollout could be about",
            "`vedette rollout place DEVICE --group GROUP` puts one there; pinned ones are left out.",
        )
    foreign = sorted(set(policy.canaries) - scope)
    if foreign:
        raise RolloutRefused(
            f"{', '.join(foreign)} can't be canaries: not in the group {group}, pinned, or labelled otherwise",
            "`vedette devices` lists the devices.",
        )
    await store.add(rollout)
    return rollout


def _target(releases: Sequence[ReleaseInfo], model: str) -> ModelRef:
    name, _, version = model.partition("@")
    named = [release for release in releases if release.ref.name == name]
    wanted = [release for release in named if not version or release.ref.version == version]
    published = [release.ref for release in wanted if release.published]
    if published:
        return max(published, key=lambda ref: ref.number)
    if wanted:
        raise RolloutRefused(f"{model} is not published", "`vedette model sign`, then `vedette model publish`.")
    raise RolloutRefused(f"there is no release {model}", "`vedette model list` shows what there is.")


def _back_to(
    running: Sequence[ModelRef], releases: Sequence[ReleaseInfo], document: GroupRelease | None, target: ModelRef
) -> ModelRef | None:
    """What most devices of the group run now: a release, or the model that they were born with."""
    floors = {} if document is None else document.min_release
    published = {release.ref.digest: release.ref for release in releases if release.published}
    before = [published.get(ref.digest, ref) for ref in running] or ([] if document is None else document.allowed[:1])
    fit = [
        ref
        for ref in before
        if ref.digest != target.digest
        and (ref.digest in published or ref.number == 0)
        and ref.number >= floors.get(ref.name, 0)
    ]
    return Counter(fit).most_common(1)[0][0] if fit else None
