"""The tracker of one camera, after ByteTrack (Zhang et al., 2022): strong detections first, weak ones after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.boxes import area, covered, distance, overlap
from agent.domain import Box, Track
from agent.track.matching import pair
from agent.track.motion import Motion
from agent.track.settings import TrackSettings
from vision.detections import Detections

# Of 2, 3 and 5, three kept the most identities on the first half of PETS09-S2L1; a false box rarely lasts that long.
ESTABLISHED_HITS: Final = 3
FARTHEST_REACH: Final = 2.0
"""In box sizes: beyond, someone else is likelier than the one who was lost."""
OTHER_SIZE: Final = 2.5
"""Boxes whose areas differ by more than this factor are not the same object."""
INSIDE: Final = 0.6
"""A detection of which this much lies within a seen object is a part of it, not another one."""
SMALLEST_AREA: Final = 1e-8

_Found = tuple[Box, float]


class _Object:
    """What is known of one object."""

    __slots__ = ("best_score", "first_at", "hits", "id", "last_at", "motion", "score", "seen")

    def __init__(self, number: int, found: _Found, now: float) -> None:
        box, score = found
        self.id = number
        self.motion = Motion(box)
        self.score = self.best_score = score
        self.first_at = self.last_at = now
        self.hits = 1
        self.seen = True

    def see(self, found: _Found, now: float) -> None:
        box, score = found
        self.motion.correct(box)
        self.score = score
        self.best_score = max(self.best_score, score)
        self.last_at = now
        self.hits += 1
        self.seen = True


class Tracker:
    """Follows the objects of one camera.

    A label is only ever matched with itself. Ids count up from 1 and are never used again.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._objects: dict[str, list[_Object]] = {}
        self._last_id = 0
        self._now: float | None = None

    def update(self, detections: Detections, now: float) -> tuple[Track, ...]:
        """Take in the detections of one frame; the objects by now, oldest id first.

        Frames may come at any rate: everything is counted in seconds. A `now` before the last one counts as the same.
        """
        now = now if self._now is None else max(now, self._now)
        dt_s = 0.0 if self._now is None else now - self._now
        self._now = now
        by_label = self._sort_by_label(detections)
        tracks: list[Track] = []
        for label in sorted(self._objects.keys() | by_label.keys()):
            known = self._survivors(self._objects.get(label, []), dt_s, now)
            self._follow(known, by_label.get(label, []), now)
            self._objects[label] = known
            tracks += self._report(label, known, now)
        self._objects = {label: known for label, known in self._objects.items() if known}
        return tuple(sorted(tracks, key=lambda track: track.id))

    def still(self, now: float) -> None:
        """Take note that nothing has moved: what was seen in the latest frame is still there, unseen.

        For a motion gate that skips frames, which would otherwise let every object age.
        """
        self._now = now if self._now is None else max(now, self._now)
        for known in self._objects.values():
            for one in known:
                if one.seen:
                    one.last_at = self._now
                    one.motion.stop()

    def _sort_by_label(self, detections: Detections) -> dict[str, list[_Found]]:
        found: dict[str, list[_Found]] = {}
        rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.classes.tolist(), strict=True)
        for (x1, y1, x2, y2), score, index in rows:
            if score >= self._settings.low_score:
                found.setdefault(detections.labels[index], []).append(((x1, y1, x2, y2), score))
        return found

    def _survivors(self, known: list[_Object], dt_s: float, now: float) -> list[_Object]:
        """Move all on to `now`, without those that left the picture or were unseen for too long."""
        for one in known:
            one.motion.predict(dt_s, unseen=not one.seen)
            one.seen = False
        settings = self._settings
        return [
            one
            for one in known
            if one.motion.inside
            and now - one.last_at <= (settings.max_age_s if one.hits > 1 else settings.tentative_s)
        ]

    def _follow(self, known: list[_Object], found: Sequence[_Found], now: float) -> None:
        """Give each detection to an object, and begin new ones with those left over.

        Objects that were seen often choose first: a second box around one person then can't take its identity.
        """
        strong = [i for i, (_, score) in enumerate(found) if score >= self._settings.strong_score]
        weak = [i for i, (_, score) in enumerate(found) if score < self._settings.strong_score]
        established = [one for one in known if one.hits >= ESTABLISHED_HITS]
        tentative = [one for one in known if one.hits < ESTABLISHED_HITS]
        for objects in (established, tentative):
            self._choose(objects, strong, weak, found, now)
        seen = [one.motion.box for one in known if one.seen]
        for column in sorted(strong + weak, key=lambda i: -found[i][1]):
            box, score = found[column]
            if score >= self._settings.new_score and not self._crowded(box, seen):
                self._last_id += 1
                known.append(_Object(self._last_id, found[column], now))
                seen.append(box)

    def _choose(
        self, objects: Sequence[_Object], strong: list[int], weak: list[int], found: Sequence[_Found], now: float
    ) -> None:
        """Pair `objects` with detections; those taken are removed from `strong` and `weak`."""
        settings = self._settings
        boxes = [one.motion.box for one in objects]

        def overlapping(row: int, column: int) -> float:
            value = overlap(boxes[row], found[column][0])
            return value if value >= settings.min_iou else 0.0

        def near(row: int, column: int) -> float:
            box = found[column][0]
            if not 1 / OTHER_SIZE < area(boxes[row]) / max(area(box), SMALLEST_AREA) < OTHER_SIZE:
                return 0.0
            unseen_s = now - objects[row].last_at
            reach = min(settings.reach + settings.reach_per_s * unseen_s, FARTHEST_REACH)
            return reach - distance(boxes[row], box)

        unseen = list(range(len(objects)))
        for stage, likeness in ((strong, overlapping), (weak, overlapping), (strong, near)):
            for row, column in pair(unseen, stage, likeness):
                objects[row].see(found[column], now)
                unseen.remove(row)
                stage.remove(column)

    def _crowded(self, box: Box, seen: Sequence[Box]) -> bool:
        return any(overlap(box, other) > self._settings.crowding or covered(box, other) > INSIDE for other in seen)

    def _report(self, label: str, known: Sequence[_Object], now: float) -> list[Track]:
        return [
            Track(
                id=one.id,
                label=label,
                score=one.score,
                best_score=one.best_score,
                box=_clip(one.motion.box),
                first_at=one.first_at,
                last_at=one.last_at,
                hits=one.hits,
                seen_now=one.seen,
            )
            for one in known
            if now - one.last_at <= self._settings.coast_s
        ]


def _clip(box: Box) -> Box:
    x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in box)
    return (x1, y1, x2, y2)
