"""What a trial on live frames adds up to: the candidate held against the current model, frame by frame. Pure.

The two models score differently, so each is asked only for what it calls worth a question or better (the lower end of
its manifest's `uncertain`), and only for labels that a rule asks about. A quiet scene proves little: the trial then
goes on for longer, and what it still has not seen is not held against the candidate.

Agreement says how alike the two are, not which is right. Where the rollout lets the cloud be asked about what one
finds and the other doesn't, its answers decide (`agent.update.disputes`): a candidate that is clearly wrong more
often is refused however much it agrees, and one that is clearly right more often need not agree.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable
from typing import Final

from agent.boxes import overlap
from agent.update.disputes import MIN_IOU, Dispute, Object, Sample, Side, clearly_more
from vision.detections import Detections
from wire.updates import Gates, TrialFigures

ENOUGH_OBJECTS: Final = 10
"""Below it, one object more or less would move a ratio by a tenth or more."""
PATIENCE: Final = 4
"""In a quiet scene the trial lasts for as many times its frames."""


def objects_in(detections: Detections, floor: float, labels: Collection[str]) -> list[Object]:
    """Each detection that counts, highest score first."""
    return [
        Object(label, (float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(score))
        for index, (box, score) in enumerate(zip(detections.boxes, detections.scores, strict=True))
        if score >= floor and (label := detections.label(index)) in labels
    ]


def matches(some: list[Object], others: list[Object]) -> int:
    """How many pairs of the same label overlap at an IoU of .5 or more, each object in one pair at most."""
    pairs = [
        (shared, i, j)
        for i, one in enumerate(some)
        for j, other in enumerate(others)
        if one.label == other.label and (shared := overlap(one.box, other.box)) >= MIN_IOU
    ]
    left, right = set(range(len(some))), set(range(len(others)))
    for _, i, j in sorted(pairs, reverse=True):
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
    return len(some) - len(left)


class Trial:
    """Adds up what both models said of the same frames.

    Args:
        gates: Of the rollout.
        current_floor, candidate_floor: The lowest score that counts, of each model.
        labels: What the device's rules look for.
    """

    def __init__(
        self, gates: Gates, *, current_floor: float, candidate_floor: float, labels: Collection[str]
    ) -> None:
        self._gates = gates
        self._floors = (current_floor, candidate_floor)
        self._labels = labels
        self._matched = 0
        self._current = 0
        self._candidate = 0
        self._current_ms: list[float] = []
        self._candidate_ms: list[float] = []
        self._sample = Sample(gates.ask_disagreements, gates.shadow_frames)
        self._asked = 0
        self._right = dict.fromkeys(Side, 0)

    def add(
        self, camera: str, current: Detections, current_s: float, candidate: Detections, candidate_s: float
    ) -> list[Dispute]:
        """Take in one frame, judged by both; what the cloud is to be asked about it."""
        seen = objects_in(current, self._floors[0], self._labels)
        found = objects_in(candidate, self._floors[1], self._labels)
        self._matched += matches(seen, found)
        self._current += len(seen)
        self._candidate += len(found)
        self._current_ms.append(1000.0 * current_s)
        self._candidate_ms.append(1000.0 * candidate_s)
        return self._sample.of(camera, seen, found)

    def settle(self, asked: Iterable[tuple[Dispute, bool | None]]) -> None:
        """Take in what was asked, each with whether the cloud saw the object there too; None where it did not say."""
        for dispute, there in asked:
            self._asked += 1
            if there is not None:
                self._right[dispute.side if there else dispute.side.other] += 1

    @property
    def over(self) -> bool:
        """Enough was seen, or waited for."""
        frames, wanted = len(self._candidate_ms), self._gates.shadow_frames
        return frames >= wanted and (self._current >= ENOUGH_OBJECTS or frames >= PATIENCE * wanted)

    def figures(self) -> TrialFigures:
        """As they stand."""
        frames = len(self._candidate_ms)
        return TrialFigures(
            frames=frames,
            agreement=round(self._agreement(), 4),
            detections_candidate=round(self._candidate / max(1, frames), 4),
            detections_current=round(self._current / max(1, frames), 4),
            latency_candidate_ms=round(statistics.median(self._candidate_ms or [0.0]), 3),
            latency_current_ms=round(statistics.median(self._current_ms or [0.0]), 3),
            asked=self._asked,
            candidate_right=self._right[Side.CANDIDATE],
            current_right=self._right[Side.CURRENT],
        )

    def verdict(self) -> str | None:
        """Which gate the candidate fails, in words; None if none."""
        gates, figures = self._gates, self.figures()
        if figures.latency_candidate_ms > gates.max_latency_ratio * figures.latency_current_ms:
            return (
                f"it takes {figures.latency_candidate_ms:.0f} ms a frame beside {figures.latency_current_ms:.0f} ms "
                f"of the current model, more than {gates.max_latency_ratio:g} times as long"
            )
        right, wrong = figures.candidate_right, figures.current_right
        if clearly_more(wrong, right):
            return f"the cloud found it right in {right} of {right + wrong} disagreements with the current model"
        told = (
            f"it finds {figures.detections_candidate:.2f} objects a frame where the current model finds "
            f"{figures.detections_current:.2f}"
        )
        if self._candidate > gates.max_detection_ratio * max(self._current, ENOUGH_OBJECTS):
            return f"{told}, more than {gates.max_detection_ratio:g} times as many"
        if self._current < ENOUGH_OBJECTS:
            return None
        if self._candidate < gates.min_detection_ratio * self._current:
            return f"{told}, less than {gates.min_detection_ratio:g} of them"
        if figures.agreement < gates.min_agreement and not clearly_more(right, wrong):
            return f"it agrees with the current model by {figures.agreement:.2f}, less than {gates.min_agreement:g}"
        return None

    def _agreement(self) -> float:
        said = self._current + self._candidate
        return 2 * self._matched / said if said else 1.0
