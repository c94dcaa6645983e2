"""One object that is followed."""

from __future__ import annotations

from typing import Final

from agent.appearance import blended
from agent.domain import Appearance, Box, Shift, Word
from agent.track import carrying
from agent.track.motion import Motion

FIRST_BELIEF: Final = 0.7
"""Of its score, what the first sighting of an object is believed: one frame's word is not enough."""

Sighting = tuple[Box, float, Appearance | None]
"""A detection: box, score, and what it looks like where somebody looked."""


class Followed:
    """What is known of one object: where it is, how sure that is, and what the cloud said of it."""

    __slots__ = (
        "appearance",
        "belief",
        "best_score",
        "first_at",
        "hits",
        "id",
        "last_at",
        "looked_at",
        "motion",
        "ridden",
        "score",
        "seen",
        "trail",
        "word",
    )

    def __init__(self, number: int, found: Sighting, now: float) -> None:
        box, score, self.appearance = found
        self.id = number
        self.motion = Motion(box)
        self.score = self.best_score = score
        self.first_at = self.last_at = now
        self.hits = 1
        self.seen = True
        self.belief = FIRST_BELIEF * score
        self.looked_at: float | None = None
        self.ridden = False
        # When there was a picture since it rides, and how far it had gone.
        self.trail: list[tuple[float, Shift]] = []
        self.word: Word | None = None

    def see(self, found: Sighting, now: float, gain: float) -> None:
        """Take in a detection; `gain` is how much of its score is believed."""
        box, score, appearance = found
        if appearance is not None:
            before = self.appearance
            self.appearance = appearance if before is None else blended(before, appearance)
        self.belief += gain * (score - self.belief)
        if self.ridden:
            self.motion.shift(box, carrying.RIDDEN_GAIN, carrying.CARRIED_SIZE_GAIN)
        elif carrying.carried(self.word, now):
            self.motion.correct(box, carrying.CARRIED_SIZE_GAIN)
        else:
            self.motion.correct(box)
        self.score = score
        self.best_score = max(self.best_score, score)
        self.last_at = now
        self.hits += 1
        self.seen = True

    def mount(self, now: float) -> None:
        """Ride from here on, or go on riding: there is a picture of just now."""
        self.ridden = True
        self.trail.append((now, self.motion.gone))
        if now - self.trail[0][0] > carrying.NEWS_S:
            del self.trail[0]

    def dismount(self) -> None:
        """Ride no longer."""
        self.ridden = False
        self.trail.clear()

    def rode(self, at: float) -> Shift | None:
        """How far it rode since the picture of that time; None where it did not ride all along."""
        for when, (across, down) in self.trail:
            if when == at:
                return self.motion.gone[0] - across, self.motion.gone[1] - down
        return None
