"""What a release came to on an evaluation set, kept beside the release."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud.registry.errors import RegistryBroken
from cloud.registry.evaluation.document import EvaluationSet
from cloud.registry.files import alone_in, replace_durably
from cloud.registry.layout import RegistryFolder
from wire.fields import Digest, Unit
from wire.model import Manifest, ModelName, Version

Count = Annotated[int, Field(ge=0)]


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class OperatingPoint(_Result):
    """What the detections from a score up are worth.

    Attributes:
        recall: The share of the objects that was found.
        precision: The share of the detections that is right; None where there is none.
    """

    score: Unit
    recall: Unit
    precision: Unit | None


class LabelFigures(_Result):
    """How well one label is found.

    Attributes:
        labelled: Objects of it in the set.
        known: Whether the model has the label at all; one that it has not counts as never found.
        ap50: Average precision at IoU ≥ .5, VOC's with all points.
        reported, sure: As in `Figures`.
    """

    label: str
    labelled: Count
    known: bool
    ap50: Unit
    reported: OperatingPoint
    sure: OperatingPoint


class Figures(_Result):
    """How well a model does on a set.

    Attributes:
        map50: The mean of the labels' `ap50`.
        reported: At the manifest's `min_score`: all that the detector says. Over all labels, as is the next.
        sure: At the upper edge of the manifest's `uncertain`: what it need not ask about.
    """

    pictures: Count
    labelled: Count
    map50: Unit
    reported: OperatingPoint
    sure: OperatingPoint
    labels: tuple[LabelFigures, ...]


class Evaluation(_Result):
    """Figures, and of what and when: they count for these very bytes only.

    Attributes:
        set_digest: Of the set's pictures and labels.
        manifest_digest: Of the manifest by which the model was read.
        took_s: Of the run, from its start to its end, in seconds.
    """

    evaluation: int = 1
    name: ModelName
    version: Version
    model_digest: Digest
    manifest_digest: Digest
    set: str
    set_digest: Digest
    made_at: datetime
    took_s: Annotated[float, Field(ge=0)]
    figures: Figures


def manifest_digest(manifest: Manifest) -> str:
    """Of what a manifest says, whatever its bytes."""
    return f"sha256:{hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()}"


def keep(folder: RegistryFolder, evaluation: Evaluation) -> None:
    """Store it in the place of an earlier one on the same set.

    Raises:
        RegistryUnwritable: The disk refused; the earlier one is unharmed.
    """
    with alone_in(folder.root):
        file = folder.evaluations(evaluation.name, evaluation.version) / f"{evaluation.set}.json"
        replace_durably(file, evaluation.model_dump_json().encode())


def evaluations_of(folder: RegistryFolder, manifest: Manifest, sets: Iterable[EvaluationSet]) -> list[Evaluation]:
    """What the release came to, by set; of these very bytes, on sets as they are now.

    Raises:
        RegistryBroken: A result can't be read.
    """
    digests = {each.name: each.digest for each in sets}
    found = []
    for file in sorted(folder.evaluations(manifest.name, manifest.version).glob("[!.]*.json")):
        try:
            read = Evaluation.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as refused:
            raise RegistryBroken(
                f"{file} is no evaluation: {str(refused).splitlines()[0]}",
                "Delete it, and make it again: vedette model evaluate NAME VERSION",
            ) from None
        of = (read.model_digest, read.manifest_digest, read.set_digest)
        if of == (manifest.digest, manifest_digest(manifest), digests.get(read.set)):
            found.append(read)
    return found
