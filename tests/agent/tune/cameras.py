"""Simulated cameras of which every object is known, and what devices draw of them.

The miss rate of every lower end, and the number of false objects of every upper end, can be counted over all frames
and objects; the sample is drawn as devices draw: each by a chance of its own, known and unequal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.tune.evidence import BINS, DAY_S, Census, Evidence, FrameAnswer, ObjectAnswer, hundredths
from agent.tune.risk import MOST_OBJECTS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
FLOOR = 0.2


@dataclass(frozen=True)
class Camera:
    """All frames with something in them, and all objects, of some days.

    Attributes:
        scores: float (F, M); the device's of each object that is there, below `FLOOR` where it is not followed; NaN
            where there are fewer objects than M.
        probability: float (F,).
        certain_to: float (O,).
        wrong: bool (O,); not there in the reference's eyes.
        truly_there: bool (F, M); what of `scores` the reference did not make up.
        overlooked: float (L,); the device's scores of true objects that the reference does not see.
    """

    scores: Floats
    probability: Floats
    certain_to: Floats
    wrong: npt.NDArray[np.bool_]
    days: float
    ask_about: float
    truly_there: npt.NDArray[np.bool_]
    overlooked: Floats

    def miss_rate(self, lower: float) -> float:
        """Over all frames, as it is promised: a frame counts with `MOST_OBJECTS` at most."""
        there = (~np.isnan(self.scores)).sum(axis=1)
        missed = (self.scores < lower - 1e-9).sum(axis=1)
        counted = np.minimum(there, MOST_OBJECTS)
        return float((missed * counted / there).sum() / counted.sum())

    def true_miss_rate(self, lower: float) -> float:
        """Over all objects that are there, in whoever's eyes."""
        seen = self.scores[self.truly_there]
        missed = (seen < lower - 1e-9).sum() + (self.overlooked < lower - 1e-9).sum()
        return float(missed / (len(seen) + len(self.overlooked)))

    def false_per_day(self, upper: float) -> float:
        """Objects that the device would be sure of, and that are not there."""
        return float((self.wrong & (self._hundredths() >= hundredths(upper))).sum() / self.days)

    def asked_share(self, lower: float, upper: float) -> float:
        """Of what is not ignored."""
        kept = self._hundredths() >= hundredths(lower)
        return float((kept & (self._hundredths() < hundredths(upper))).sum() / max(1, kept.sum()))

    def sample(self, random: np.random.Generator) -> Evidence:
        """What a device would know of it."""
        frames = []
        for row in np.flatnonzero(random.random(len(self.probability)) < self.probability):
            there = self.scores[row][~np.isnan(self.scores[row])]
            found = tuple(float(score) for score in there if score >= FLOOR)
            frames.append(FrameAnswer(0.0, float(self.probability[row]), len(there), found))
        drawn = np.flatnonzero(random.random(len(self.wrong)) < self.ask_about)
        objects = tuple(
            ObjectAnswer(0.0, self.ask_about, float(self.certain_to[row]), bool(self.wrong[row])) for row in drawn
        )
        bins = np.bincount(self._hundredths(), minlength=BINS + 1)
        census = Census(self.days * DAY_S, {hundredth: int(count) for hundredth, count in enumerate(bins) if count})
        return Evidence(tuple(frames), objects, census)

    def _hundredths(self) -> Ints:
        return np.floor(self.certain_to * BINS + 1e-9).astype(np.int64)


def camera(
    random: np.random.Generator,
    *,
    frames: int = 4000,
    days: float = 20.0,
    made_up: float = 0.0,
    overlooked: float = 0.0,
) -> Camera:
    """A camera somewhere: quiet or crowded, its errors shared by the objects of a frame, light that comes and goes.

    The probability depends on the hour (frames that come slowly are drawn more often) and is twenty times as high for
    a stretch, as in a probation; crowded frames come slowly, so it has to do with what is in them.

    Args:
        made_up: Of the reference's objects, how many are not there; the device hardly ever follows those.
        overlooked: Of the true objects, how many the reference does not see; the device rather misses those too.
    """
    crowd = random.choice([0.0, 0.5, 3.0, 8.0]) * np.exp(0.6 * _slow(random, frames, 30))
    there = np.minimum(1 + random.poisson(crowd), 20)
    typical = random.choice([0.45, 0.6, 0.75])
    level = typical + 0.08 * _slow(random, frames, 60) + 0.05 * random.normal(size=frames)
    scores = level[:, None] + 0.15 * random.normal(size=(frames, 20))
    scores[random.random(scores.shape) < random.choice([0.0, 0.02, 0.06, 0.15])] = 0.0  # leaves no box at all
    present = np.arange(20)[None, :] < there[:, None]
    unseen = present & (random.random(scores.shape) < overlooked * (1.5 - np.clip(scores, 0.0, 1.0)))
    unseen_scores = np.clip(scores[unseen], 0.0, 1.0)
    ghosts = present & ~unseen & (random.random(scores.shape) < made_up)
    scores[ghosts & (random.random(scores.shape) < 0.9)] = 0.0
    scores = np.where(present & ~unseen, np.clip(scores, 0.0, 1.0), np.nan)
    something = (~np.isnan(scores)).any(axis=1)
    probability = 0.03 * (0.5 + crowd / max(crowd.mean(), 1e-9) if crowd.any() else np.ones(frames))
    probability = np.clip(probability, 0.01, 0.1)
    began = random.integers(frames)
    probability[began : began + frames // 50] = np.minimum(1.0, 20 * probability[began : began + frames // 50])

    objects = int(random.choice([5, 40, 200]) * days)
    wrong = random.random(objects) < random.choice([0.01, 0.05, 0.2])
    certain_to = np.clip(np.where(wrong, random.beta(3, 5, objects), random.beta(7, 3, objects)), 0.0, 1.0)
    return Camera(
        scores[something],
        probability[something],
        certain_to,
        wrong,
        days,
        float(random.choice([0.1, 0.3])),
        ~ghosts[something] & ~np.isnan(scores[something]),
        unseen_scores,
    )


def _slow(random: np.random.Generator, frames: int, over: int) -> Floats:
    """Noise of deviation 1 that changes over so many frames."""
    steps = random.normal(size=frames + over)
    smooth = np.convolve(steps, np.ones(over), "valid")[:frames]
    return smooth / np.sqrt(over)
