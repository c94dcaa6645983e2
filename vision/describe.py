"""A manifest for any model file: the one beside it, else its own metadata, else the shapes of its tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from vision.coco import COCO_80, COCO_90
from vision.errors import ModelRefused
from vision.guess import Guess, Traits, guess
from vision.manifest import MANIFEST_NAME, check_file, digest_of, load_manifest
from vision.models import model_file
from vision.runtimes.onnx import OnnxRuntime
from vision.tflite_file import EXP, LOGISTIC, TfliteFile, read_tflite
from vision.tflite_metadata import ModelMetadata
from wire.model import Input, Manifest, OutputKind, Provenance

ONNX_SUFFIX: Final = ".onnx"
_UNFIT: Final = re.compile(r"[^a-z0-9._-]+")
_MEND: Final = "Describe the model in a manifest.json beside it."


@dataclass(frozen=True, slots=True)
class Description:
    """A model file and how to read its tensors.

    Attributes:
        file: The model file itself.
        guessed: The manifest is told from the file, not given beside it.
        postprocess: See `TfliteFile`; None for other formats.
    """

    file: Path
    manifest: Manifest
    guessed: bool
    postprocess: tuple[int, ...] | None = None


def describe_model(path: Path) -> Manifest:
    """The manifest of a model file, or of the folder that holds one; see `describe`."""
    return describe(path).manifest


def describe(path: Path) -> Description:
    """Find out how a model's tensors are to be read.

    A manifest is `manifest.json` or `FILE.manifest.json` beside the file, and must be this file's.

    Raises:
        ModelMissing: No such file.
        ModelUnreadable: Neither a `.tflite` nor an `.onnx` file, or a broken one.
        ManifestInvalid: The manifest breaks its contract, or is another file's.
        ModelRefused: There is no manifest, and no kind fits the tensors.
        RuntimeMissing: An `.onnx` file without a manifest, and nothing installed to look into it.
    """
    file = model_file(path)
    onnx = file.suffix.lower() == ONNX_SUFFIX
    sound = None if onnx else read_tflite(file)
    postprocess = sound.postprocess if sound else None
    for beside in (file.with_name(f"{file.name}.{MANIFEST_NAME}"), file.with_name(MANIFEST_NAME)):
        if beside.is_file():
            manifest = load_manifest(beside)
            check_file(manifest, file)
            return Description(file, manifest, guessed=False, postprocess=postprocess)
    return Description(file, _tell(file, sound), guessed=True, postprocess=postprocess)


def _tell(file: Path, sound: TfliteFile | None) -> Manifest:
    if sound is None:
        with OnnxRuntime.open(file, threads=1) as runtime:
            return _manifest(file, guess([runtime.input], runtime.outputs, Traits(normalised=False)), None)
    traits = Traits(
        postprocess=sound.postprocess is not None,
        decodes=EXP in sound.operators,
        squashes=LOGISTIC in sound.operators,
    )
    if sound.metadata is not None and sound.metadata.greyscale:
        raise ModelRefused("the model's metadata says that it takes greyscale pictures", "Give a model for colour.")
    return _manifest(file, guess(sound.inputs, sound.outputs, traits), sound.metadata)


def _manifest(file: Path, found: Guess, metadata: ModelMetadata | None) -> Manifest:
    labels, offset = _labels(found, metadata)
    by = "tensor shapes" if metadata is None else "metadata and tensor shapes"
    name = _UNFIT.sub("-", file.stem.lower()).strip("-._")[:63] or "model"
    try:
        return Manifest(
            name=name,
            version="0",
            digest=digest_of(file),
            size=file.stat().st_size,
            input=_input(found.input, metadata),
            output=found.output.model_copy(update={"class_offset": offset}),
            labels=labels,
            licence=_printable(metadata.licence if metadata else "") or "not stated",
            provenance=Provenance(source=f"read from the {by} of {_printable(file.name)}"),
        )
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the normalisation"
        raise ModelRefused(f"the metadata in {file} can't be used: {where}: {first['msg']}", _MEND) from None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:300].strip()


def _input(family: Input, metadata: ModelMetadata | None) -> Input:
    if metadata is None or not metadata.mean or not metadata.std:
        return family
    values = {"mean": _per_channel(metadata.mean), "std": _per_channel(metadata.std), "scale": 1.0}
    return Input.model_validate(family.model_dump() | values)


def _per_channel(values: tuple[float, ...]) -> tuple[float, ...]:
    return values * 3 if len(values) == 1 else values


def _labels(found: Guess, metadata: ModelMetadata | None) -> tuple[tuple[str, ...], int]:
    """Labels, and what to add to a class index before looking one up."""
    offset = found.output.class_offset
    if metadata is None or not metadata.labels:
        return _usual_labels(found.classes), offset
    labels = metadata.labels
    if found.classes is None:
        return labels, 1 if metadata.background_first else 0
    offset = len(labels) - found.classes
    if (
        offset == 0
        or (offset == 1 and metadata.background_first)
        or (offset == -1 and found.output.kind is OutputKind.SSD)
    ):
        return labels, offset
    raise ModelRefused(
        f"the model brings {len(labels)} labels for the {found.classes} classes of its output tensors", _MEND
    )


def _usual_labels(classes: int | None) -> tuple[str, ...]:
    match classes:
        case None | 90 | 91:
            return COCO_90
        case 80:
            return COCO_80
        case _:
            return tuple(f"class {index}" for index in range(classes))
