"""Making the keys and the first repository, and replacing keys later. Everything here needs offline keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    MetaFile,
    Role,
    Root,
    Snapshot,
    SuccinctRoles,
    Targets,
    Timestamp,
)

from cloud.registry.errors import CeremonyRefused, GroupExists, GroupRefused, GroupUnknown, RegistryBroken
from cloud.registry.files import alone_in, commit, is_committed, replace_durably
from cloud.registry.keys import KeyFolder, signers_for
from cloud.registry.layout import (
    BIN_BITS,
    DEFAULT_GROUP,
    MODEL_PATHS,
    RELEASES,
    ROOT_KEYS,
    ROOT_THRESHOLD,
    RegistryFolder,
    group_of,
    group_role,
)
from cloud.registry.metadata import COMPACT, Change, S, View, expiry, sign
from wire.updates import GroupName

PINNED_ROOT: Final = "root.json"
"""In the offline folder: the root that its holder trusts."""

_GROUP_NAME: Final = TypeAdapter[str](GroupName)


def online_keys(folder: RegistryFolder) -> KeyFolder:
    """The service's own keys."""
    return KeyFolder(folder.keys)


def create(folder: RegistryFolder, offline: KeyFolder, now: datetime) -> bytes:
    """Make all keys and a repository without releases; returns its root.

    Raises:
        CeremonyRefused: Keys or a repository are there already.
        RegistryUnwritable: The disk refused.
    """
    with alone_in(folder.root):
        for taken in (folder.metadata, folder.keys, offline.folder):
            if taken.exists() and any(taken.iterdir()):
                raise CeremonyRefused(
                    f"{taken} holds something already",
                    "Keep it, or choose other folders; keys are never overwritten.",
                )
        with ExitStack() as failing:
            failing.callback(_take_back, folder, offline)
            root = _created(folder, offline, now)
            failing.pop_all()
        return root


def _created(folder: RegistryFolder, offline: KeyFolder, now: datetime) -> bytes:
    online = online_keys(folder)
    root_keys = [offline.create(f"root-{number + 1}") for number in range(ROOT_KEYS)]
    targets_key, releases_key = offline.create("targets"), offline.create(RELEASES)
    snapshot_key, timestamp_key = online.create("snapshot"), online.create("timestamp")
    root = Root(expires=expiry("root", now), consistent_snapshot=True)
    for name, signers in (
        ("root", root_keys),
        ("targets", [targets_key]),
        ("snapshot", [snapshot_key]),
        ("timestamp", [timestamp_key]),
    ):
        for signer in signers:
            root.add_key(signer.public_key, name)
    root.roles["root"].threshold = ROOT_THRESHOLD
    root_data = _bytes(root, root_keys[:ROOT_THRESHOLD])
    roles = _first_roles(targets_key, releases_key, online.create(group_role(DEFAULT_GROUP)), now)
    snapshot = Snapshot(expires=expiry("snapshot", now), meta={f"{name}.json": MetaFile(1) for name, _, _ in roles})
    snapshot_data = _bytes(snapshot, [snapshot_key])
    digest = {"sha256": hashlib.sha256(snapshot_data).hexdigest()}
    timestamp = Timestamp(expires=expiry("timestamp", now), snapshot_meta=MetaFile(1, len(snapshot_data), digest))
    files = [(f"1.{name}.json", _bytes(signed, [signer])) for name, signed, signer in roles]
    files += [("1.root.json", root_data), ("1.snapshot.json", snapshot_data)]
    files.append(("timestamp.json", _bytes(timestamp, [timestamp_key])))
    replace_durably(offline.folder / PINNED_ROOT, root_data)
    commit(folder.root, [(f"repository/metadata/{name}", data) for name, data in files])
    return root_data


def _take_back(folder: RegistryFolder, offline: KeyFolder) -> None:
    """Without a repository that names them, keys are worth nothing, and would be in the way of the next ceremony."""
    if is_committed(folder.root) or (folder.metadata.exists() and any(folder.metadata.iterdir())):
        return
    for keys in (offline.folder, folder.keys):
        for file in keys.iterdir() if keys.is_dir() else ():
            file.unlink()


def _first_roles(
    targets_key: CryptoSigner, releases_key: CryptoSigner, group_key: CryptoSigner, now: datetime
) -> list[tuple[str, Targets, CryptoSigner]]:
    targets = Targets(expires=expiry("targets", now), delegations=Delegations({}, {}))
    _delegate(targets, RELEASES, MODEL_PATHS, releases_key)
    role = group_role(DEFAULT_GROUP)
    _delegate(targets, role, f"groups/{DEFAULT_GROUP}/*", group_key)
    bins = SuccinctRoles([releases_key.public_key.keyid], 1, BIN_BITS, RELEASES)
    keys = {releases_key.public_key.keyid: releases_key.public_key}
    releases = Targets(expires=expiry(RELEASES, now), delegations=Delegations(dict(keys), succinct_roles=bins))
    return [
        ("targets", targets, targets_key),
        (RELEASES, releases, releases_key),
        (role, Targets(expires=expiry(role, now)), group_key),
        *((name, Targets(expires=expiry(name, now)), releases_key) for name in bins.get_roles()),
    ]


