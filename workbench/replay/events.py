"""Alerts held against labelled people: is each person told of, once, soon, and nobody who is not there?

A person who is labelled for a second or longer is one event. An alert is about the person on whom its track lies, at
an IoU of .5, when it is raised or within a second from then: a device may be earlier than the labels, which begin
when a person is wholly in the picture. An alert about somebody who has one already is a duplicate.
"""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vision.accuracy import IOU, Floats, iou

EVENT_S: Final = 1.0
IN_TIME_S: Final = 2.0
Followed = Mapping[int, Mapping[int, Floats]]
"""By frame and track: the box, in pixels."""


@dataclass(frozen=True, slots=True)
class People:
    """Who is labelled in one frame.

    Attributes:
        boxes: float64 (N, 4), x1 y1 x2 y2 in pixels.
        counts: bool (N,), whether each counts; one that does not is neither right nor wrong to find.
        ids: int64 (N,), who each is; the same in all frames.
    """

    boxes: Floats
    counts: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]


def read_people(file: Path) -> dict[int, People]:
    """MOT's labels with who is who, by the clip's own frame index, which is one less than MOT's."""
    rows: dict[int, list[tuple[list[float], bool, int]]] = defaultdict(list)
    with file.open(newline="") as lines:
        for row in csv.reader(lines):
            x, y, width, height, confidence = map(float, row[2:7])
            rows[int(row[0]) - 1].append(([x, y, x + width, y + height], confidence > 0, int(row[1])))
    return {frame: People(*map(np.array, zip(*found, strict=True))) for frame, found in rows.items()}


@dataclass(frozen=True, slots=True)
class AlertFigures:
    """How well alerts tell of people.

    Attributes:
        in_time: The share of the events that were found within IN_TIME_S.
        precision: The share of the alerts that are about a person, duplicates included.
        duplicates: For each event.
        delay_s: The median from a person's first labelled frame to the alert; None where nobody was found.
    """

    events: int
    alerts: int
    in_time: float
    precision: float
    duplicates: float
    delay_s: float | None


def alert_figures(
    truths: Mapping[int, People],
    followed: Followed,
    alerts: Sequence[tuple[int, int]],
    frames: Sequence[int],
    fps: float,
) -> AlertFigures:
    """Judge alerts, each given by its frame and its track."""
    began = _events(truths, frames, fps)
    first: dict[int, int] = {}
    about_nobody = duplicates = 0
    for frame, track in sorted(alerts):
        person = person_of(truths, followed, frame, track, fps)
        if person is None:
            about_nobody += 1
        elif person in first:
            duplicates += 1
        else:
            first[person] = frame
    delays = {who: max(0.0, (first[who] - start) / fps) for who, start in began.items() if who in first}
    events = max(len(began), 1)
    return AlertFigures(
        events=len(began),
        alerts=len(alerts),
        in_time=sum(delay <= IN_TIME_S for delay in delays.values()) / events,
        precision=1.0 - about_nobody / max(len(alerts), 1),
        duplicates=duplicates / events,
        delay_s=statistics.median(delays.values()) if delays else None,
    )


def identity_switches(truths: Mapping[int, People], followed: Followed, frames: Sequence[int]) -> int:
    """How often a person is followed under another number than before, as CLEAR MOT counts."""
    last: dict[int, int] = {}
    switches = 0
    for frame in frames:
        truth, tracks = truths.get(frame), followed[frame]
        if truth is None or not tracks:
            continue
        numbers = list(tracks)
        overlaps = np.array([iou(tracks[number], truth.boxes) for number in numbers])
        whom = {int(truth.ids[person]): person for person in np.flatnonzero(truth.counts).tolist()}
        kept = {
            who: last[who]
            for who, person in whom.items()
            if last.get(who) in tracks and overlaps[numbers.index(last[who]), person] >= IOU
        }
        free = [row for row, number in enumerate(numbers) if number not in kept.values()]
        open_people = [(person, who) for who, person in whom.items() if who not in kept]
        pairs = sorted(
            ((float(overlaps[row, person]), row, who) for row in free for person, who in open_people), reverse=True
        )
        rows: set[int] = set()
        for value, row, who in pairs:
            if value < IOU or row in rows or who in kept:
                continue
            rows.add(row)
            kept[who] = numbers[row]
            switches += who in last and last[who] != numbers[row]
        last |= kept
    return switches


def _events(truths: Mapping[int, People], frames: Sequence[int], fps: float) -> dict[int, int]:
    """The people who count for long enough, and their first frame in which they do."""
    seen: dict[int, list[int]] = defaultdict(list)
    for frame in frames:
        if frame in truths:
            for who in truths[frame].ids[truths[frame].counts].tolist():
                seen[who].append(frame)
    return {who: found[0] for who, found in seen.items() if len(found) >= EVENT_S * fps}


def person_of(truths: Mapping[int, People], followed: Followed, frame: int, track: int, fps: float) -> int | None:
    """Whom an alert is about that was raised at this frame, on this track; None where it is nobody."""
    for later in range(frame, frame + round(EVENT_S * fps) + 1):
        box, truth = followed.get(later, {}).get(track), truths.get(later)
        if box is not None and truth is not None:
            overlaps = iou(box, truth.boxes)
            best = int(overlaps.argmax())
            if overlaps[best] >= IOU:
                return int(truth.ids[best])
    return None
