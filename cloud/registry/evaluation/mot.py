"""Labels in the MOT Challenge's form: `frame,id,x,y,width,height,confidence,…` a line, frames from 1, pixels.

A line with confidence 0 marks what is neither right nor wrong to find. Where lines have nine fields (MOT16 and
later), the eighth is a class: 1, a pedestrian, counts; persons on vehicles, persons who stand still, distractors and
reflections are neither right nor wrong; vehicles and occluders are left out.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Final

from cloud.registry.errors import ClassUnknown, LabelsUnreadable
from cloud.registry.evaluation.document import Kind
from cloud.registry.evaluation.labels import RawBox, RawLabels, read_bounded

_FIELDS: Final = 7
_FIELDS_WITH_CLASS: Final = 9
_PEDESTRIAN: Final = 1
_NEITHER: Final = frozenset({2, 7, 8, 12})
_OTHERS: Final = frozenset({3, 4, 5, 6, 9, 10, 11, 13})
_MEND: Final = "Give lines `frame,id,x,y,width,height,confidence`, or COCO's JSON in a file that ends in .json."


def read_mot(file: Path, label: str = "person") -> RawLabels:
    """Read MOT's labels as objects of `label`; frames are counted from 0 here, as decoders do.

    Raises:
        LabelsUnreadable: A line is not in the form.
        ClassUnknown: A class is none of the MOT Challenge's.
    """
    try:
        lines = read_bounded(file).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise LabelsUnreadable(f"{file} is no text", _MEND) from None
    frames: dict[int, list[RawBox]] = defaultdict(list)
    for number, row in enumerate(csv.reader(lines), 1):
        if not row:
            continue
        where = f"{file.name}:{number}"
        frame, corners, confidence = _numbers(row, where)
        kind = _kind(row, where) if confidence > 0 else Kind.IGNORED
        if kind is not None:
            frames[frame - 1].append(RawBox(corners, label, kind, where))
    return RawLabels(frames={frame: tuple(boxes) for frame, boxes in frames.items()})


def _numbers(row: list[str], where: str) -> tuple[int, tuple[float, float, float, float], float]:
    try:
        frame = int(row[0])
        x, y, width, height, confidence = map(float, row[2:_FIELDS])
    except ValueError:
        raise LabelsUnreadable(f"{where} is no line of MOT's: {','.join(row)[:80]}", _MEND) from None
    if frame < 1:
        raise LabelsUnreadable(f"{where} is for frame {frame}, and frames are counted from 1", _MEND)
    return frame, (x, y, x + width, y + height), confidence


def _kind(row: list[str], where: str) -> Kind | None:
    if len(row) != _FIELDS_WITH_CLASS:
        return Kind.OBJECT
    named = row[_FIELDS].strip()
    found = int(named) if named.isdecimal() else 0
    if found == _PEDESTRIAN:
        return Kind.OBJECT
    if found in _NEITHER:
        return Kind.IGNORED
    if found in _OTHERS:
        return None
    raise ClassUnknown(f"{where} is of class {named[:20]}, which is none of the MOT Challenge's", "They are 1 to 13.")
