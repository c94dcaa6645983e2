"""How well a detector agrees with a reference, from a random sample of frames. Pure; used by both sides.

A frame is the unit that was sampled, with a known probability; an object is not, since the objects of a frame share
its light, its crowd and its luck. Each frame counts with the weight 1 / probability (Horvitz and Thompson); recall,
precision and F1 are ratios of two such sums (Hájek), unbiased but for a term that shrinks as 1 / frames.

Their variance is that of the frames' residuals about the ratio (Taylor linearisation), which holds whatever the
objects of a frame have in common. The interval is Wilson's, for as many independent objects as would give that
variance, at Student's quantile for the effective number of frames: it stays within 0 and 1, and is honest where every
object was found. What is missing of a 95 % interval's coverage in simulation is said in `docs/audit.md`.

All figures needed are sums over frames, so that a database can add them up, and cameras can be pooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from statistics import NormalDist
from typing import Final

Box = tuple[float, float, float, float]

MIN_IOU: Final = 0.5
LEVEL: Final = 0.95
FEWEST_FREEDOM: Final = 3.0
"""Of Student's quantile: below it the expansion used here is off, and the interval says nothing anyway."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Objects of one frame.

    Attributes:
        matched: Of those shown, how many the reference sees too.
        shown: By the one who is judged.
        there: By the reference.
    """

    matched: int
    shown: int
    there: int


@dataclass(frozen=True, slots=True)
class Sums:
    """Over sampled frames of weight w: `matched` is Σ w·matched, `w2_matched_there` is Σ w²·matched·there, and so on.

    Attributes:
        frames: How many were sampled.
        with_shown, with_there, with_any: In how many of them something was shown, or was there, or either.
    """

    frames: int = 0
    with_shown: int = 0
    with_there: int = 0
    with_any: int = 0
    matched: float = 0.0
    shown: float = 0.0
    there: float = 0.0
    w2_shown: float = 0.0
    w2_there: float = 0.0
    w2_matched_matched: float = 0.0
    w2_shown_shown: float = 0.0
    w2_there_there: float = 0.0
    w2_matched_shown: float = 0.0
    w2_matched_there: float = 0.0
    w2_shown_there: float = 0.0

    @classmethod
    def of(cls, counts: Counts, probability: float) -> Sums:
        """One frame, drawn with `probability`."""
        w = 1.0 / probability
        m, s, t = counts.matched, counts.shown, counts.there
        return cls(
            frames=1,
            with_shown=int(s > 0),
            with_there=int(t > 0),
            with_any=int(s + t > 0),
            matched=w * m,
            shown=w * s,
            there=w * t,
            w2_shown=w * w * s,
            w2_there=w * w * t,
            w2_matched_matched=w * w * m * m,
            w2_shown_shown=w * w * s * s,
            w2_there_there=w * w * t * t,
            w2_matched_shown=w * w * m * s,
            w2_matched_there=w * w * m * t,
            w2_shown_there=w * w * s * t,
        )

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def total(sums: Iterable[Sums]) -> Sums:
    """All together."""
    whole = Sums()
    for one in sums:
        whole = whole.plus(one)
    return whole


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share, 0..1, with its interval.

    Attributes:
        frames: Sampled frames that had something to count.
    """

    value: float
    low: float
    high: float
    frames: int


def recall(sums: Sums, level: float = LEVEL) -> Estimate | None:
    """Of what is there, how much is shown; None where nothing was there."""
    return _ratio(
        sums.matched,
        sums.there,
        yy=sums.w2_matched_matched,
        xy=sums.w2_matched_there,
        xx=sums.w2_there_there,
        single=sums.w2_there,
        frames=sums.with_there,
        level=level,
    )


def precision(sums: Sums, level: float = LEVEL) -> Estimate | None:
    """Of what is shown, how much is there; None where nothing was shown."""
    return _ratio(
        sums.matched,
        sums.shown,
        yy=sums.w2_matched_matched,
        xy=sums.w2_matched_shown,
        xx=sums.w2_shown_shown,
        single=sums.w2_shown,
        frames=sums.with_shown,
        level=level,
    )


def f1(sums: Sums, level: float = LEVEL) -> Estimate | None:
    """Twice what matched, by what is shown and what is there; None where neither was."""
    return _ratio(
        2 * sums.matched,
        sums.shown + sums.there,
        yy=4 * sums.w2_matched_matched,
        xy=2 * (sums.w2_matched_shown + sums.w2_matched_there),
        xx=sums.w2_shown_shown + 2 * sums.w2_shown_there + sums.w2_there_there,
        # An object that matched counts twice, so twice as many would be too many by half.
        single=2 * (sums.w2_shown + sums.w2_there),
        frames=sums.with_any,
        level=level,
    )


