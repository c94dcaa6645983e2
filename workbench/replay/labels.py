"""What a person labelled in the clip: MOT's lines, or COCO's JSON, as the registry's evaluation sets read them.

MOT's lines also say who is who, which alerts are judged by; COCO's do not.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from agent.adapters.opencv_source import PICTURE_SUFFIXES
from cloud.registry.evaluation.coco import read_coco
from cloud.registry.evaluation.document import Kind
from cloud.registry.evaluation.labels import RawBox
from cloud.registry.evaluation.mot import read_mot
from vision.accuracy import Floats, Truth
from workbench.errors import LabelsMissing
from workbench.replay.events import People

NOWHERE: Final = np.zeros((0, 4))
NOBODY: Final = Truth(NOWHERE, np.zeros(0, np.bool_), NOWHERE)
_NUMBER: Final = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, slots=True)
class Labels:
    """What is in the clip's frames, by the clip's own frame index, from 0; boxes in pixels.

    Attributes:
        truths: By label and frame. A frame without an entry shows nothing of it.
        people: The same with who each is, by label; empty where the labels don't say.
        frames: Those that were looked at by whoever labelled them.
    """

    truths: Mapping[str, Mapping[int, Truth]]
    people: Mapping[str, Mapping[int, People]]
    frames: frozenset[int]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of which there is an object that counts."""
        return tuple(
            sorted(name for name, found in self.truths.items() if any(one.counts.any() for one in found.values()))
        )

    def only(self, wanted: Collection[str]) -> Labels:
        """Without what nobody looks for.

        Raises:
            LabelsMissing: Nothing is left.
        """
        kept = Labels(
            {name: found for name, found in self.truths.items() if name in wanted},
            {name: found for name, found in self.people.items() if name in wanted},
            self.frames,
        )
        if not kept.names:
            raise LabelsMissing(
                f"the labels know {', '.join(self.names) or 'nothing'}, and what is looked for is"
                f" {', '.join(sorted(wanted))}",
                "Name what is labelled with --label, or give other labels.",
            )
        return kept


def read_labels(file: Path, clip: Path, frames: range, label: str) -> Labels:
    """Read a file of labels.

    Args:
        file: COCO's where it ends in .json, else MOT's.
        clip: What was labelled.
        frames: The part of it that is replayed.
        label: What MOT's boxes show.

    Raises:
        LabelsMissing: None of them is for a frame of that part.
        VedetteError: As `cloud.registry.evaluation` says of a file that can't be read.
    """
    found = _coco(file, clip) if file.suffix.lower() == ".json" else _mot(file, label)
    if not any(frame in frames for frame in found.frames):
        raise LabelsMissing(
            f"{file} labels none of the frames {frames.start} to {frames.stop - 1} of {clip}",
            "Give the labels of this clip; MOT counts its frames from 1.",
        )
    return found


def _mot(file: Path, label: str) -> Labels:
    raw = read_mot(file, label)
    frames = raw.frames or {}
    with file.open(encoding="utf-8", newline="") as lines:
        names = {f"{file.name}:{number}": row[1].strip() for number, row in enumerate(csv.reader(lines), 1) if row}
    numbers = {name: number for number, name in enumerate(sorted(set(names.values())))}
    people = {
        frame: People(_corners(boxes), _counts(boxes), np.array([numbers[names[box.where]] for box in boxes]))
        for frame, boxes in frames.items()
    }
    return Labels(
        {label: {frame: _truth(boxes) for frame, boxes in frames.items()}},
        {label: people},
        frozenset(raw.labelled_frames()),
    )


def _coco(file: Path, clip: Path) -> Labels:
    truths: dict[str, dict[int, Truth]] = defaultdict(dict)
    looked_at: set[int] = set()
    order = _order(clip)
    for picture in read_coco(file).pictures:
        frame = _frame(picture.name, order, file, clip)
        looked_at.add(frame)
        by_label: dict[str, list[RawBox]] = defaultdict(list)
        for box in picture.boxes:
            by_label[box.label].append(box)
        for label, boxes in by_label.items():
            truths[label][frame] = _truth(boxes)
    return Labels(truths, {}, frozenset(looked_at))


def _order(clip: Path) -> dict[str, int] | None:
    """The pictures of a folder in the order in which they are replayed; None for a video."""
    if not clip.is_dir():
        return None
    names = sorted(each.name for each in clip.iterdir() if each.suffix.lower() in PICTURE_SUFFIXES)
    return {name: place for place, name in enumerate(names)}


def _frame(name: str, order: Mapping[str, int] | None, file: Path, clip: Path) -> int:
    if order is not None:
        if Path(name).name not in order:
            raise LabelsMissing(
                f"{file} labels {name}, which is not in {clip}", "Give the labels of this folder's pictures."
            )
        return order[Path(name).name]
    numbered = _NUMBER.search(Path(name).stem)
    if numbered is None:
        raise LabelsMissing(
            f"{file} labels {name}, whose name ends in no number: which frame of {clip} it is can't be told",
            "Name the images by their frame, from 0, as in 000012.jpg.",
        )
    return int(numbered[1])


def _truth(boxes: Sequence[RawBox]) -> Truth:
    objects = [box for box in boxes if box.kind is not Kind.CROWD]
    return Truth(_corners(objects), _counts(objects), _corners([box for box in boxes if box.kind is Kind.CROWD]))


def _corners(boxes: Sequence[RawBox]) -> Floats:
    return np.array([box.corners for box in boxes], float).reshape(-1, 4)


def _counts(boxes: Sequence[RawBox]) -> np.typing.NDArray[np.bool_]:
    return np.array([box.kind is Kind.OBJECT for box in boxes], np.bool_)
