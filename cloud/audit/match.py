"""What a device showed of a frame, held against what the cloud's model sees in it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vision.detections import Detections
from vision.estimates import Counts, pairs, taken_in_turn
from wire.audits import MAX_SIGHTINGS, Audit, LabelCounts
from wire.fields import Label, Sighting

Box = tuple[float, float, float, float]
DIGITS: Final = 4
GRID: Final = 8
"""Points each way at which it is looked how much of a box is masked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of an audit.

    Attributes:
        counts: One for each of the audit's labels of which something was shown or there, by name.
        total: Over these labels.
        missed: What the cloud sees and the device did not show; highest scores first.
    """

    counts: tuple[LabelCounts, ...]
    total: Counts
    missed: tuple[Sighting, ...]


def compare(audit: Audit, seen: Detections, min_score: float) -> Finding:
    """Match objects of the same label at an IoU of .5 or more; labels that no rule asks about don't count.

    Args:
        audit: What the device showed.
        seen: What the cloud sees in the same frame.
        min_score: From which the cloud stands behind an object.
    """
    labels = frozenset(audit.labels)
    shown = [(one.label, one.box) for one in audit.shown if one.label in labels and not _unseen(audit, one.box)]
    there = _standing(audit, seen, min_score)
    found = pairs(shown, [(one.label, one.box) for one in there])
    followed = sorted(
        (one for one in (*audit.shown, *audit.weaker) if one.label in labels), key=lambda one: -one.score
    )
    scores: dict[str, list[float]] = defaultdict(list)
    for row in taken_in_turn([(one.label, one.box) for one in followed], [(one.label, one.box) for one in there]):
        scores[followed[row].label].append(followed[row].score)
    matched_there = {row for _, row in found}
    matched = Counter(shown[row][0] for row, _ in found)
    by_shown = Counter(label for label, _ in shown)
    by_there = Counter(one.label for one in there)
    counts = tuple(
        LabelCounts(
            label=label,
            matched=matched[label],
            shown=by_shown[label],
            there=by_there[label],
            found=tuple(scores[label]),
        )
        for label in sorted(by_shown.keys() | by_there.keys())
    )
    missed = [one for row, one in enumerate(there) if row not in matched_there]
    return Finding(counts, Counts(len(found), len(shown), len(there)), tuple(missed[:MAX_SIGHTINGS]))


def ignored(masks: Sequence[Sequence[tuple[float, float]]], box: Box) -> bool:
    """Whether the object stands in a mask, by the device's own rule: where the middle of its lower edge is."""
    x, y = (box[0] + box[2]) / 2, box[3]
    return any(_contains(mask, x, y) for mask in masks)


def _unseen(audit: Audit, box: Box) -> bool:
    """Whether the object's masks were painted over, and hide most of it: nobody can tell whether it is there."""
    if audit.redaction is None:
        return False
    x1, y1, x2, y2 = box
    steps = [(place + 0.5) / GRID for place in range(GRID)]
    points = [(x1 + across * (x2 - x1), y1 + down * (y2 - y1)) for across in steps for down in steps]
    hidden = sum(any(_contains(mask, x, y) for mask in audit.masks) for x, y in points)
    return hidden > len(points) / 2


def _standing(audit: Audit, seen: Detections, min_score: float) -> list[Sighting]:
    """What the cloud stands behind, of what the device looks for and where it does."""
    labels = frozenset(audit.labels)
    found = []
    for row in range(len(seen)):
        label, score = seen.label(row), float(seen.scores[row])
        x1, y1, x2, y2 = (round(min(max(float(side), 0.0), 1.0), DIGITS) for side in seen.boxes[row])
        outside = not ignored(audit.masks, (x1, y1, x2, y2)) and not _unseen(audit, (x1, y1, x2, y2))
        if label in labels and score >= min_score and outside:
            found.append(_sighting(label, score, (x1, y1, x2, y2)))
    return found


def _sighting(label: Label, score: float, box: Box) -> Sighting:
    return Sighting(label, round(min(score, 1.0), DIGITS), box)


def _contains(polygon: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """By counting how often a ray to the left crosses the edge."""
    within = False
    ax, ay = polygon[-1]
    for bx, by in polygon:
        if (ay > y) != (by > y) and x > ax + (y - ay) * (bx - ax) / (by - ay):
            within = not within
        ax, ay = bx, by
    return within
