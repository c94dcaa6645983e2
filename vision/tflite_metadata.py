"""The metadata that a model's maker may write into a `.tflite` file: normalisation and labels.

Schema: tflite-support's metadata_schema.fbs (identifier M001); associated files stand in a ZIP archive that is
appended to the model. Labels are a stranger's text and end up on screens and in topics, hence the checks.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from vision.errors import ModelRefused, ModelUnreadable
from vision.flatbuffer import Table, root
from wire.fields import Label

IDENTIFIER: Final = b"M001"
MAX_LABELS: Final = 4096
_PLACEHOLDERS: Final = frozenset({"???", "background", "__background__", "n/a", "N/A"})
_MAX_PARTS: Final = 64
_MAX_FILE_BYTES: Final = MAX_LABELS * 260
# A handful of files at most; zipfile builds an object of a kilobyte for each entry of 46 bytes and more.
_MAX_DIRECTORY_BYTES: Final = 16 << 10
# The archive's end record and the longest comment that may follow it.
_MAX_TAIL_BYTES: Final = 22 + 0xFFFF
_END_OF_ARCHIVE: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_NORMALISATION: Final = 1
_IMAGE: Final = 2
_GREYSCALE: Final = 2
_AXIS_LABELS: Final = 2
_VALUE_LABELS: Final = 3
_MEND: Final = "Fetch or build the file again, or give it a manifest.json."
_NAMES: Final = re.compile(r"""['"]names['"]\s*:\s*\{([^}]*)\}""")
_NAME: Final = re.compile(r"""['"]?(\d{1,4})['"]?\s*:\s*(?:'([^'\n]*)'|"([^"\n]*)")""")
_LABEL: Final = TypeAdapter[str](Label)


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the metadata says of a detector.

    Attributes:
        mean, std: Of 0..255 values, one for all channels or one per channel; empty where it says nothing.
        labels: One per class index; "" for classes that mean nothing; empty where no label file is attached.
        background_first: The label file's first line stood for the background.
    """

    name: str
    licence: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    greyscale: bool
    labels: tuple[str, ...]
    background_first: bool


def read_metadata(path: Path, data: bytes) -> ModelMetadata:
    """Read the metadata buffer, and the label file that it names out of the archive at the end of `path`.

    Raises:
        ModelUnreadable: The buffer or the archive points outside itself.
        ModelRefused: A label can't be shown to anyone.
    """
    if data[4:8] != IDENTIFIER:
        raise ModelUnreadable(f"the metadata in {path} is not of the kind {IDENTIFIER!r}", _MEND)
    model = root(data)
    graphs = model.tables(3, _MAX_PARTS)
    inputs = graphs[0].tables(2, _MAX_PARTS) if graphs else []
    outputs = graphs[0].tables(3, _MAX_PARTS) if graphs else []
    mean, std = _normalisation(inputs[0]) if inputs else ((), ())
    lines = _label_lines(path, outputs)
    return ModelMetadata(
        name=model.text(0),
        licence=model.text(5),
        mean=mean,
        std=std,
        greyscale=bool(inputs) and _is_greyscale(inputs[0]),
        labels=tuple("" if line in _PLACEHOLDERS else line for line in lines),
        background_first=bool(lines) and lines[0] in _PLACEHOLDERS,
    )


def _normalisation(tensor: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for unit in tensor.tables(4, _MAX_PARTS):
        options = unit.table(1)
        if unit.integer(0, "B") == _NORMALISATION and options is not None:
            return options.floats(0, _MAX_PARTS), options.floats(1, _MAX_PARTS)
    return (), ()


def _is_greyscale(tensor: Table) -> bool:
    content = tensor.table(3)
    if content is None or content.integer(0, "B") != _IMAGE:
        return False
    image = content.table(1)
    return image is not None and image.integer(0, "b") == _GREYSCALE


def _label_lines(path: Path, outputs: list[Table]) -> tuple[str, ...]:
    for tensor in outputs:
        for file in tensor.tables(6, _MAX_PARTS):
            if file.integer(2, "b") in {_AXIS_LABELS, _VALUE_LABELS}:
                return _labels_in(_attached(path, file.text(0)))
    return ()


def _attached(path: Path, name: str) -> bytes:
    """One file of the archive at the model's end."""
    try:
        with path.open("rb") as model:
            model.seek(max(0, model.seek(0, os.SEEK_END) - _MAX_TAIL_BYTES))
            _check_directory(model.read())
            with zipfile.ZipFile(model) as archive, archive.open(name) as file:
                text = file.read(_MAX_FILE_BYTES + 1)
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as failed:
        raise ModelUnreadable(f"the label file {name[:64]!r} in {path} can't be read: {failed}", _MEND) from None
    if len(text) > _MAX_FILE_BYTES:
        raise ModelUnreadable(f"the label file {name[:64]!r} in {path} is over {_MAX_FILE_BYTES} bytes", _MEND)
    return text


def _check_directory(tail: bytes) -> None:
    """Refuse an archive whose directory is long enough to exhaust memory, before zipfile reads it."""
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or at + _END_OF_ARCHIVE.size > len(tail):
        raise ModelUnreadable("the model names a label file, but no archive is attached", _MEND)
    directory_bytes = _END_OF_ARCHIVE.unpack_from(tail, at)[5]
    # The 64-bit form keeps its own sizes just before, marked by this signature.
    if directory_bytes > _MAX_DIRECTORY_BYTES or b"PK\x06\x07" in tail[max(0, at - 20) : at]:
        raise ModelUnreadable(f"the attached archive's directory of {directory_bytes} bytes is too long", _MEND)


def _labels_in(data: bytes) -> tuple[str, ...]:
    text = data.decode("utf-8-sig", "replace").strip()
    lines = _names_in_description(text) if text.startswith("{") else [line.strip() for line in text.splitlines()]
    if len(lines) > MAX_LABELS:
        raise ModelRefused(f"the model brings {len(lines)} labels, over the limit of {MAX_LABELS}", _MEND)
    return tuple(_label(number, line) for number, line in enumerate(lines, 1))


def _names_in_description(text: str) -> list[str]:
    """The `names` in the description that YOLOv5 and Ultralytics exports attach in place of a label file.

    It is a Python dict or JSON; matched rather than parsed, since Python's own parser can be crashed by nesting.
    """
    names = _NAMES.search(text)
    found = {int(index): single or double for index, single, double in _NAME.findall(names[1] if names else "")}
    if sorted(found) != list(range(len(found))) or not found:
        raise ModelRefused("the model's attached description holds no readable `names`", _MEND)
    return [found[index] for index in range(len(found))]


def _label(number: int, line: str) -> str:
    try:
        return _LABEL.validate_python(line) if line else ""
    except ValidationError as refused:
        why = refused.errors(include_url=False, include_input=False)[0]["msg"]
        raise ModelRefused(f"label {number} inside the model can't be used: {why}", _MEND) from None
