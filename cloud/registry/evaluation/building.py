"""Taking an evaluation set in: labels and pictures held against each other, then kept whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from cloud.registry.errors import EvaluationSetRefused, PictureAbsent, PictureTorn
from cloud.registry.evaluation.clip import clip_frames
from cloud.registry.evaluation.coco import read_coco
from cloud.registry.evaluation.document import (
    MAX_PICTURES,
    PICTURES,
    SET_FILE,
    EvaluationSet,
    LabelledPicture,
    SetName,
    stored_name,
)
from cloud.registry.evaluation.labels import RawBox, RawLabels, RawPicture, settled
from cloud.registry.evaluation.mot import read_mot
from cloud.registry.files import sync_folder, told_as_ours, write_durably
from vision.errors import PictureUnreadable
from vision.manifest import digest_of
from vision.pictures import decode_jpeg, is_cut_off

MAX_PICTURE_BYTES: Final = 64 << 20
COCO_SUFFIX: Final = ".json"
EDGE_PX: Final = 1.0
"""COCO's own labels reach over the edge by fractions of a pixel."""
AMODAL: Final = float("inf")
"""MOT's boxes are drawn around whole persons, also where they leave the picture."""

Progress = Callable[[int, int | None], None]
"""Pictures done, and how many there are, where that is known."""

