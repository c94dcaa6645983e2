"""Simulated cameras whose every frame is known, and audits drawn from them as devices draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.estimates import Sums

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Footage:
    """All frames of a camera: what was there, shown, and both, and with what probability each is drawn."""

    matched: Ints
    shown: Ints
    there: Ints
    probability: Floats

    def sample(self, random: np.random.Generator) -> Sums:
        """Sums over frames drawn by independent chances."""
        drawn = random.random(len(self.probability)) < self.probability
        m, s, t = (values[drawn].astype(float) for values in (self.matched, self.shown, self.there))
        w = 1.0 / self.probability[drawn]
        w2 = w * w
        return Sums(
            frames=int(drawn.sum()),
            with_shown=int((s > 0).sum()),
            with_there=int((t > 0).sum()),
            with_any=int((s + t > 0).sum()),
            matched=float((w * m).sum()),
            shown=float((w * s).sum()),
            there=float((w * t).sum()),
            w2_shown=float((w2 * s).sum()),
            w2_there=float((w2 * t).sum()),
            w2_matched_matched=float((w2 * m * m).sum()),
            w2_shown_shown=float((w2 * s * s).sum()),
            w2_there_there=float((w2 * t * t).sum()),
            w2_matched_shown=float((w2 * m * s).sum()),
            w2_matched_there=float((w2 * m * t).sum()),
            w2_shown_there=float((w2 * s * t).sum()),
        )


def footage(random: np.random.Generator, *, frames: int = 3000, recall: float | None = None) -> Footage:
    """A camera somewhere: quiet or crowded, good or bad, busy by day, its errors shared by the objects of a frame.

    What it finds depends on how crowded it is and on slow changes (light, weather). The chance to be drawn is that of
    the kind of frame, and rises by a factor for a stretch, as in a probation.
    """
    crowd = random.choice([0.3, 1.0, 4.0, 9.0]) * np.exp(0.6 * _slow(random, frames, 30))
    there = random.poisson(crowd)
    level = recall if recall is not None else random.choice([0.3, 0.6, 0.8, 0.9, 0.95, 0.99])
    logit = np.log(level / (1 - level)) + 0.7 * _slow(random, frames, 60) - 0.2 * (crowd / crowd.mean() - 1)
    share = 1 / (1 + np.exp(-logit))
    alike = random.choice([1.0, 5.0, 50.0])
    matched = random.binomial(there, random.beta(share * alike + 1e-9, (1 - share) * alike + 1e-9))
    shown = matched + random.poisson(random.choice([0.02, 0.2, 1.0]) * (0.5 + crowd / crowd.mean()))
    probability = np.full(frames, random.choice([0.005, 0.01, 0.03, 0.1]))
    still = (there == 0) & (random.random(frames) < 0.7)
    probability[still] *= 0.25
    probability[frames * 3 // 4 :] = np.minimum(1.0, probability[frames * 3 // 4 :] * random.choice([1.0, 5.0, 20.0]))
    return Footage(matched, shown, there, probability)


def _slow(random: np.random.Generator, frames: int, waves: int) -> Floats:
    """A curve with mean 0 and deviation 1 that keeps to low frequencies."""
    spectrum = np.fft.rfft(random.normal(size=frames))
    spectrum[waves:] = 0
    curve: Floats = np.fft.irfft(spectrum, frames)
    curve -= curve.mean()
    return curve / curve.std()