def add_group(folder: RegistryFolder, offline: Sequence[KeyFolder], group: str, now: datetime) -> None:
    """Give a group its key.

    Raises:
        GroupExists, GroupRefused: It has one; its name is none.
        KeyMissing, KeyUnusable: The key of `targets` is not at hand.
    """
    try:
        _GROUP_NAME.validate_python(group)
    except ValidationError:
        raise GroupRefused(f"{group!r} is no name for a group", "Use small letters, digits and `-`.") from None
    role = group_role(group)
    with alone_in(folder.root):
        view = View(folder)
        if view.has(role):
            raise GroupExists(f"the group {group} has its key already", "Replace it: vedette model keys rotate.")
        targets = view.role("targets").signed
        signers_for(view.root.signed.roles["targets"], "targets", offline)  # Before a key is made in vain.
        key = online_keys(folder).create(role)
        _delegate(targets, role, f"groups/{group}/*", key)
        change = Change(folder, view, [*offline, online_keys(folder)], now)
        change.sign_role("targets", targets)
        signed = Targets(expires=expiry(role, now))
        change.put_role(role, sign(signed, [key]))
        change.publish()


def rotate(folder: RegistryFolder, offline: Sequence[KeyFolder], role: str, now: datetime) -> None:
    """Replace the keys of a role; new offline keys go to the first of the folders.

    Raises:
        GroupUnknown: There is no such role.
        KeyMissing, KeyUnusable: The keys that vouch for the new ones are not at hand.
    """
    with alone_in(folder.root):
        view = View(folder)
        if role == "root":
            _rotate_root(folder, view, offline, now)
        elif role in view.root.signed.roles:
            _rotate_top(folder, view, offline, role, now)
        elif view.has(role) and (role == RELEASES or group_of(role) is not None):
            _rotate_delegated(folder, view, offline, role, now)
        else:
            raise GroupUnknown(
                f"there is no role {role}",
                "The roles are root, targets, snapshot, timestamp, releases and group-NAME.",
            )


def renew(folder: RegistryFolder, offline: Sequence[KeyFolder], now: datetime) -> None:
    """Sign everything anew before it expires.

    Raises:
        KeyMissing, KeyUnusable: Offline keys are not at hand.
    """
    with alone_in(folder.root):
        view = View(folder)
        change = Change(folder, view, [*offline, online_keys(folder)], now)
        for name in _all_roles(view):
            change.sign_role(name, view.role(name).signed)
        root = view.root.signed
        data = change.sign_root(root, signers_for(root.roles["root"], "root", offline))
        change.publish()
        _pin(offline, data)


def _rotate_root(folder: RegistryFolder, view: View, offline: Sequence[KeyFolder], now: datetime) -> None:
    root = view.root.signed
    old = signers_for(root.roles["root"], "root", offline)
    new = [offline[0].create(f"root-{number + 1}") for number in range(ROOT_KEYS)]
    for keyid in list(root.roles["root"].keyids):
        root.revoke_key(keyid, "root")
    for signer in new:
        root.add_key(signer.public_key, "root")
    change = Change(folder, view, [online_keys(folder)], now)
    # Devices that trust the old keys must accept it, and so must those that hold to the new ones.
    data = change.sign_root(root, [*old, *new[:ROOT_THRESHOLD]])
    change.publish()
    _pin(offline, data)


def _rotate_top(folder: RegistryFolder, view: View, offline: Sequence[KeyFolder], role: str, now: datetime) -> None:
    root = view.root.signed
    keys = [*offline, online_keys(folder)]
    signers = signers_for(root.roles["root"], "root", offline)
    targets = (
        view.role("targets").signed if role == "targets" else None
    )  # Verified under the old key, before it goes.
    new = (offline[0] if role == "targets" else online_keys(folder)).create(role)
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    root.add_key(new.public_key, role)
    change = Change(folder, view, keys, now)
    if targets is not None:
        change.sign_role("targets", targets, root.roles["targets"])
    data = change.sign_root(root, signers)
    change.publish(snapshot_anew=True)
    _pin(offline, data)


def _rotate_delegated(
    folder: RegistryFolder, view: View, offline: Sequence[KeyFolder], role: str, now: datetime
) -> None:
    targets = view.role("targets").signed
    signers_for(view.root.signed.roles["targets"], "targets", offline)  # Before a key is made in vain.
    below = [role, *view.bins().get_roles()] if role == RELEASES else [role]
    signed = {name: view.role(name).signed for name in below}  # Verified under the old key, before it goes.
    new = (offline[0] if role == RELEASES else online_keys(folder)).create(role)
    _change_key(targets, role, new)
    if role == RELEASES:
        releases = signed[RELEASES]
        succinct = view.bins()
        succinct.keyids = [new.public_key.keyid]
        releases.delegations = Delegations({new.public_key.keyid: new.public_key}, succinct_roles=succinct)
    change = Change(folder, view, [*offline, online_keys(folder)], now)
    keys = Role([new.public_key.keyid], 1)
    change.sign_role("targets", targets)
    for name, content in signed.items():
        change.sign_role(name, content, keys)
    change.publish()


def _all_roles(view: View) -> list[str]:
    return [name.removesuffix(".json") for name in view.snapshot.signed.meta]


def _delegate(targets: Targets, name: str, paths: str, key: CryptoSigner) -> None:
    """Let `targets` name a role for some paths, which no other role can speak for then."""
    roles = targets.delegations.roles if targets.delegations is not None else None
    if roles is None:
        raise RegistryBroken("the role targets delegates nothing", "Restore the registry's folder from a backup.")
    roles[name] = DelegatedRole(name, [], 1, terminating=True, paths=[paths])
    targets.add_key(key.public_key, name)


def _change_key(targets: Targets, name: str, key: CryptoSigner) -> None:
    for keyid in list(targets.get_delegated_role(name).keyids):
        targets.revoke_key(keyid, name)
    targets.add_key(key.public_key, name)


def _pin(offline: Sequence[KeyFolder], root: bytes) -> None:
    for keys in offline:
        replace_durably(keys.folder / PINNED_ROOT, root)


def _bytes(signed: S, signers: Sequence[CryptoSigner]) -> bytes:
    return sign(signed, signers).to_bytes(COMPACT)