@dataclass(frozen=True, slots=True)
class Drop:
    """By how much F1 fell from one model to the next.

    Attributes:
        before, now: F1 of each.
        low: What the drop is at least, at the level that was asked for.
        frames_before, frames_now: Sampled frames that had something to count.
    """

    before: float
    now: float
    low: float
    frames_before: int
    frames_now: int

    def exceeds(self, allowed: float) -> bool:
        """It is larger than allowed, and there beyond chance."""
        return self.before - self.now > allowed and self.low > 0.0


def drop(pairs: Sequence[tuple[Sums, Sums]], level: float) -> Drop | None:
    """The drop of F1 from the first of each pair to the second; None where no pair has both.

    Each pair is one scene (a camera): a model that begins on the hard ones must not look worse for it. A scene
    weighs as much as its smaller sample can tell (Mantel and Haenszel's weights, in frames). `low` is the bound of
    Zou and Donner for a sum of estimates with intervals of their own (MOVER), for one scene Newcombe's.

    Args:
        pairs: For each scene, the sums of the model before and of the one now.
        level: Of the two-sided interval whose lower end is `low`.
    """
    both = [
        (a, b, a.frames * b.frames / (a.frames + b.frames))
        for before, now in pairs
        if (a := f1(before, level)) is not None and (b := f1(now, level)) is not None
    ]
    weight = sum(w for *_, w in both)
    if weight == 0.0:
        return None
    before, now = (sum(w * estimate[side].value for *estimate, w in both) / weight for side in (0, 1))
    off = sum((w / weight) ** 2 * ((a.value - a.low) ** 2 + (b.high - b.value) ** 2) for a, b, w in both)
    return Drop(
        before=before,
        now=now,
        low=before - now - math.sqrt(off),
        frames_before=sum(a.frames for a, *_ in both),
        frames_now=sum(b.frames for _, b, _ in both),
    )


def pairs(some: Sequence[tuple[str, Box]], others: Sequence[tuple[str, Box]]) -> list[tuple[int, int]]:
    """Indices of objects of the same label that lie over each other at an IoU of .5 or more; best pairs first.

    Each object is in one pair at most.
    """
    found = [
        (shared, i, j)
        for i, (label, box) in enumerate(some)
        for j, (other_label, other_box) in enumerate(others)
        if label == other_label and (shared := _overlap(box, other_box)) >= MIN_IOU
    ]
    left, right = set(range(len(some))), set(range(len(others)))
    chosen = []
    for _, i, j in sorted(found, reverse=True):
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            chosen.append((i, j))
    return chosen


def taken_in_turn(some: Sequence[tuple[str, Box]], others: Sequence[tuple[str, Box]]) -> list[int]:
    """Which of `some` stand for one of `others`, where each in its turn takes the one it overlaps best.

    Of the same label, at an IoU of .5 or more, each of `others` once. Who comes later changes nothing for those
    before: with `some` sorted by score, what is found from any score on is a beginning of this list.
    """
    left = set(range(len(others)))
    taking = []
    for i, (label, box) in enumerate(some):
        near = [(_overlap(box, others[j][1]), j) for j in left if others[j][0] == label]
        best, j = max(near, default=(0.0, -1))
        if best >= MIN_IOU:
            left.remove(j)
            taking.append(i)
    return taking


def _ratio(
    y: float, x: float, *, yy: float, xy: float, xx: float, single: float, frames: int, level: float
) -> Estimate | None:
    """Of `y`, Σ w·y, by `x`, Σ w·x; `xy` is Σ w²·x·y, and so on.

    `single` is Σ w²·x, what `xx` would be if each object had been drawn by itself; `frames`, in how many x is not 0.
    """
    if x <= 0.0:
        return None
    value = min(1.0, max(0.0, y / x))
    effective_frames = x * x / xx
    residual = max(0.0, yy - 2 * value * xy + value * value * xx) / (x * x)
    variance = residual * frames / max(1, frames - 1)
    effective = effective_frames
    # Below rounding, the residuals are those of a share of exactly 0 or 1.
    if 0.0 < value < 1.0 and variance > 1e-12:  # noqa: PLR2004 - as said
        effective = max(1.0, min(value * (1 - value) / variance, x * x / single))
    low, high = _wilson(value, effective, _student(effective_frames - 1, level))
    return Estimate(value, min(low, value), max(high, value), frames)


def _wilson(value: float, n: float, t: float) -> tuple[float, float]:
    centre = value + t * t / (2 * n)
    off = t * math.sqrt(value * (1 - value) / n + t * t / (4 * n * n))
    scale = 1 + t * t / n
    return max(0.0, (centre - off) / scale), min(1.0, (centre + off) / scale)


def _student(freedom: float, level: float) -> float:
    """Student's two-sided quantile, by its expansion about the normal one (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    n = max(FEWEST_FREEDOM, freedom)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union
