"""What a group's devices may run: the document that is signed for them, and what the next one must keep to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from tuf.api.exceptions import RepositoryError

from cloud.registry.errors import GroupRefused, GroupUnknown, RegistryBroken, ReleaseUnknown
from cloud.registry.layout import RegistryFolder, group_role
from cloud.registry.metadata import View
from cloud.registry.signing import MODEL_FILE, number_of, targets_of
from wire.updates import GROUP_TARGET, GroupRelease, ModelRef, ReleaseNumber


def signed_document(folder: RegistryFolder, view: View, group: str) -> GroupRelease | None:
    """The group's document, as it was signed last; None if nothing was yet.

    Raises:
        GroupUnknown: No key signs for it.
        RegistryBroken: What lies there is not what was signed.
    """
    role, path = group_role(group), GROUP_TARGET.format(group=group)
    if not view.has(role):
        raise GroupUnknown(
            f"no key signs for the group {group}", "Give it one: vedette model keys add-group NAME --keys DIR"
        )
    entry = view.role(role).signed.targets.get(path)
    if entry is None:
        return None
    file = folder.target(entry)
    try:
        data = file.read_bytes()
        entry.verify_length_and_hashes(data)
        return GroupRelease.model_validate_json(data)
    except (OSError, ValueError, RepositoryError) as refused:
        raise RegistryBroken(
            f"{file} is not the document that was signed: {refused}",
            "Look at the disk; else restore the registry's folder from a backup.",
        ) from None


def next_document(
    view: View,
    group: str,
    before: GroupRelease | None,
    allowed: Sequence[ModelRef],
    min_release: Mapping[str, ReleaseNumber],
) -> GroupRelease:
    """The document to be signed; the one before itself, where that says the same.

    Args:
        view: Knows what is published.
        group: Whose it is.
        before: What was signed last; None for nothing.
        allowed: Published releases, or, with number 0, models that devices were born with.
        min_release: Floors by model name; names left out keep those that are.

    Raises:
        GroupRefused: A floor would sink, or a release lies below one; or it is no document at all.
        ReleaseUnknown: A release is not published, or not as named.
    """
    floors = {} if before is None else dict(before.min_release)
    _check_floors(floors, min_release)
    floors |= min_release
    for ref in allowed:
        _check_allowed(view, ref, floors)
    try:
        document = GroupRelease(
            group=group,
            sequence=1 if before is None else before.sequence + 1,
            allowed=tuple(allowed),
            min_release=floors,
        )
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        raise GroupRefused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if before is not None and document == before.model_copy(update={"sequence": document.sequence}):
        return before
    return document


def _check_floors(before: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    for name, floor in wanted.items():
        if floor < before.get(name, 0):
            raise GroupRefused(
                f"the floor of {name} is {before[name]} and can't sink to {floor}",
                "Devices would refuse it for good.",
            )


def _check_allowed(view: View, ref: ModelRef, floors: Mapping[str, int]) -> None:
    if ref.number < floors.get(ref.name, 0):
        raise GroupRefused(
            f"{ref.name} {ref.version} is release {ref.number}, and {floors[ref.name]} is the floor",
            "Release it anew under a higher number.",
        )
    if ref.number == 0:
        return
    entry = view.target(targets_of(ref.name, ref.version)[MODEL_FILE])
    if entry is None:
        raise ReleaseUnknown(f"{ref.name} {ref.version} is not published", "Publish it: vedette model publish")
    if (number_of(entry), f"sha256:{entry.hashes['sha256']}") != (ref.number, ref.digest):
        raise ReleaseUnknown(f"{ref.name} {ref.version} is published with another number or digest than named")
