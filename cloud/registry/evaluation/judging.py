"""Running a model over an evaluation set, in a process of its own: what crashes there has harmed nobody.

Run as `python -m cloud.registry.evaluation.judging PARENT MODEL SET`, with two folders, it prints a line of JSON for
each picture that is done, and as its last line the figures, or the error that refused the model.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from cloud.registry.evaluation.clip import clip_frames
from cloud.registry.evaluation.document import (
    PICTURES,
    EvaluationSet,
    Kind,
    LabelledPicture,
    load_set,
    stored_name,
)
from cloud.registry.evaluation.ending import refusal
from cloud.registry.evaluation.results import Figures, LabelFigures, OperatingPoint
from vision.accuracy import Counts, Tally, Truth
from vision.confinement import die_with, leave_the_network, limit
from vision.detections import Detections, Detector, Image
from vision.detector import open_detector
from vision.errors import VisionError
from vision.pictures import decode_jpeg
from wire.model import Manifest

LOWEST_SCORE: Final = 0.05
"""Average precision needs what lies far below any threshold; below this, it moves in the third decimal."""
MAX_THREADS: Final = 4
MEMORY_MIB: Final = 4096.0
CPU_S: Final = 12 * 3600.0
"""A large model over tens of thousands of pictures; what hangs on one of them is ended from outside."""


def judge(detector: Detector, manifest: Manifest, asked: EvaluationSet, folder: Path) -> Iterator[Figures | int]:
    """Look at every picture; yields how many are done, then the figures.

    Args:
        detector: The model.
        manifest: Its manifest, whose scores are the operating points.
        asked: The set.
        folder: Where its pictures lie.

    Raises:
        vision.errors.InferenceFailed: A run failed.
    """
    tallies = [Tally() for _ in asked.labels]
    for done, (picture, image) in enumerate(_images(asked, folder), 1):
        found = detector.detect(image, min(LOWEST_SCORE, manifest.min_score))
        for index, tally in enumerate(tallies):
            scores, boxes = _of_label(found, asked.labels[index], picture)
            tally.add(_truth(picture, index), scores, boxes)
        yield done
    yield _figures(tallies, manifest, asked)


def _images(asked: EvaluationSet, folder: Path) -> Iterator[tuple[LabelledPicture, Image]]:
    kept = folder / PICTURES
    if asked.clip is not None:
        wanted = {picture.frame: picture for picture in asked.pictures}
        for frame, image in enumerate(clip_frames(kept / stored_name(asked.clip), "the set's clip")):
            if frame in wanted:
                yield wanted[frame], image
        return
    for picture in asked.pictures:
        if picture.digest is not None:
            yield picture, decode_jpeg((kept / stored_name(picture.digest)).read_bytes())


def _of_label(found: Detections, label: str, picture: LabelledPicture) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.array([name == label for name in found.labels], np.bool_)[found.classes]
    scale = np.array([picture.width, picture.height] * 2, np.float64)
    return found.scores[chosen], found.boxes[chosen] * scale


def _truth(picture: LabelledPicture, index: int) -> Truth:
    own = [each for each in picture.boxes if each.label == index]
    crowds = [each.box for each in own if each.kind is Kind.CROWD]
    single = [each for each in own if each.kind is not Kind.CROWD]
    return Truth(
        np.array([each.box for each in single], np.float64).reshape(-1, 4),
        np.array([each.kind is Kind.OBJECT for each in single], np.bool_),
        np.array(crowds, np.float64).reshape(-1, 4),
    )


def _figures(tallies: Sequence[Tally], manifest: Manifest, asked: EvaluationSet) -> Figures:
    scores = (manifest.min_score, manifest.uncertain[1])
    labels = []
    for label, tally in zip(asked.labels, tallies, strict=True):
        reported, sure = (_point(score, [tally]) for score in scores)
        accuracy = tally.accuracy()
        labels.append(
            LabelFigures(
                label=label,
                labelled=accuracy.labelled,
                known=label in manifest.labels,
                ap50=accuracy.ap50,
                reported=reported,
                sure=sure,
            )
        )
    reported, sure = (_point(score, tallies) for score in scores)
    return Figures(
        pictures=len(asked.pictures),
        labelled=sum(each.labelled for each in labels),
        map50=float(np.mean([each.ap50 for each in labels])),
        reported=reported,
        sure=sure,
        labels=tuple(labels),
    )


def _point(score: float, tallies: Sequence[Tally]) -> OperatingPoint:
    counts = [tally.counts(score) for tally in tallies]
    together = Counts(
        sum(each.right for each in counts), sum(each.wrong for each in counts), sum(each.labelled for each in counts)
    )
    return OperatingPoint(score=score, recall=together.recall or 0.0, precision=together.precision)


def main(model: Path, folder: Path) -> int:
    """The child's part."""
    asked = load_set(folder)
    leave_the_network()
    limit(memory_mib=MEMORY_MIB, cpu_s=CPU_S)
    try:
        detector = open_detector(model, threads=min(MAX_THREADS, os.cpu_count() or 1))
        for each in judge(detector, detector.manifest, asked, folder):
            line = json.dumps({"done": each}) if isinstance(each, int) else each.model_dump_json()
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except VisionError as refused:
        sys.stdout.write(json.dumps(refusal(refused)))
        return 1
    detector.close()
    return 0


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    sys.exit(main(Path(sys.argv[2]), Path(sys.argv[3])))
