"""Reading `manifest.json`, and holding a model file against it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from vision.errors import ManifestInvalid, ModelMissing, ModelUnreadable
from wire.model import Gain, Manifest

MANIFEST_NAME: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 2 << 20
"""The most labels there can be, each as long as can be, and room for the rest."""
MAX_GAIN_BYTES: Final = 16 << 10


def parse_manifest(data: bytes, source: str = "the manifest") -> Manifest:
    """Read a manifest's bytes.

    Raises:
        ManifestInvalid: Names the field.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestInvalid(f"{source} is over {MAX_MANIFEST_BYTES} bytes", "Give the model its own manifest.")
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the document"
        raise ManifestInvalid(f"{source}: {where}: {first['msg']}", f"Correct `{where}`.") from None


def load_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        ManifestInvalid: It can't be read, or a field breaks the contract.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as failed:
        raise ManifestInvalid(f"{path} can't be read: {failed.strerror}", "Correct the path or its rights.") from None
    return parse_manifest(data, str(path))


def load_gain(path: Path) -> Gain:
    """Read weights that `vedette gain train` wrote.

    Raises:
        ManifestInvalid: The file can't be read, or a field breaks the contract.
    """
    try:
        with path.open("rb") as file:
            return Gain.model_validate_json(file.read(MAX_GAIN_BYTES))
    except OSError as failed:
        raise ManifestInvalid(f"{path} can't be read: {failed.strerror}", "Correct the path or its rights.") from None
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(["gain", *map(str, first["loc"])])
        raise ManifestInvalid(f"{path}: {where}: {first['msg']}", "Make it anew: vedette gain train.") from None


def digest_of(path: Path) -> str:
    """The digest of a file, as manifests write it.

    Raises:
        ModelMissing: No such file.
        ModelUnreadable: It can't be read.
    """
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except FileNotFoundError:
        raise ModelMissing(f"there is no model at {path}", "Run `make models`, or correct the path.") from None
    except OSError as failed:
        raise ModelUnreadable(f"{path} can't be read: {failed.strerror}", "Correct the path or its rights.") from None


def check_file(manifest: Manifest, path: Path) -> None:
    """Hold a model file's size and digest against its manifest.

    Raises:
        ModelMissing, ModelUnreadable: As `digest_of`.
        ManifestInvalid: The manifest is another file's, or the file was cut off or changed.
    """
    found = digest_of(path)
    size = path.stat().st_size
    if size != manifest.size:
        raise ManifestInvalid(
            f"size: {path} has {size} bytes, its manifest says {manifest.size}", "Fetch or build the model again."
        )
    if found != manifest.digest:
        raise ManifestInvalid(
            f"digest: {path} is {found}, its manifest says {manifest.digest}", "Fetch or build the model again."
        )
