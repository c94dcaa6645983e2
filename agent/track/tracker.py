"""The tracker of one camera, after ByteTrack (Zhang et al., 2022): strong detections first, weak ones after them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from agent.appearance import difference
from agent.boxes import area, covered_by_any, cut_off, distance, overlap
from agent.domain import Appearance, Box, Expected, Found, Report, Rider, Shift, Track
from agent.track import carrying
from agent.track.followed import Followed, Sighting
from agent.track.matching import first_come, likeliest_first, pair, touching
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
HIDDEN: Final = 0.4
"""An unseen object of which this much is covered by a seen one is likely to be behind it."""
HIDDEN_S: Final = 2.5
"""How slowly belief in what is hidden sinks: people pass behind each other within a second or two."""
FORGETTING_S: Final = 0.6
"""How slowly belief sinks in what should be seen and is not: detectors miss a person for a few frames at a time."""
LEFT_S: Final = 1.0
"""What the picture's edge cuts off and was not seen for so long has left: whoever is seen there next is another."""
UNLIKE: Final = 2.0
"""What a difference in looks takes from an overlap. On the first half of PETS09-S2L1, two sightings of one person
.3 s apart differ by .04 in the median, two people by .13; any factor from 1 to 4 took a third of the identity
switches away."""
STRANGE: Final = 3.0
"""The same for nearness, in box sizes."""


