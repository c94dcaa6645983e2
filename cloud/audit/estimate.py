"""From sums over audited frames to what a person, or a rollout, is told. Pure.

The reference is what the cloud's model says, not the truth: a device that sees what the cloud misses counts as wrong.
How the figures are estimated, and what their intervals promise, is said in `vision.estimates` and in `docs/audit.md`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cloud.audited import Audited
from vision.estimates import Drop, Estimate, Sums, drop, f1, precision, recall


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good a group is; each figure is None where there was nothing to count."""

    audited: Audited
    recall: Estimate | None
    precision: Estimate | None
    f1: Estimate | None


def accuracies(audited: Iterable[Audited]) -> list[Accuracy]:
    """Of each group, and before them of each model over all cameras; the models of a camera as they came."""
    by_camera = list(audited)
    wholes: dict[tuple[str, str | None], Audited] = {}
    for one in by_camera:
        key = (one.model_digest, one.label)
        wholes[key] = _both(wholes[key], one) if key in wholes else replace(one, device=None, camera=None)
    began: dict[str, datetime] = {}
    for one in by_camera:
        began[one.model_digest] = min(began.get(one.model_digest, one.first_at), one.first_at)

    def place(one: Audited) -> tuple[object, ...]:
        where = (one.device is not None, one.device or "", one.camera or "")
        return (*where, began[one.model_digest], one.model_digest, one.label is not None, one.label or "")

    return [
        Accuracy(one, recall(one.sums), precision(one.sums), f1(one.sums))
        for one in sorted([*wholes.values(), *by_camera], key=place)
    ]


def drop_between(
    before: str, now: str, audited: Iterable[Audited], *, level: float, enough_frames: int
) -> Drop | None:
    """How F1 over all labels changed from one model to the other, over the cameras on which both were audited.

    The models are named by digest. None where either has fewer than `enough_frames` with something in them; for
    `level` see `vision.estimates.drop`.
    """
    by_camera: dict[tuple[str | None, str | None], dict[str, Sums]] = defaultdict(dict)
    for one in audited:
        if one.label is None:
            by_camera[one.device, one.camera][one.model_digest] = one.sums
    pairs = [(sums[before], sums[now]) for sums in by_camera.values() if _has(sums, before, now)]
    found = drop(pairs, level)
    if found is None or min(found.frames_before, found.frames_now) < enough_frames:
        return None
    return found


def _has(sums: Mapping[str, Sums], *digests: str) -> bool:
    return all(digest in sums for digest in digests)


def _both(one: Audited, other: Audited) -> Audited:
    return replace(
        one,
        model=one.model or other.model,
        sums=one.sums.plus(other.sums),
        audits=one.audits + other.audits,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )
