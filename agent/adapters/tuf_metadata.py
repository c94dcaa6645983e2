"""The verified metadata as it lies on disk, read through python-tuf's public types.

python-tuf writes a role's file only after it has verified it, so after a refresh these files are what it trusts.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp

from agent.adapters.durable_file import sync_path
from agent.update.trust import SignedRole

log: Final = logging.getLogger(__name__)

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)
HISTORY: Final = "root_history"


def top_roles(folder: Path) -> list[SignedRole]:
    """Root, timestamp, snapshot and targets."""
    root = _read(folder, Root, Root.type)
    signed: list[Signed] = [
        root,
        _read(folder, Timestamp, Timestamp.type),
        _read(folder, Snapshot, Snapshot.type),
        _read(folder, Targets, Targets.type),
    ]
    return [
        _signed_role(each.type, each, root.roles[each.type].keyids, root.roles[each.type].threshold)
        for each in signed
    ]


def roles_for_target(folder: Path, path: str) -> list[SignedRole]:
    """The delegated roles that were asked for a target, in the order asked, the last being the one that names it.

    The walk is python-tuf's own (TUF 5.6.7): pre-order, no role twice, nothing after a terminating delegation.
    """
    found: list[SignedRole] = []
    visited: set[str] = set()
    current: Targets | None = _read(folder, Targets, Targets.type)
    waiting: list[tuple[str, Targets]] = []
    while current is not None and path not in current.targets:
        children: list[tuple[str, Targets]] = []
        for name, terminating in current.delegations.get_roles_for_target(path) if current.delegations else ():
            children.append((name, current))
            if terminating:
                waiting.clear()
                break
        waiting += reversed(children)
        current = None
        while waiting and current is None:
            name, delegator = waiting.pop()
            if name not in visited:
                visited.add(name)
                current = _read(folder, Targets, name)
                found.append(_signed_role(name, current, *_delegated_to(delegator, name)))
    return found


def keys_of(roles: Iterable[SignedRole]) -> str:
    """Stands for all the keys on the way to a target."""
    return _fingerprint(role.keys for role in roles)


def sync(folder: Path) -> None:
    """Have all metadata on the disk for good; python-tuf itself leaves that to the kernel."""
    for place in (folder / HISTORY, folder):
        for file in place.glob("*.json"):
            sync_path(file)
        sync_path(place)


def clear_litter(folder: Path) -> None:
    """Remove the temporary files that a power cut left behind; one that stays does no harm to what is signed."""
    for file in folder.glob("tmp*"):
        if file.is_file():
            try:
                file.unlink()
            except OSError as refused:
                log.warning("an old temporary file can't be removed: %s", refused)


def _read(folder: Path, role: type[T], name: str) -> T:
    signed = Metadata[T].from_bytes((folder / f"{quote(name, '')}.json").read_bytes()).signed
    if not isinstance(signed, role):
        raise RepositoryError(f"{name}.json is no {role.type}")
    return signed


def _delegated_to(delegator: Targets, name: str) -> tuple[Iterable[str], int]:
    delegations = delegator.delegations
    if delegations is not None and delegations.succinct_roles is not None:
        return delegations.succinct_roles.keyids, delegations.succinct_roles.threshold
    if delegations is None or delegations.roles is None:
        return (), 0
    return delegations.roles[name].keyids, delegations.roles[name].threshold


def _signed_role(name: str, signed: Signed, keyids: Iterable[str], threshold: int) -> SignedRole:
    keys = _fingerprint([str(threshold), *sorted(keyids)])
    return SignedRole(name=name, version=signed.version, keys=keys, expires=signed.expires)


def _fingerprint(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
