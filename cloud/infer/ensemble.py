"""Several detectors asked about one picture, their boxes fused by how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vision.detections import Detections, Detector, FloatArray, Image, no_detections

# As Solovyev et al., "Weighted boxes fusion" (2021), found it best: two boxes that share more show one object.
SAME_OBJECT_IOU: Final = 0.55
# Members are asked below the caller's score, since two weak votes can make one strong enough.
MEMBER_FLOOR: Final = 0.05


@dataclass(slots=True)
class _Cluster:
    """Boxes of one class that show one object; `seed` is the surest of them."""

    label: int
    seed: FloatArray
    boxes: dict[int, FloatArray] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)


class EnsembleDetector:
    """Weighted box fusion over detectors whose labels are matched by name.

    A fused score is the weighted mean of the members' scores, where a member that knows the label and saw nothing
    counts 0, and one that does not know the label is not asked for its opinion.
    """

    def __init__(self, members: Sequence[Detector], weights: Sequence[float] | None = None) -> None:
        if not members:
            msg = "an ensemble needs a member"
            raise ValueError(msg)
        self._members = tuple(members)
        self._weights = tuple(weights) if weights is not None else (1.0,) * len(self._members)
        if len(self._weights) != len(self._members) or min(self._weights) <= 0:
            msg = "an ensemble needs one weight over 0 for each member"
            raise ValueError(msg)
        self._labels = tuple(dict.fromkeys(label for member in self._members for label in member.labels))
        self._voters = {
            index: [k for k, member in enumerate(self._members) if label in member.labels]
            for index, label in enumerate(self._labels)
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a member knows, in the order of the members."""
        return self._labels

    def detect(self, image: Image, min_score: float) -> Detections:
        """See `vision.detections.Detector`."""
        floor = min(MEMBER_FLOOR, min_score)
        votes = self._votes([member.detect(image, floor) for member in self._members])
        clusters: list[_Cluster] = []
        for member, label, score, box in sorted(votes, key=lambda vote: -vote[2] * self._weights[vote[0]]):
            _join(clusters, member, label, score, box)
        return self._fused(clusters, min_score)

    def _votes(self, seen: Sequence[Detections]) -> list[tuple[int, int, float, FloatArray]]:
        """Each detection as (member, label index of ours, score, box)."""
        ours = {label: index for index, label in enumerate(self._labels)}
        return [
            (member, ours[found.label(row)], float(found.scores[row]), found.boxes[row])
            for member, found in enumerate(seen)
            for row in range(len(found))
        ]

    def _fused(self, clusters: Sequence[_Cluster], min_score: float) -> Detections:
        boxes, scores, classes = [], [], []
        for cluster in clusters:
            weight = sum(self._weights[voter] for voter in self._voters[cluster.label])
            score = sum(self._weights[member] * vote for member, vote in cluster.scores.items()) / weight
            if score < min_score:
                continue
            sure = [self._weights[member] * vote for member, vote in cluster.scores.items()]
            boxes.append(np.average(np.stack(list(cluster.boxes.values())), axis=0, weights=sure))
            scores.append(score)
            classes.append(cluster.label)
        if not scores:
            return no_detections(self._labels)
        order = np.argsort(-np.array(scores), kind="stable")
        return Detections(
            np.array(boxes, np.float32)[order],
            np.array(scores, np.float32)[order],
            np.array(classes, np.int32)[order],
            self._labels,
        )


def _join(clusters: list[_Cluster], member: int, label: int, score: float, box: FloatArray) -> None:
    """Add a vote to the cluster it belongs to; a member's second vote for one object says nothing new."""
    for cluster in clusters:
        if cluster.label == label and float(_iou(cluster.seed, box[None])[0]) > SAME_OBJECT_IOU:
            if member not in cluster.scores:
                cluster.boxes[member] = box
                cluster.scores[member] = score
            return
    clusters.append(_Cluster(label, box, {member: box}, {member: score}))


def _iou(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Intersection over union of one box (4,) with each of `boxes` (N, 4), x1 y1 x2 y2; 0 where both are empty."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), np.float32)
