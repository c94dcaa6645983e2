"""The repository's signed metadata: read with every signature checked, and changed as one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from cloud.registry.errors import RegistryBroken, RegistryMissing
from cloud.registry.files import NewFile, commit
from cloud.registry.keys import KeyFolder, signers_for
from cloud.registry.layout import RELEASES, RegistryFolder, lifetime

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)

COMPACT: Final = JSONSerializer(compact=True)
_RESTORE: Final = "Restore the registry's folder from a backup."


class View:
    """The metadata as it stands; root, `targets` and all below are verified, expired or not: it can be renewed."""

    def __init__(self, folder: RegistryFolder, pinned: bytes | None = None) -> None:
        """Read root, timestamp and snapshot.

        Args:
            folder: Where it lies.
            pinned: The root that is trusted; None trusts this disk.

        Raises:
            RegistryMissing: There is none.
            RegistryBroken: It does not verify.
        """
        self._folder = folder
        self._targets: dict[str, Metadata[Targets]] = {}
        self.root: Final = self._newest_root(pinned)
        self.timestamp: Final[Metadata[Timestamp]] = self._read("timestamp.json", Timestamp)
        meta = self.timestamp.signed.snapshot_meta
        self.snapshot: Final[Metadata[Snapshot]] = self._read(f"{meta.version}.snapshot.json", Snapshot)

    def role(self, name: str) -> Metadata[Targets]:
        """`targets` or a role below it, verified up to root.

        Raises:
            RegistryBroken: It is not there, or does not verify.
        """
        if name not in self._targets:
            meta = self.snapshot.signed.meta.get(f"{name}.json")
            if meta is None:
                raise RegistryBroken(f"the snapshot names no {name}", _RESTORE)
            read = self._read(f"{meta.version}.{name}.json", Targets)
            self.check(name, read)
            self._targets[name] = read
        return self._targets[name]

    def has(self, name: str) -> bool:
        """Whether there is such a role."""
        return f"{name}.json" in self.snapshot.signed.meta

    def delegator(self, name: str) -> Root | Targets:
        """Who says which keys the role has."""
        if name in self.root.signed.roles:
            return self.root.signed
        bins = self.role(RELEASES).signed if name.startswith(f"{RELEASES}-") else None
        return bins if bins is not None else self.role("targets").signed

    def bins(self) -> SuccinctRoles:
        """How releases are spread over bins."""
        delegations = self.role(RELEASES).signed.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise RegistryBroken("the role of the releases has no bins", _RESTORE)
        return delegations.succinct_roles

    def check(self, name: str, read: Metadata[Targets]) -> None:
        """Hold metadata against the keys of its role.

        Raises:
            RegistryBroken: It is not signed by them.
        """
        self._check(self.delegator(name), name, read)

    def target(self, path: str) -> TargetFile | None:
        """The release's file under that path in the repository."""
        return self.role(self.bins().get_role_for_target(path)).signed.targets.get(path)

    def _newest_root(self, pinned: bytes | None) -> Metadata[Root]:
        found = [int(file.name.partition(".")[0]) for file in self._folder.metadata.glob("[1-9]*.root.json")]
        if not found:
            raise RegistryMissing(
                f"there is no signed repository in {self._folder.root}",
                "Make one: vedette model keys create --keys DIR",
            )
        if pinned is None:
            newest = self._read(f"{max(found)}.root.json", Root)
            self._check(newest.signed, "root", newest)
            return newest
        newest = parsed(pinned, Root, "the pinned root")
        for version in range(newest.signed.version + 1, max(found) + 1):
            following = self._read(f"{version}.root.json", Root)
            self._check(newest.signed, "root", following)
            self._check(following.signed, "root", following)
            newest = following
        return newest

    def _read(self, name: str, kind: type[S]) -> Metadata[S]:
        file = self._folder.metadata / name
        try:
            return parsed(file.read_bytes(), kind, str(file))
        except OSError as refused:
            raise RegistryBroken(f"{file} can't be read: {refused.strerror}", _RESTORE) from None

    def _check(self, delegator: Root | Targets, name: str, read: Metadata[S]) -> None:
        try:
            delegator.verify_delegate(name, read.signed_bytes, read.signatures)
        except (RepositoryError, ValueError) as refused:
            raise RegistryBroken(
                f"the metadata of {name} is not signed by its keys: {refused}",
                "Someone changed it, or the wrong files lie here; restore the registry's folder from a backup.",
            ) from None