_NAME: Final = TypeAdapter[str](SetName)
_JPEG_SUFFIXES: Final = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a person's set lies.

    Attributes:
        pictures: A folder of JPEG files; with MOT's labels, one of numbered frames, or a video.
        labels: COCO's JSON in a file that ends in `.json`; any other file is read as MOT's lines.
        label: What MOT's boxes show.
    """

    pictures: Path
    labels: Path
    label: str = "person"


def build(name: str, sources: Sources, into: Path, progress: Progress) -> EvaluationSet:
    """Copy a set into an empty folder, durably, with everything checked.

    Raises:
        EvaluationSetRefused: The set is none; its kinds say how.
        RegistryUnwritable: The disk refused.
    """
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise EvaluationSetRefused(
            f"{name!r} is no name for a set", "Use up to 40 small letters, digits, `-` and `_`."
        ) from None
    if sources.labels.suffix.lower() == COCO_SUFFIX:
        raw = read_coco(sources.labels)
    else:
        raw = read_mot(sources.labels, sources.label)
    asked = raw.asked()
    if not asked:
        raise EvaluationSetRefused(f"{sources.labels} labels no object", "Label at least one.")
    with told_as_ours(into):
        (into / PICTURES).mkdir()
        if raw.frames is not None and not sources.pictures.is_dir():
            clip, pictures = _from_clip(sources.pictures, raw, asked, into / PICTURES, progress)
        else:
            clip, pictures = None, _from_folder(sources, raw, asked, into / PICTURES, progress)
        made = EvaluationSet(name=name, labels=asked, clip=clip, pictures=pictures)
        write_durably(into / SET_FILE, made.model_dump_json().encode(), 0o644)
        sync_folder(into / PICTURES)
        sync_folder(into)
    return made


def _from_folder(
    sources: Sources, raw: RawLabels, asked: tuple[str, ...], into: Path, progress: Progress
) -> tuple[LabelledPicture, ...]:
    if not sources.pictures.is_dir():
        raise PictureAbsent(
            f"there is no folder {sources.pictures}", "Name the folder that the labels' pictures lie in."
        )
    found = raw.pictures if raw.frames is None else _numbered(sources.pictures, raw, raw.frames)
    _check_number(len(found))
    slack = EDGE_PX if raw.frames is None else AMODAL
    kept = []
    for done, each in enumerate(found, 1):
        kept.append(_kept(sources.pictures, each, asked, into, slack))
        progress(done, len(found))
    return tuple(kept)


def _numbered(folder: Path, raw: RawLabels, frames: Mapping[int, tuple[RawBox, ...]]) -> tuple[RawPicture, ...]:
    """The files `000001.jpg` and on, frame 0 being the file with number 1."""
    files = {
        int(file.stem) - 1: file.name
        for file in folder.iterdir()
        if file.suffix.lower() in _JPEG_SUFFIXES and file.stem.isdecimal()
    }
    _check_frames(frames, files, f"the folder {folder}")
    return tuple(RawPicture(files[frame], frames.get(frame, ())) for frame in raw.labelled_frames() if frame in files)


def _kept(folder: Path, raw: RawPicture, asked: tuple[str, ...], into: Path, slack: float) -> LabelledPicture:
    file = folder / raw.name
    data = _picture_bytes(file)
    try:
        if is_cut_off(data):
            raise PictureTorn(f"{file} is cut off", "Copy it again, or leave it out of the labels.")
        height, width = decode_jpeg(data).shape[:2]
    except PictureUnreadable as refused:
        raise PictureTorn(f"{file}: {refused.what}", refused.mend) from None
    if raw.size is not None and raw.size != (width, height):
        raise EvaluationSetRefused(
            f"{file} has {width}×{height} pixels, its labels say {raw.size[0]}×{raw.size[1]}",
            "Give the pictures that were labelled, not resized ones.",
        )
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if not (into / stored_name(digest)).exists():
        write_durably(into / stored_name(digest), data, 0o644)
    return _labelled(raw.name, digest, (width, height), raw.boxes, asked, slack)


def _picture_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_PICTURE_BYTES + 1)
    except FileNotFoundError:
        raise PictureAbsent(
            f"there are labels for {file}, which is not there", "Add the picture, or delete its labels."
        ) from None
    except OSError as refused:
        raise PictureTorn(
            f"{file} can't be read: {refused.strerror}", "Look at the disk and the file's rights."
        ) from None
    if len(data) > MAX_PICTURE_BYTES:
        raise PictureTorn(f"{file} is over {MAX_PICTURE_BYTES >> 20} MiB", "Give a smaller picture.")
    return data


def _from_clip(
    video: Path, raw: RawLabels, asked: tuple[str, ...], into: Path, progress: Progress
) -> tuple[str, tuple[LabelledPicture, ...]]:
    """Copy a video and label its frames; the copy is what is looked at."""
    if not video.is_file():
        raise PictureAbsent(f"there is no video or folder {video}", "Correct the path.")
    copy = into / "clip"
    with video.open("rb") as source, copy.open("xb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    digest = digest_of(copy)
    copy = copy.rename(into / stored_name(digest))
    frames = raw.frames or {}
    pictures: list[LabelledPicture] = []
    for frame, image in enumerate(clip_frames(copy, str(video))):
        _check_number(frame + 1)
        if frame in raw.labelled_frames():
            size = (image.shape[1], image.shape[0])
            found = _labelled(f"frame {frame + 1}", None, size, frames.get(frame, ()), asked, AMODAL)
            pictures.append(found.model_copy(update={"frame": frame}))
        progress(frame + 1, None)
    _check_frames(frames, {picture.frame for picture in pictures}, str(video))
    return digest, tuple(pictures)


def _labelled(
    name: str,
    digest: str | None,
    size: tuple[int, int],
    boxes: Sequence[RawBox],
    asked: tuple[str, ...],
    slack: float,
) -> LabelledPicture:
    held = tuple(settled(box, name, size, asked, slack) for box in boxes if box.label in asked)
    return LabelledPicture(name=name, digest=digest, width=size[0], height=size[1], boxes=held)


def _check_frames(labelled: Mapping[int, tuple[RawBox, ...]], there: Container[int | None], where: str) -> None:
    missing = next((frame for frame in sorted(labelled) if frame not in there), None)
    if missing is not None:
        raise PictureAbsent(
            f"{labelled[missing][0].where}: there are labels for frame {missing + 1}, which {where} does not have",
            "Give the video or folder that was labelled, whole.",
        )


def _check_number(pictures: int) -> None:
    if pictures > MAX_PICTURES:
        raise EvaluationSetRefused(f"the set has over {MAX_PICTURES} pictures", "Give a sample of them.")
