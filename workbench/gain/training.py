"""Fitting weights to recorded answers, and holding them against the figures that were set by hand. Pure.

A logistic regression, ridge-regularised: it says how likely the device is wrong about what it would ask. The weights
of the reasons are drawn towards each other rather than to nothing, so a reason of which few answers are known is
taken to be like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.ask.gain import FORM, NAMES, REASONS
from vision.accuracy import Floats
from wire.model import Gain
from workbench.errors import AnswersUnusable
from workbench.replay.recorded import Recorded

RIDGE: Final = 1.0
"""As much as one answer at even odds against each unit of a weight."""
STEPS: Final = 50
"""Newton's method is there after six or seven; a ridge leaves nothing to diverge to."""
STILL: Final = 1e-8
FURTHEST: Final = 100.0
"""As far as the contract lets a weight be."""
FEWEST: Final = 100
"""Answers: below, seventeen weights say more about chance than about the camera."""
FEWEST_OF_EACH: Final = 10
HELD_OUT: Final = 0.3
"""Of each recording, its end: what comes right after is too like what was learnt from to be drawn at random."""
SHARES: Final = (0.25, 0.5)
"""Of the bytes, at which rankings are compared."""
BEYOND_CHANCE: Final = 1.645
"""Standard errors: of 20 rankings that are no better, one is so far ahead by chance."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well gains put first what was wrong, over answers that nothing was learnt from.

    Attributes:
        auc: How often of two answers, one of which was wrong, that one ranks first: .5 is chance.
        caught: For each of SHARES: of what was wrong, how much is asked about when the best questions for their bytes
            are, until that share of all bytes is spent.
    """

    auc: float
    caught: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it.

    Attributes:
        gain: Learnt from all answers.
        held_out: How many answers the two were compared on, after learning from the others alone.
        wrong: Of those, the share of which the device was wrong.
        learnt, by_hand: See `Ranking`.
        ahead_error: The standard error of what the learnt one's `auc` is ahead by.
    """

    gain: Gain
    held_out: int
    wrong: float
    learnt: Ranking
    by_hand: Ranking
    ahead_error: float

    @property
    def ahead(self) -> float:
        """By how much what was learnt puts more pairs in order than what was set by hand."""
        return self.learnt.auc - self.by_hand.auc

    @property
    def is_ahead(self) -> bool:
        """Whether it ranked better on these answers, by both measures."""
        return self.ahead > 0.0 and sum(self.learnt.caught) >= sum(self.by_hand.caught)

    @property
    def is_better(self) -> bool:
        """Whether that is more than chance makes of rankings that are equally good."""
        return self.is_ahead and self.ahead > BEYOND_CHANCE * self.ahead_error


def train(recordings: Sequence[Sequence[Recorded]]) -> Trained:
    """Learn from recorded answers.

    Args:
        recordings: Each the answers of one replay, the oldest first.

    Raises:
        AnswersUnusable: They are too few, or nearly all alike.
    """
    cuts = [round(len(one) * (1 - HELD_OUT)) for one in recordings]
    earlier = [answer for one, cut in zip(recordings, cuts, strict=True) for answer in one[:cut]]
    later = [answer for one, cut in zip(recordings, cuts, strict=True) for answer in one[cut:]]
    everything = [*earlier, *later]
    _demand_enough(everything, FEWEST, FEWEST_OF_EACH)
    _demand_enough(earlier, FEWEST_OF_EACH, 1)
    _demand_enough(later, FEWEST_OF_EACH, 1)
    known, wrong = _known(later), _wrong(later)
    sizes = np.array([one.bytes for one in later], float)
    learnt = _likelihood(known, fitted(_known(earlier), _wrong(earlier)))
    by_hand = np.array([one.by_hand for one in later], float)
    weights = fitted(_known(everything), _wrong(everything))
    return Trained(
        Gain(features=FORM, weights=tuple(round(float(one), 4) for one in weights), answers=len(everything)),
        len(later),
        float(wrong.mean()),
        ranking(learnt, wrong, sizes),
        ranking(by_hand, wrong, sizes),
        ahead_error(learnt, by_hand, wrong),
    )


def fitted(known: Floats, wrong: Bools) -> Floats:
    """The weights that fit best.

    Args:
        known: float64 (N, 17), the features of each answer.
        wrong: bool (N,).

    Returns:
        float64 (17,), each within FURTHEST.
    """
    # The last column is what all reasons have in common; it is not held back, and goes into theirs in the end.
    inputs = np.hstack([known, np.ones((len(known), 1))])
    held_back = np.append(np.full(known.shape[1], RIDGE), 1e-6)
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        likely = 1.0 / (1.0 + np.exp(-np.clip(inputs @ weights, -FURTHEST, FURTHEST)))
        slope = inputs.T @ (likely - wrong) + held_back * weights
        bend = (inputs * (likely * (1 - likely))[:, None]).T @ inputs + np.diag(held_back)
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < STILL:
            break
    found = weights[:-1].copy()
    found[: len(REASONS)] += weights[-1]
    return np.clip(found, -FURTHEST, FURTHEST)


def ranking(gains: Floats, wrong: Bools, sizes: Floats) -> Ranking:
    """How well gains rank.

    Args:
        gains: float64 (N,).
        wrong: bool (N,), at least one of each.
        sizes: float64 (N,), bytes.
    """
    auc = float(_in_order(gains, wrong).mean())
    best_first = np.argsort(-gains / sizes, kind="stable")
    spent = np.cumsum(sizes[best_first]) / sizes.sum()
    found = np.cumsum(wrong[best_first]) / wrong.sum()
    return Ranking(auc, tuple(float(np.interp(share, spent, found)) for share in SHARES))


def ahead_error(learnt: Floats, by_hand: Floats, wrong: Bools) -> float:
    """The standard error of the difference between two rankings' `auc` over the same answers (DeLong 1988).

    Args:
        learnt: float64 (N,), gains.
        by_hand: float64 (N,), gains.
        wrong: bool (N,), at least one of each.
    """
    differs = _in_order(learnt, wrong) - _in_order(by_hand, wrong)
    variance = 0.0
    for of_each in (differs.mean(axis=1), differs.mean(axis=0)):
        # One alone tells nothing of how much they differ among each other: it may be as much as there is.
        variance += float(of_each.var(ddof=1)) / len(of_each) if len(of_each) > 1 else 1.0
    return float(np.sqrt(variance))


def _in_order(gains: Floats, wrong: Bools) -> Floats:
    """Of each pair of a wrong (row) and a right one, 1 where the wrong one ranks first, .5 where they rank alike."""
    pairs: Floats = (np.sign(gains[wrong][:, None] - gains[~wrong][None, :]) + 1.0) / 2.0
    return pairs


def _likelihood(known: Floats, weights: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-(known @ weights)))


def _known(answers: Sequence[Recorded]) -> Floats:
    return np.array([one.features for one in answers], float).reshape(-1, len(NAMES))


def _wrong(answers: Sequence[Recorded]) -> Bools:
    return np.array([one.wrong for one in answers], np.bool_)


def _demand_enough(answers: Sequence[Recorded], fewest: int, of_each: int) -> None:
    wrong = sum(one.wrong for one in answers)
    if len(answers) < fewest or min(wrong, len(answers) - wrong) < of_each:
        raise AnswersUnusable(
            f"{len(answers)} answers, of which the device was wrong about {wrong}, are too few to learn from",
            f"Record {FEWEST} or more, {FEWEST_OF_EACH} of each kind: a longer clip, or a larger --budget.",
        )
