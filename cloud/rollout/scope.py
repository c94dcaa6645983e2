"""Whom a rollout is about, in which order, and how many of them in a stage. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from hashlib import sha256

from cloud.deployment import Member, Policy, Rollout


def in_scope(rollout: Rollout, fleet: Iterable[Member]) -> list[Member]:
    """The devices that the rollout is about."""
    wanted = rollout.policy.labels.items()
    return [
        member
        for member in fleet
        if member.group == rollout.group
        and not member.pinned
        and all(member.labels.get(key) == value for key, value in wanted)
    ]


def rank(deployment_id: str, device: str) -> bytes:
    """Where the device comes in the rollout's order."""
    return sha256(f"{deployment_id}/{device}".encode()).digest()


def budget(policy: Policy, stage: int, scope: Sequence[Member]) -> int:
    """How many devices may have been told something in the stage: its share, but no fewer than the canaries."""
    share = math.ceil(round(policy.stages[stage] * len(scope) / 100, 6))
    canaries = set(policy.canaries)
    return max(share, sum(member.device in canaries for member in scope)) if canaries else share
