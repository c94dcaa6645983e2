"""The stored form of an evaluation set: `set.json`, beside the pictures or the clip that it labels."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cloud.registry.errors import RegistryBroken
from wire.fields import Digest

SET_FILE: Final = "set.json"
PICTURES: Final = "pictures"
MAX_PICTURES: Final = 100_000
"""Three hours of video at 10 frames a second."""

SetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Pixels = Annotated[float, Field(allow_inf_nan=False)]


class Kind(StrEnum):
    """What finding a box means."""

    OBJECT = "object"
    """Right; missing it is a miss."""
    IGNORED = "ignored"
    """Neither right nor wrong."""
    CROWD = "crowd"
    """Many objects under one box; what is mostly inside is neither right nor wrong."""


class LabelledBox(BaseModel):
    """One object.

    Attributes:
        box: x1 y1 x2 y2, pixels of the picture.
        label: Index into the set's labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: tuple[Pixels, Pixels, Pixels, Pixels]
    label: Annotated[int, Field(ge=0)]
    kind: Kind = Kind.OBJECT


class LabelledPicture(BaseModel):
    """One picture, or one frame of the set's clip.

    Attributes:
        name: What the person's labels called it.
        digest: Of the picture's file, which is named by it; None for a frame.
        frame: Its place in the clip, from 0; None for a file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: Digest | None
    frame: Annotated[int, Field(ge=0)] | None = None
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    boxes: tuple[LabelledBox, ...]


class EvaluationSet(BaseModel):
    """Pictures, and what is to be found in them.

    Attributes:
        labels: What is asked for; whatever else a model finds is left out of account.
        clip: The digest of the clip, whose frames `pictures` are, in order; None for single pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluation_set: Literal[1] = 1
    name: SetName
    labels: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=80)], ...], Field(min_length=1)]
    clip: Digest | None
    pictures: Annotated[tuple[LabelledPicture, ...], Field(min_length=1, max_length=MAX_PICTURES)]

    @property
    def digest(self) -> str:
        """Of everything but the name: two sets with the same digest ask the same."""
        content = self.model_copy(update={"name": "set"}).model_dump_json()
        return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"

    def objects(self) -> list[int]:
        """The label of each box that counts, as an index."""
        boxes = (each for picture in self.pictures for each in picture.boxes)
        return [each.label for each in boxes if each.kind is Kind.OBJECT]


def stored_name(digest: str) -> str:
    """What the file with that digest is called in the set's folder."""
    return digest.removeprefix("sha256:")


def load_set(folder: Path) -> EvaluationSet:
    """Read a stored set; its pictures are not looked at.

    Raises:
        RegistryBroken: It can't be read, or is none.
    """
    file = folder / SET_FILE
    try:
        return EvaluationSet.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as refused:
        why = str(refused).splitlines()[0]
        raise RegistryBroken(
            f"{file} is no evaluation set: {why}",
            "Delete its folder, and add the set again: vedette model evalset add",
        ) from None
