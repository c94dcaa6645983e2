"""When a frame is sent whole: the policies that ours is held against. Pure; chance comes in.

Each sees what the device's model said of the frame, and says whether it is worth sending. Whether it is sent is then
a matter of the budget: it is, as soon as what was saved until then pays for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

SEDNA_THRESHOLD: Final = 0.5
"""Sedna's default for all three of its thresholds."""
RECENT: Final = 100
"""Frames by which a frame's uncertainty is measured: ten seconds at ten frames a second."""


class Policy(StrEnum):
    """What decides what is sent."""

    NEVER = "never"
    """Nothing: the device alone, with its second looks and its tracker."""
    TRACKER_ONLY = "tracker-only"
    """Nothing, and no second looks: the detector once a frame, and the tracker that carries objects over gaps."""
    ALWAYS = "always"
    """Every frame, whatever the budget."""
    RANDOM = "random"
    """Frames drawn at random, as many as the budget pays for."""
    KEY_FRAMES = "key-frames"
    """A frame as soon as the budget pays for one: evenly spread."""
    THRESHOLD = "threshold"
    """A frame with a score in the model's own band of uncertain scores."""
    SEDNA_IBT = "sedna-ibt"
    """KubeEdge Sedna's IBTFilter."""
    SEDNA_THRESHOLD = "sedna-threshold"
    """KubeEdge Sedna's ThresholdFilter."""
    UNCERTAINTY = "uncertainty"
    """Frames whose scores have more entropy than most of the last ones."""
    OURS = "ours"
    """What the agent asks by itself: about objects."""


SENDS_NOTHING: Final = frozenset({Policy.NEVER, Policy.TRACKER_ONLY})
WITHOUT_BUDGET: Final = SENDS_NOTHING | {Policy.ALWAYS}
"""These come to the same under every budget."""


class FramePolicy(Protocol):
    """Says which frames are worth sending whole."""

    def worth(self, scores: Sequence[float]) -> bool:
        """Whether the next frame is; `scores` are of all that the device's model found in it of what matters."""


class Every:
    """Each frame is worth sending."""

    def worth(self, scores: Sequence[float]) -> bool:
        """See `FramePolicy`."""
        del scores
        return True


class Drawn:
    """Frames that were drawn beforehand, by their places in the clip."""

    def __init__(self, places: frozenset[int]) -> None:
        self._places = places
        self._place = -1

    def worth(self, scores: Sequence[float]) -> bool:
        """See `FramePolicy`."""
        del scores
        self._place += 1
        return self._place in self._places


class Uncertain:
    """A frame with any score from the first up to the second of a band."""

    def __init__(self, band: tuple[float, float]) -> None:
        self._lower, self._upper = band

    def worth(self, scores: Sequence[float]) -> bool:
        """See `FramePolicy`."""
        return any(self._lower <= score < self._upper for score in scores)


class Entropic:
    """A frame whose entropy is among the highest share of the last ones.

    Args:
        share: Of the frames, how many can be paid for.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._recent: deque[float] = deque(maxlen=RECENT)

    def worth(self, scores: Sequence[float]) -> bool:
        """See `FramePolicy`."""
        value = entropy(scores)
        self._recent.append(value)
        higher = sum(other > value for other in self._recent)
        return value > 0.0 and higher < max(1.0, self._share * len(self._recent))


class SednaIbt:
    """KubeEdge Sedna's `IBTFilter` (lib/sedna/algorithms/hard_example_mining): image-based threshold.

    A frame is hard where at least `1 - threshold_img` of its boxes have a score of `threshold_box` or less. One
    without any box is not hard.
    """

    def __init__(self, threshold_img: float = SEDNA_THRESHOLD, threshold_box: float = SEDNA_THRESHOLD) -> None:
        self._threshold_img = threshold_img
        self._threshold_box = threshold_box

    def worth(self, scores: Sequence[float]) -> bool:
        """See `FramePolicy`."""
        if not scores:
            return False
        low = sum(score <= self._threshold_box for score in scores)
        return low / len(scores) >= 1 - self._threshold_img


class SednaThreshold:
    """KubeEdge Sedna's `ThresholdFilter`: a frame is hard where its mean score is below the threshold.

    One without any box is not hard.
    """

    def __init__(self, threshold: float = SEDNA_THRESHOLD) -> None:
        self._threshold = threshold

    def worth(self, scores: Sequence[float]) -> bool:
        """See `FramePolicy`."""
        return bool(scores) and sum(scores) / len(scores) < self._threshold


def entropy(scores: Sequence[float]) -> float:
    """How unsure the scores are together: the sum of their binary entropies, in bits."""
    return sum(_bits(score) + _bits(1.0 - score) for score in scores)


def _bits(share: float) -> float:
    return -share * math.log2(share) if share > 0.0 else 0.0


def drawn_places(order: Sequence[int], sizes: Sequence[int], total: float) -> frozenset[int]:
    """The first places of a random order whose frames can be paid for together.

    Args:
        order: All places in the clip, shuffled.
        sizes: By place: what the frame takes.
        total: What may be spent.
    """
    chosen: set[int] = set()
    for place in order:
        total -= sizes[place]
        if total < 0:
            break
        chosen.add(place)
    return frozenset(chosen)
