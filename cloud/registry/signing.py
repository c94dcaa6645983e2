"""Signing a release where the offline keys are: no service, no network, and no trust in the copy that it works on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.metadata import Metadata, TargetFile, Targets

from cloud.registry.ceremony import PINNED_ROOT
from cloud.registry.errors import KeyUnusable, RegistryBroken, ReleaseExists, ReleaseUnknown
from cloud.registry.files import replace_durably, told_as_ours
from cloud.registry.keys import KeyFolder, Ledger, signers_for
from cloud.registry.layout import RELEASES, RegistryFolder
from cloud.registry.metadata import COMPACT, View, expiry, parsed, sign
from vision.manifest import check_file, load_manifest
from wire.updates import MANIFEST_TARGET, MODEL_TARGET, ModelRef

MODEL_FILE: Final = "model.tflite"
MANIFEST_FILE: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class SignedRelease:
    """A release's signed lists, not published yet.

    Attributes:
        bins: By role: the list's next version, which holds the release.
    """

    number: int
    bins: dict[str, Metadata[Targets]]


def targets_of(name: str, version: str) -> dict[str, str]:
    """The repository's paths of a release's files, by the file's name in the staged folder."""
    return {
        MODEL_FILE: MODEL_TARGET.format(name=name, version=version),
        MANIFEST_FILE: MANIFEST_TARGET.format(name=name, version=version),
    }


def sign_release(
    folder: RegistryFolder, offline: Sequence[KeyFolder], name: str, version: str, now: datetime
) -> ModelRef:
    """Sign a staged release; the result lies in the folder's `signed/` until it is published.

    1. Walk from the root that the keys' holder pinned to the newest one in the copy.
    2. Take the copy's lists only where the releases key itself signed them.
    3. Refuse a name and version that is published, and hold the staged files against each other.
    4. Give the number after the highest that the lists or the ledger know.
    5. Note number and versions in the ledger, then write the signed lists.

    Raises:
        ReleaseUnknown, ReleaseExists: Nothing is staged under the name; it is published already.
        RegistryBroken: The copy is not what it should be.
        KeyMissing, KeyUnusable: The key, or the folder's own records, can't be used.
        RegistryUnwritable: The disk refused; what is signed by then may be signed again.
        ManifestInvalid: The staged files don't fit each other.
    """
    with told_as_ours(folder.root):
        view = View(folder, _pinned(offline[0].folder))  # 1
        listed = {role: view.role(role).signed for role in view.bins().get_roles()}  # 2
        paths = targets_of(name, version)
        if any(path in signed.targets for path in paths.values() for signed in listed.values()):  # 3
            raise published_already(name, version)
        staged = folder.staged(name, version)
        if not (staged / MANIFEST_FILE).is_file():
            raise ReleaseUnknown(
                f"no {name} {version} is staged in {folder.root}", "Import it: vedette model import FILE"
            )
        manifest = load_manifest(staged / MANIFEST_FILE)
        check_file(manifest, staged / MODEL_FILE)
        if (manifest.name, manifest.version) != (name, version):
            raise RegistryBroken(f"what is staged as {name} {version} calls itself otherwise", "Import it again.")
        ledger = Ledger.open(offline[0].folder)
        number = max([ledger.numbers.get(name, 0), *_numbers(name, listed.values())]) + 1  # 4
        signers = signers_for(view.role("targets").signed.get_delegated_role(RELEASES), RELEASES, offline)
        changed: dict[str, Targets] = {}
        for file, path in paths.items():
            role = view.bins().get_role_for_target(path)
            changed[role] = listed[role]
            listed[role].targets[path] = _target(path, staged / file, number)
        for role, signed in changed.items():
            signed.version = max(signed.version, ledger.versions.get(role, 0)) + 1
            signed.expires = expiry(role, now)
            ledger.versions[role] = signed.version
        ledger.numbers[name] = number
        ledger.save()  # 5
        for role, signed in changed.items():
            replace_durably(folder.signed(name, version) / f"{role}.json", sign(signed, signers).to_bytes(COMPACT))
        return ModelRef(name=name, version=version, digest=manifest.digest, number=number)


def published_already(name: str, version: str) -> ReleaseExists:
    """What is answered where a published release is to be staged, carried or signed once more."""
    return ReleaseExists(
        f"{name} {version} is published already",
        f"Bring it to devices: vedette rollout start {name}@{version}; or give another model another version.",
    )


def signed_release(folder: RegistryFolder, view: View, name: str, version: str) -> SignedRelease | None:
    """What `sign_release` left in the folder; None if it is not complete.

    Raises:
        RegistryBroken: The files are no metadata.
    """
    bins: dict[str, Metadata[Targets]] = {}
    number = 0
    for path in targets_of(name, version).values():
        role = view.bins().get_role_for_target(path)
        file = folder.signed(name, version) / f"{role}.json"
        if not file.is_file():
            return None
        bins[role] = parsed(file.read_bytes(), Targets, str(file))
        entry = bins[role].signed.targets.get(path)
        if entry is None:
            return None
        number = number_of(entry)
    return SignedRelease(number, bins)


def number_of(entry: TargetFile) -> int:
    """The release number that was signed with a file.

    Raises:
        RegistryBroken: There is none.
    """
    custom = entry.custom
    number = custom.get("number") if isinstance(custom, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise RegistryBroken(f"{entry.path} was signed without a release number", "Sign the release again.")
    return number


def _pinned(keys: Path) -> bytes:
    try:
        return (keys / PINNED_ROOT).read_bytes()
    except OSError as refused:
        raise KeyUnusable(
            f"{keys / PINNED_ROOT} can't be read: {refused.strerror}", "It was made with the keys; restore it."
        ) from None


def _numbers(name: str, lists: Iterable[Targets]) -> list[int]:
    of_name = MODEL_TARGET.format(name=name, version="")[: -len(f"/{MODEL_FILE}")]
    return [number_of(entry) for each in lists for path, entry in each.targets.items() if path.startswith(of_name)]


def _target(path: str, file: Path, number: int) -> TargetFile:
    entry = TargetFile.from_file(path, str(file), ["sha256"])
    entry.unrecognized_fields["custom"] = {"number": number}
    return entry