class Change:
    """Changes to the repository, gathered, signed, and put in place at once."""

    def __init__(self, folder: RegistryFolder, view: View, keys: Sequence[KeyFolder], now: datetime) -> None:
        self.view: Final = view
        self._folder = folder
        self._keys = keys
        self._now = now
        self._files: list[NewFile] = []
        self._roots: list[NewFile] = []
        self._versions: dict[str, int] = {}
        self._root = view.root.signed

    def add_target(self, path: str, digest: str, content: bytes | Path) -> None:
        """Put a signed file under its path in the repository; `digest` is 64 hex digits."""
        folder, _, name = path.rpartition("/")
        self._files.append((f"repository/targets/{folder}/{digest}.{name}", content))

    def sign_role(self, name: str, signed: Targets, role: Role | None = None) -> None:
        """The role's next version.

        Args:
            name: `targets` or a role below it.
            signed: What it says now.
            role: Its keys, where they are new.

        Raises:
            KeyMissing, KeyUnusable: Its keys are not at hand.
        """
        signed.version += 1
        signed.expires = expiry(name, self._now)
        keys = role or self.view.delegator(name).get_delegated_role(name)
        self.put_role(name, sign(signed, signers_for(keys, name, self._keys)))

    def put_role(self, name: str, signed: Metadata[Targets]) -> None:
        """The role's next version, signed elsewhere."""
        self._versions[name] = signed.signed.version
        self._files.append((f"repository/metadata/{signed.signed.version}.{name}.json", signed.to_bytes(COMPACT)))

    def sign_root(self, root: Root, signers: Sequence[CryptoSigner]) -> bytes:
        """The next root; returns its bytes."""
        root.version += 1
        root.expires = expiry("root", self._now)
        data = sign(root, signers).to_bytes(COMPACT)
        self._roots.append((f"repository/metadata/{root.version}.root.json", data))
        self._root = root
        return data

    def publish(self, *, snapshot_anew: bool = False) -> None:
        """Sign snapshot and timestamp, and put everything in place; only inside `alone_in`.

        Raises:
            KeyMissing, KeyUnusable: An online key is not at hand.
            RegistryUnwritable: The disk refused.
        """
        snapshot, timestamp = self.view.snapshot.signed, self.view.timestamp.signed
        if self._versions or snapshot_anew:
            snapshot.meta |= {f"{name}.json": MetaFile(version) for name, version in self._versions.items()}
            snapshot.version += 1
            snapshot.expires = expiry("snapshot", self._now)
            data = self._signed_online("snapshot", snapshot)
            digest = {"sha256": hashlib.sha256(data).hexdigest()}
            timestamp.snapshot_meta = MetaFile(snapshot.version, len(data), digest)
            self._files.append((f"repository/metadata/{snapshot.version}.snapshot.json", data))
        timestamp.version += 1
        timestamp.expires = expiry("timestamp", self._now)
        last = ("repository/metadata/timestamp.json", self._signed_online("timestamp", timestamp))
        commit(self._folder.root, [*self._files, *self._roots, last])

    def _signed_online(self, name: str, signed: S) -> bytes:
        signers = signers_for(self._root.get_delegated_role(name), name, self._keys)
        return sign(signed, signers).to_bytes(COMPACT)


def parsed(data: bytes, kind: type[S], source: str) -> Metadata[S]:
    """Read metadata; its signatures are not looked at.

    Raises:
        RegistryBroken: It is none, or of another kind.
    """
    try:
        read: Metadata[S] = Metadata.from_bytes(data)
    except RepositoryError as refused:
        raise RegistryBroken(f"{source} is no metadata: {refused}", _RESTORE) from None
    if not isinstance(read.signed, kind):
        raise RegistryBroken(f"{source} is metadata of another kind: {read.signed.type}", _RESTORE)
    return read


def sign(signed: S, signers: Sequence[CryptoSigner]) -> Metadata[S]:
    """The metadata under the signatures of these keys alone."""
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata


def expiry(role: str, now: datetime) -> datetime:
    """When metadata of the role that is signed now expires."""
    return (now + lifetime(role)).replace(microsecond=0)