class Tracker:
    """Follows the objects of one camera.

    A label is only ever matched with itself. Ids count up from 1 and are never used again.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._objects: dict[str, list[Followed]] = {}
        self._last_id = 0
        self._now: float | None = None
        self._since_update_s = 0.0
        self._looks_closely = False
        self._looked: list[tuple[float, Box]] = []

    @property
    def new_score(self) -> float:
        """What a detection needs to begin an object."""
        return self._settings.new_score

    def riding(self, at: float) -> dict[int, Rider]:
        """Which objects go where the pictures show that they went, by number, ahead of the `update` for that time."""
        now = self._now
        if now is None:
            return {}
        riding = [one for known in self._objects.values() for one in known if carrying.rides(one.word, now)]
        if not riding:
            return {}
        seen = self._seen_boxes()
        return {one.id: one.motion.rider(max(at - now, 0.0)) for one in riding if self._shows(one, seen)}

    def ride(self, moved: Mapping[int, Box] | None, now: float) -> None:
        """Move all on to `now`, ahead of the `update` for the same time.

        Args:
            moved: Where a picture of this frame shows those that ride, from here to the next picture; the others go
                on by their speed. None where there is no picture, and nobody rides.
            now: When the frame was captured.
        """
        self._move_on(now, moved or {})
        if moved is not None:
            self.pictured()

    def pictured(self) -> None:
        """Take note that there is a picture of the latest frame, from which `riding` begins."""
        for known in self._objects.values():
            for one in known:
                one.motion.pictured()

    def expected(self, now: float) -> tuple[Expected, ...]:
        """Where the objects should be at `now`; ahead of the `update` for the same time."""
        self._move_on(now)
        return tuple(
            Expected(one.id, label, one.motion.box, carrying.believed(one.belief, one.word, now), one.looked_at)
            for label, known in self._objects.items()
            for one in known
        )

    def update(
        self,
        detections: Detections,
        now: float,
        looked: Sequence[Box] = (),
        appearances: Sequence[Appearance | None] = (),
    ) -> tuple[Track, ...]:
        """Take in the detections of one frame; the objects by now, oldest id first.

        Frames may come at any rate: everything is counted in seconds. A `now` before the last one counts as the same.

        Args:
            detections: Of the whole frame, second looks included.
            now: When it was captured.
            looked: The places that were looked at closely, see `Expected.looked_at`.
            appearances: What each detection looks like; none at all where nobody looked.
        """
        now = self._move_on(now)
        for ones in self._objects.values():
            for one in ones:
                one.seen = False
        self._looks_closely |= bool(looked)
        if self._looks_closely:
            since = now - carrying.NEWS_S - carrying.LOOKED_S
            self._looked = [one for one in self._looked if one[0] >= since] + [(now, place) for place in looked]
        by_label = self._sort_by_label(detections, appearances)
        tracks: list[Track] = []
        for label in sorted(self._objects.keys() | by_label.keys()):
            known = self._objects.setdefault(label, [])
            self._follow(known, by_label.get(label, []), now)
            for place in looked:
                for one in known:
                    if _within(one.motion.box, place):
                        one.looked_at = now
            tracks += self._report(label, known, now)
        self._since_update_s = 0.0
        tracks.sort(key=_by_id)
        return tuple(tracks)

    def rode(self, number: int, at: float) -> Shift | None:
        """How far an object rode since the picture of that time; None where it did not ride all along."""
        return next((one.rode(at) for ones in self._objects.values() for one in ones if one.id == number), None)

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

    def sort(self, report: Report) -> carrying.Heard:
        """What of a report concerns objects that are followed, and what is news."""
        return carrying.compare(report, {one.id: label for label, ones in self._objects.items() for one in ones})

    def hear(self, report: Report, heard: carrying.Heard | None = None) -> None:
        """Take in what the cloud saw in an earlier frame, between two updates.

        Its word on an object is kept, and its box carried on from where that was to where it has gone since. What it
        stands behind and nothing was known of begins an object, unless too much time has passed.

        Args:
            report: From the cloud.
            heard: The same sorted since the last update, see `sort`; None where it was not.
        """
        now = self._now
        if now is None:
            return
        if heard is None:
            heard = self.sort(report)
        known = {one.id: one for ones in self._objects.values() for one in ones}
        for number, said in heard.words.items():
            self._take_word(known[number], report, said, now)
        if now - report.at <= carrying.NEWS_S:
            for said in heard.news:
                self._begin(said, report)

    def _take_word(self, one: Followed, report: Report, said: Found | None, now: float) -> None:
        if one.word is not None and one.word.at > report.at:
            return
        seen_well = self._sees_well(one, report.at) and one.last_at >= report.at
        one.word = carrying.spoken(report, said, seen_well=seen_well, looks_closely=self._looks_closely)
        if said is not None and carrying.carried(one.word, now):
            if said.gone is not None and carrying.rides(one.word, now) and self._shows(one, self._seen_boxes()):
                one.motion.shift(said.gone, 1.0, 1.0)
                if not one.ridden:
                    one.mount(now)
            else:
                there = carrying.moved(said.box, report.known[one.id], one.motion.box)
                one.motion.shift(there, carrying.SHIFT, carrying.SHIFT)
            one.last_at = max(one.last_at, report.at)

    def _sees_well(self, one: Followed, at: float) -> bool:
        """Whether the device saw as well as it can what was there at that time."""
        if one.looked_at is not None and at - one.looked_at <= carrying.LOOKED_S:
            return True
        return self._looks_closely and area(one.motion.box) >= carrying.LARGE

    def _looked_there(self, box: Box, at: float) -> bool:
        """The same of a place where nothing was followed."""
        if self._looks_closely and area(box) >= carrying.LARGE:
            return True
        return any(0.0 <= at - when <= carrying.LOOKED_S and _within(box, place) for when, place in self._looked)

    def _begin(self, said: Found, report: Report) -> None:
        """Follow what the cloud found, unless the device saw nothing at a close look, or follows something there."""
        if self._looked_there(said.box, report.at):
            return
        places = [one.motion.box for ones in self._objects.values() for one in ones]
        if self._crowded(said.box if said.gone is None else said.gone, places):
            return
        self._last_id += 1
        one = Followed(self._last_id, (said.box, said.score, None), report.at)
        if said.gone is not None and self._now is not None:
            one.motion.ride(said.gone, self._now - report.at)
            one.mount(self._now)
        one.word = carrying.spoken(report, said)
        one.seen = False
        self._objects.setdefault(said.label, []).append(one)

    def _sort_by_label(
        self, detections: Detections, appearances: Sequence[Appearance | None]
    ) -> dict[str, list[Sighting]]:
        found: dict[str, list[Sighting]] = {}
        looks = appearances or [None] * len(detections)
        rows = zip(
            detections.boxes.tolist(), detections.scores.tolist(), detections.classes.tolist(), looks, strict=True
        )
        for (x1, y1, x2, y2), score, index, appearance in rows:
            if score >= self._settings.low_score:
                found.setdefault(detections.labels[index], []).append(((x1, y1, x2, y2), score, appearance))
        return found

    def _seen_boxes(self) -> list[Box]:
        return [one.motion.box for known in self._objects.values() for one in known if one.seen]

    def _shows(self, one: Followed, seen: Sequence[Box]) -> bool:
        """Whether the pictures show it, for all that is known.

        Of a device that looks closely, what it does not see is mostly hidden: with what it does not see carried as
        well, F1 fell from .902 to .886 (first half of PETS09-S2L1, 2.3 second looks, 2 % of the bytes). One that does
        not look closely misses what is in plain sight: there it rose from .778 to .790. At the picture's edge what
        is not seen may have left, and the pictures show what was behind it.
        """
        if one.seen:
            return True
        box = one.motion.box
        return not (self._looks_closely or cut_off(box) or covered_by_any(box, seen, carrying.HIDDEN))

    def _move_on(self, now: float, ridden: Mapping[int, Box] | None = None) -> float:
        """Move all on to `now`, without those that left the picture or were unseen for too long.

        Args:
            now: When the frame was captured.
            ridden: See `ride`; None between two pictures.
        """
        now = now if self._now is None else max(now, self._now)
        dt_s = 0.0 if self._now is None else now - self._now
        self._now = now
        self._since_update_s += dt_s
        moved: dict[str, list[Followed]] = {}
        for label, known in self._objects.items():
            for one in known:
                there = None if ridden is None else ridden.get(one.id)
                if there is not None:
                    one.motion.ride(there, dt_s)
                    one.mount(now)
                elif ridden is None and one.ridden:
                    one.motion.ride_on(dt_s)
                else:
                    one.motion.predict(dt_s, unseen=not one.seen)
                    one.dismount()
            staying = [one for one in known if one.motion.inside and now - one.last_at <= self._remembered_s(one)]
            if staying:
                moved[label] = staying
        self._objects = moved
        return now

    def _remembered_s(self, one: Followed) -> float:
        """For how long it can be found again under its number."""
        if one.hits == 1 and one.word is None:
            return self._settings.tentative_s
        most_s = self._settings.max_age_s
        return min(most_s, LEFT_S) if cut_off(one.motion.box) else most_s

    def _follow(self, known: list[Followed], found: Sequence[Sighting], now: float) -> None:
        """Give each detection to an object, and begin new ones with those left over.

        Objects that were seen often choose first: a second box around one person then can't take its identity.
        """
        if not found:
            self._doubt(known, ())
            return
        strong = [i for i, (_, score, _) in enumerate(found) if score >= self._settings.strong_score]
        weak = [i for i, (_, score, _) in enumerate(found) if score < self._settings.strong_score]
        boxes = [one.motion.box for one in known]
        overlapping = [
            (value - UNLIKE * difference(known[row].appearance, found[column][2]), row, column)
            for value, row, column in touching(boxes, [box for box, _, _ in found], self._settings.min_iou)
        ]
        overlapping.sort(key=likeliest_first)
        established = [row for row, one in enumerate(known) if one.hits >= ESTABLISHED_HITS]
        tentative = [row for row, one in enumerate(known) if one.hits < ESTABLISHED_HITS]
        for rows in (established, tentative):
            for columns in (strong, weak):
                if rows and columns:
                    candidates = [one for one in overlapping if one[1] in rows and one[2] in columns]
                    self._see(first_come(candidates), rows, columns, known, found, now)
            if rows and strong:
                near = pair(rows, strong, lambda row, column: self._nearness(known[row], found[column], now))
                self._see(near, rows, strong, known, found, now)
        seen = [one.motion.box for one in known if one.seen]
        self._doubt(known, seen)
        for column in sorted(strong + weak, key=lambda i: -found[i][1]):
            box, score, _ = found[column]
            if score >= self._settings.new_score and not self._crowded(box, seen):
                self._last_id += 1
                known.append(Followed(self._last_id, found[column], now))
                seen.append(box)

    def _see(
        self,
        pairs: Iterable[tuple[int, int]],
        rows: list[int],
        columns: list[int],
        known: Sequence[Followed],
        found: Sequence[Sighting],
        now: float,
    ) -> None:
        """Give detections to objects; both are taken out of `rows` and `columns`."""
        gain = 1.0 - math.exp(-self._since_update_s / self._settings.belief_s)
        for row, column in pairs:
            known[row].see(found[column], now, gain)
            rows.remove(row)
            columns.remove(column)

    def _nearness(self, one: Followed, found: Sighting, now: float) -> float:
        """Above 0 where a detection may be of an object that it does not overlap."""
        box, _, appearance = found
        before = one.motion.box
        if not 1 / OTHER_SIZE < area(before) / max(area(box), SMALLEST_AREA) < OTHER_SIZE:
            return 0.0
        settings = self._settings
        reach = min(settings.reach + settings.reach_per_s * (now - one.last_at), FARTHEST_REACH)
        return reach - distance(before, box) - STRANGE * difference(one.appearance, appearance)

    def _doubt(self, known: Sequence[Followed], seen: Sequence[Box]) -> None:
        """Believe less in what was not seen."""
        for one in known:
            if not one.seen:
                hidden = covered_by_any(one.motion.box, seen, HIDDEN)
                one.belief *= math.exp(-self._since_update_s / (HIDDEN_S if hidden else FORGETTING_S))

    def _crowded(self, box: Box, seen: Sequence[Box]) -> bool:
        crowding = self._settings.crowding
        return any(overlap(box, other) > crowding for other in seen) or covered_by_any(box, seen, INSIDE)

    def _report(self, label: str, known: Sequence[Followed], now: float) -> list[Track]:
        return [
            Track(
                id=one.id,
                label=label if one.word is None or one.word.label is None else one.word.label,
                score=one.score,
                best_score=one.best_score,
                box=_clip(one.motion.box),
                first_at=one.first_at,
                last_at=one.last_at,
                hits=one.hits,
                seen_now=one.seen,
                belief=(belief := carrying.believed(one.belief, one.word, now)),
                stands=(one.hits > 1 or one.word is not None) and belief >= self._settings.stand_belief,
                word=one.word,
                appearance=one.appearance,
                seen_well=one.seen and self._sees_well(one, now),
            )
            for one in known
            if now - one.last_at <= carrying.coast_s(self._settings.coast_s, one.word, now)
        ]


def _within(box: Box, place: Box) -> bool:
    return box[0] >= place[0] and box[1] >= place[1] and box[2] <= place[2] and box[3] <= place[3]


def _clip(box: Box) -> Box:
    x1, y1, x2, y2 = box
    if x1 >= 0.0 and y1 >= 0.0 and x2 <= 1.0 and y2 <= 1.0:
        return box
    return (min(max(x1, 0.0), 1.0), min(max(y1, 0.0), 1.0), min(max(x2, 0.0), 1.0), min(max(y2, 0.0), 1.0))


def _by_id(track: Track) -> int:
    return track.id
