"""The registry: which releases there are, publishing them, and what each group may run. Needs online keys only."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import TargetFile, Targets

from cloud.ports import Clock
from cloud.registry.ceremony import online_keys
from cloud.registry.errors import (
    RegistryBroken,
    ReleaseConflict,
    ReleaseExists,
    ReleaseUnknown,
)
from cloud.registry.expiry import expiries, expiring_offline, groups_due, half_over
from cloud.registry.files import alone_in, told_as_ours
from cloud.registry.groups import next_document, signed_document
from cloud.registry.layout import RegistryFolder, group_of, group_role
from cloud.registry.metadata import Change, View
from cloud.registry.signing import MANIFEST_FILE, number_of, published_already, signed_release, targets_of
from vision.manifest import load_manifest
from wire.model import Manifest
from wire.updates import GROUP_TARGET, GroupRelease, ModelRef, ReleaseNumber

_KEEP_OLD: Final = timedelta(days=7)
"""A device that began with an old snapshot finishes with it long before."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it stands.

    Attributes:
        ref: Its number is 0 until it is signed.
        imported_at: When it was first staged here.
        size: Of the model file, in bytes.
    """

    ref: ModelRef
    imported_at: datetime
    signed: bool
    published: bool
    size: int
    licence: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Renewal:
    """What `Registry.renew` did and saw.

    Attributes:
        renewed: Roles that were signed anew.
        expiring: Offline roles that expire soon, or have, with the time.
    """

    renewed: tuple[str, ...]
    expiring: Mapping[str, datetime]


class Registry:
    """The registry in a folder. Every call blocks on the disk: from async code, call it in a thread.

    Safe for use by several threads and processes at once.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self.folder: Final = RegistryFolder(root)
        self._clock = clock
        self._manifests: dict[Path, Manifest] = {}

    @property
    def exists(self) -> bool:
        """Whether there was a ceremony."""
        return self.folder.metadata.is_dir()

    def root(self) -> bytes:
        """The newest root, to be pinned on devices.

        Raises:
            RegistryMissing: There is none.
        """
        version = View(self.folder).root.signed.version
        return (self.folder.metadata / f"{version}.root.json").read_bytes()

    def releases(self) -> list[Release]:
        """Every release, staged ones included, by name and number; those without a number last.

        Raises:
            RegistryBroken: The metadata does not verify.
            RegistryUnwritable: The disk refused.
        """
        with told_as_ours(self.folder.root):
            view = View(self.folder) if self.exists else None
            found = {} if view is None else self._published(view)
            for file in self.folder.root.glob(f"staged/*/*/{MANIFEST_FILE}"):
                key = (file.parent.parent.name, file.parent.name)
                if key not in found:
                    signed = None if view is None else signed_release(self.folder, view, *key)
                    number = 0 if signed is None else signed.number
                    found[key] = self._release(load_manifest(file), number, file, signed=signed is not None)
        return sorted(found.values(), key=lambda each: (each.ref.name, each.ref.number or 2**31, each.ref.version))

    def release(self, name: str, version: str) -> Release:
        """One release.

        Raises:
            ReleaseUnknown: There is none.
        """
        for each in self.releases():
            if (each.ref.name, each.ref.version) == (name, version):
                return each
        raise ReleaseUnknown(f"there is no release {name} {version}", "See what there is: vedette model list")

    def files_of(self, name: str, version: str) -> dict[str, Path]:
        """Where a release's files lie, published or staged, by the file's name in a model's folder.

        Raises:
            ReleaseUnknown: There is none.
        """
        view = View(self.folder) if self.exists else None
        found: dict[str, Path] = {}
        for file, path in targets_of(name, version).items():
            entry = None if view is None else view.target(path)
            found[file] = self.folder.staged(name, version) / file if entry is None else self.folder.target(entry)
        if not all(file.is_file() for file in found.values()):
            raise ReleaseUnknown(f"there is no release {name} {version}", "See what there is: vedette model list")
        return found

    def export(self, name: str, version: str, bundle: Path) -> None:
        """Copy a staged release and the public metadata for the machine with the offline keys.

        Raises:
            ReleaseUnknown: It is not staged.
            ReleaseExists: It is published already, or the bundle's folder holds something.
            RegistryUnwritable: The disk refused.
        """
        staged = self.folder.staged(name, version)
        if self.exists and View(self.folder).target(targets_of(name, version)[MANIFEST_FILE]) is not None:
            raise published_already(name, version)
        if not staged.is_dir():
            raise ReleaseUnknown(f"no {name} {version} is staged", "Import it: vedette model import FILE")
        if bundle.exists() and any(bundle.iterdir()):
            raise ReleaseExists(f"{bundle} is not empty", "Name a folder that is new.")
        into = RegistryFolder(bundle)
        with alone_in(self.folder.root):
            shutil.copytree(self.folder.metadata, into.metadata, dirs_exist_ok=True)
            shutil.copytree(staged, into.staged(name, version))

    def publish(self, name: str, version: str, bundle: Path | None = None) -> ModelRef:
        """Put a signed release in front of the devices; no group runs it for that. Harmless twice.

        Args:
            name: The release's name.
            version: Its version.
            bundle: Where it was signed; None for the registry itself.

        Raises:
            ReleaseUnknown: It is not staged here, or not signed there.
            ReleaseConflict: Another was published meanwhile.
            RegistryBroken: What was signed is not signed by the releases key, or other bytes are staged.
        """
        with alone_in(self.folder.root):
            view = View(self.folder)
            staged = self.folder.staged(name, version)
            if (published := self._published(view).get((name, version))) is not None:
                self._drop(name, version)
                return published.ref
            source = self.folder if bundle is None else RegistryFolder(bundle)
            signed = signed_release(source, view, name, version)
            if signed is None:
                raise ReleaseUnknown(f"{name} {version} is not signed", "Sign it: vedette model sign NAME VERSION")
            if not (staged / MANIFEST_FILE).is_file():
                raise ReleaseUnknown(f"no {name} {version} is staged here", "Import it: vedette model import FILE")
            change = Change(self.folder, view, [online_keys(self.folder)], self._clock.wall())
            paths = targets_of(name, version)
            for role, metadata in signed.bins.items():
                view.check(role, metadata)
                _check_grown(view.role(role).signed, metadata.signed, frozenset(paths.values()))
                change.put_role(role, metadata)
            for file, path in paths.items():
                entry = signed.bins[view.bins().get_role_for_target(path)].signed.targets[path]
                change.add_target(path, _matching(entry, staged / file), staged / file)
            manifest = load_manifest(staged / MANIFEST_FILE)
            change.publish()
            self._drop(name, version)
            return ModelRef(name=name, version=version, digest=manifest.digest, number=signed.number)

    def group(self, group: str) -> GroupRelease | None:
        """What the group may run, as it was signed last; None if nothing was yet.

        Raises:
            GroupUnknown: No key signs for it.
            RegistryMissing, RegistryBroken: There is no repository, or it does not verify.
        """
        return signed_document(self.folder, View(self.folder), group)

    def groups(self) -> list[str]:
        """The groups that have a key."""
        names = (group_of(name.removesuffix(".json")) for name in View(self.folder).snapshot.signed.meta)
        return sorted(name for name in names if name is not None)

    def set_group(
        self, group: str, allowed: Sequence[ModelRef], min_release: Mapping[str, ReleaseNumber] | None = None
    ) -> GroupRelease:
        """Sign and publish what a group's devices may run; one that is signed already stays as it is.

        Args:
            group: Which one.
            allowed: Published releases, or, with number 0, models that devices were born with.
            min_release: Floors by model name; None, and names left out, keep those that are.

        Raises:
            GroupUnknown: No key signs for it.
            GroupRefused: A floor would sink, or a release lies below one; or it is no document at all.
            ReleaseUnknown: A release is not published, or not as named.
        """
        with alone_in(self.folder.root):
            view = View(self.folder)
            before = signed_document(self.folder, view, group)
            document = next_document(view, group, before, allowed, min_release or {})
            if document is not before:
                self._publish_group(view, document)
            return document

    def renew(self) -> Renewal:
        """Sign anew whatever has lived half its life and has an online key; finish what a crash left.

        Raises:
            RegistryError: It could not be done; says why.
        """
        with alone_in(self.folder.root):
            now = self._clock.wall()
            view = View(self.folder)
            change = Change(self.folder, view, [online_keys(self.folder)], now)
            renewed: list[str] = []
            for group in groups_due(view, now):
                change.sign_role(group, view.role(group).signed)
                renewed.append(group)
            snapshot_due = half_over("snapshot", view.snapshot.signed.expires, now)
            if snapshot_due or renewed:
                renewed.append("snapshot")
            if renewed or half_over("timestamp", view.timestamp.signed.expires, now):
                change.publish(snapshot_anew=snapshot_due)
                renewed.append("timestamp")
                self._prune(View(self.folder), now)
            return Renewal(tuple(renewed), expiring_offline(view, now))

    def expiries(self) -> dict[str, datetime]:
        """When the metadata expires by kind of role, the soonest of each: `root`, `timestamp`, `groups` and so on.

        Raises:
            RegistryMissing, RegistryBroken: There is none, or it can't be read.
        """
        return expiries(View(self.folder))

    def _publish_group(self, view: View, document: GroupRelease) -> None:
        role, path = group_role(document.group), GROUP_TARGET.format(group=document.group)
        data = document.model_dump_json().encode()
        signed = view.role(role).signed
        signed.targets = {path: TargetFile.from_data(path, data, ["sha256"])}
        change = Change(self.folder, view, [online_keys(self.folder)], self._clock.wall())
        change.add_target(path, hashlib.sha256(data).hexdigest(), data)
        change.sign_role(role, signed)
        change.publish()

    def _published(self, view: View) -> dict[tuple[str, str], Release]:
        found: dict[tuple[str, str], Release] = {}
        for role in view.bins().get_roles():
            for path, entry in view.role(role).signed.targets.items():
                if path.endswith(f"/{MANIFEST_FILE}"):
                    file = self.folder.target(entry)
                    manifest = self._manifest(file)
                    found[manifest.name, manifest.version] = self._release(
                        manifest, number_of(entry), file, signed=True, published=True
                    )
        return found

    def _release(
        self, manifest: Manifest, number: int, file: Path, *, signed: bool, published: bool = False
    ) -> Release:
        return Release(
            ref=ModelRef(name=manifest.name, version=manifest.version, digest=manifest.digest, number=number),
            imported_at=datetime.fromtimestamp(file.stat().st_mtime, UTC),
            signed=signed,
            published=published,
            size=manifest.size,
            licence=manifest.licence,
            manifest=manifest,
        )

    def _manifest(self, file: Path) -> Manifest:
        """Read once: a published file never changes."""
        if file not in self._manifests:
            self._manifests[file] = load_manifest(file)
        return self._manifests[file]

    def _drop(self, name: str, version: str) -> None:
        """What is published needs no staging any more."""
        for folder in (self.folder.staged(name, version), self.folder.signed(name, version)):
            shutil.rmtree(folder, ignore_errors=True)

    def _prune(self, view: View, now: datetime) -> None:
        """Delete versions that nobody can still be asking for; roots stay for good."""
        meta = view.snapshot.signed.meta
        current = {f"{each.version}.{name}" for name, each in meta.items()}
        current.add(f"{view.snapshot.signed.version}.snapshot.json")
        old = (now - _KEEP_OLD).timestamp()
        for file in self.folder.metadata.glob("[1-9]*.json"):
            keep = file.name in current or file.name.endswith(".root.json")
            if not keep and file.stat().st_mtime < old:
                file.unlink()


def _check_grown(before: Targets, after: Targets, added: frozenset[str]) -> None:
    """A list may only have grown by this release since it was signed from a copy."""
    if (
        after.version <= before.version
        or {p: e for p, e in after.targets.items() if p not in added} != before.targets
    ):
        raise ReleaseConflict(
            "another release was published into the same list since this one was signed",
            "Export and sign it again.",
        )


def _matching(entry: TargetFile, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            entry.verify_length_and_hashes(opened)
    except (OSError, ValueError, RepositoryError) as refused:
        raise RegistryBroken(
            f"{file} is not what was signed: {refused}", "Import and sign the release again."
        ) from None
    return entry.hashes["sha256"]
