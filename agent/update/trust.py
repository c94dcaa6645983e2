"""What a device takes from the signed repository: its settings, its floors, and checks that are pure.

In the order in which `agent.adapters.tuf_repository` makes them:

1. The clock is not before a time that was already seen.
2. Root, timestamp, snapshot, targets and delegated roles are signed, unexpired and of one piece (python-tuf).
3. No role is older than the floor that was kept for it, even where the metadata itself was lost.
4. The clock is not before the earliest time at which the timestamp can have been signed.
5. Nothing is expired by the agent's own clock.
6. The metadata is on the disk for good, and the floors are raised.
7. The group's document is the signed one, is about this group, and is not below the highest sequence seen.
8. It allows the release, and the release is not below the lowest that may ever run again.
9. The release's number, size and digest are the signed ones, in the repository and in the manifest.
10. The bytes that came are those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.errors import (
    ClockImplausible,
    MetadataExpired,
    MetadataInvalid,
    MetadataRolledBack,
    ReleaseNotAllowed,
    ReleaseTooOld,
)
from agent.settings import Settings
from wire.model import Manifest
from wire.updates import GroupName, GroupRelease, ModelRef

ROOT: Final = "root"
TIMESTAMP: Final = "timestamp"


class TrustSettings(Settings):
    """Whom to trust, and how much patience to have with the repository.

    Attributes:
        root_file: The root of trust, put there when the device was set up; without it no model is ever updated.
        group: Whose signed document says what may run here, until the cloud names another group.
        connect_timeout_s: For reaching the repository.
        silence_timeout_s: The longest pause between two pieces of an answer.
        metadata_deadline_s: For one file of metadata, or one signed document.
        download_deadline_s: For one connection that brings a model.
        min_rate_bytes_s: An answer that brings less, over each `rate_window_s`, is given up.
        rate_window_s: Over which the rate of an answer is measured.
        max_rate_bytes_s: Models are fetched no faster than this; None leaves it to the link.
        max_model_mib: A larger model is not fetched, whoever signed it.
        max_resumes: How often a download that was cut goes on by itself before it is tried again later.
        max_timestamp_days: The repository signs its timestamp for at most so long, which shows when the clock is
            behind.
        clock_slack_s: How far the clock may be set back: it may have been ahead before.
    """

    root_file: Path | None = None
    group: GroupName = "default"
    connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 5.0
    silence_timeout_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    metadata_deadline_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    download_deadline_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = 3_600.0
    min_rate_bytes_s: Annotated[float, Field(ge=0)] = 500.0
    rate_window_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    max_rate_bytes_s: Annotated[float | None, Field(ge=1_000)] = None
    max_model_mib: Annotated[int, Field(ge=1, le=4_096)] = 64
    max_resumes: Annotated[int, Field(ge=0, le=100)] = 10
    max_timestamp_days: Annotated[float, Field(gt=0, le=366)] = 7.0
    clock_slack_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 86_400.0

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        # Under twice the minimum, the pauses that we make ourselves could look like the repository's.
        if self.max_rate_bytes_s is not None and self.max_rate_bytes_s < 2 * self.min_rate_bytes_s:
            msg = "max_rate_bytes_s must be at least twice min_rate_bytes_s"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class SignedRole:
    """A role's metadata as it was verified.

    Attributes:
        keys: Stands for the keys that its delegator allows to sign it; the same for the same keys and threshold.
    """

    name: str
    version: int
    keys: str
    expires: datetime


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RoleFloor(_Kept):
    """The highest version seen of a role.

    It holds for the keys that signed it: once their delegator has replaced them, the floor falls. Else a thief of an
    online key could sign version 2⁵³ and lock every device out for good, and replacing the key would not help.
    """

    version: Annotated[int, Field(ge=0)]
    keys: str


class GroupFloor(_Kept):
    """The highest sequence seen of a group's document; see `RoleFloor`."""

    sequence: Annotated[int, Field(ge=0)]
    keys: str


class Floors(_Kept):
    """What a device never goes below again, kept apart from the metadata and surviving its loss.

    Attributes:
        min_release: The highest minimum ever signed for each model. It never falls, whoever signs what.
        latest: The latest time that is known to have been.
    """

    floors: Literal[1] = 1
    roles: dict[str, RoleFloor] = Field(default_factory=dict)
    groups: dict[str, GroupFloor] = Field(default_factory=dict)
    min_release: dict[str, int] = Field(default_factory=dict)
    latest: AwareDatetime | None = None


def check_clock(floors: Floors, now: datetime, settings: TrustSettings) -> None:
    """Step 1.

    Raises:
        ClockImplausible: It is before a time that was already seen.
    """
    if floors.latest is not None and now < floors.latest - timedelta(seconds=settings.clock_slack_s):
        raise _clock_behind(now, floors.latest)


def check_versions(floors: Floors, roles: Iterable[SignedRole]) -> None:
    """Step 3.

    Raises:
        MetadataRolledBack: A role is older than it was seen.
    """
    for role in roles:
        floor = floors.roles.get(role.name)
        # Root's keys change by a chain of its own versions, so its floor never falls.
        holds = floor is not None and (role.name == ROOT or floor.keys == role.keys)
        if floor is not None and holds and role.version < floor.version:
            raise MetadataRolledBack(
                f"The repository offers version {role.version} of {role.name}, and {floor.version} was seen here",
                "Find out who serves an old copy of the repository; the model that runs goes on.",
            )


def check_time(roles: Iterable[SignedRole], now: datetime, settings: TrustSettings) -> None:
    """Steps 4 and 5.

    Raises:
        ClockImplausible: The timestamp would have been signed for longer than it ever is.
        MetadataExpired: A role was not renewed in time.
    """
    for role in roles:
        if role.name == TIMESTAMP:
            signed_after = role.expires - timedelta(days=settings.max_timestamp_days)
            if now < signed_after - timedelta(seconds=settings.clock_slack_s):
                raise _clock_behind(now, signed_after)
        if now >= role.expires:
            raise MetadataExpired(
                f"The repository's {role.name} expired at {role.expires:%Y-%m-%d %H:%M} UTC",
                "Check that the service renews it, and this device's clock; the model that runs goes on.",
            )


def raised(floors: Floors, roles: Iterable[SignedRole], now: datetime, settings: TrustSettings) -> Floors:
    """Step 6: the floors after these roles passed the checks at this time."""
    roles = tuple(roles)
    known = [now] if floors.latest is None else [now, floors.latest]
    known += [r.expires - timedelta(days=settings.max_timestamp_days) for r in roles if r.name == TIMESTAMP]
    seen = {role.name: RoleFloor(version=role.version, keys=role.keys) for role in roles}
    return floors.model_copy(update={"roles": dict(floors.roles) | seen, "latest": max(known)})


def read_group_release(document: bytes, group: str, floors: Floors, keys: str) -> GroupRelease:
    """Step 7: the group's document, with the highest minimum that was ever signed for each model.

    Args:
        document: The verified bytes.
        group: Whose it should be.
        floors: What was kept.
        keys: As in `SignedRole`, of whoever signed the document.

    Raises:
        MetadataInvalid: It breaks its contract, or is another group's.
        MetadataRolledBack: Its sequence is below one that was seen.
    """
    try:
        release = GroupRelease.model_validate_json(document)
    except ValidationError as refused:
        raise MetadataInvalid(
            f"The signed document of group {group} can't be used ({_first(refused)})",
            "Publish the group's document again with a version of the service that suits this agent.",
        ) from None
    if release.group != group:
        raise MetadataInvalid(
            f"The signed document of group {group} is about group {release.group}",
            "Find out who signed it under the wrong name.",
        )
    floor = floors.groups.get(group)
    if floor is not None and floor.keys == keys and release.sequence < floor.sequence:
        raise MetadataRolledBack(
            f"The document of group {group} has sequence {release.sequence}, and {floor.sequence} was seen here",
            "Publish it with a higher sequence; a deliberate rollback is one that allows an older release.",
        )
    return release.model_copy(update={"min_release": _highest(floors.min_release, release.min_release)})


def with_group(floors: Floors, release: GroupRelease, keys: str) -> Floors:
    """The floors after this document, as `read_group_release` gave it, was taken."""
    floor = GroupFloor(sequence=release.sequence, keys=keys)
    groups = dict(floors.groups) | {release.group: floor}
    return floors.model_copy(update={"groups": groups, "min_release": dict(release.min_release)})


def allowed(release: GroupRelease, ref: ModelRef) -> None:
    """Step 8: whether the group's devices may run the release.

    Raises:
        ReleaseTooOld: It is below the signed minimum.
        ReleaseNotAllowed: The document does not name it, or names it with another digest or number.
    """
    lowest = release.min_release.get(ref.name, 0)
    if ref.number < lowest:
        raise ReleaseTooOld(
            f"{ref.name} {ref.version} is release {ref.number}, and none below {lowest} may ever run again",
            "Roll out a newer release.",
        )
    if ref not in release.allowed:
        named = ", ".join(f"{r.name} {r.version}" for r in release.allowed)
        raise ReleaseNotAllowed(
            f"Group {release.group} may run {named}, not {ref.name} {ref.version} ({ref.digest[:19]}…)",
            "Start a rollout of it; that signs it for the group.",
        )


def check_manifest(document: bytes, ref: ModelRef, size: int) -> None:
    """Step 9: the manifest, held against the release.

    Args:
        document: The verified bytes.
        ref: The release that is wanted.
        size: Signed length of the model file, in bytes.

    Raises:
        MetadataInvalid: It can't be read, or is about another model.
    """
    mend = "Sign and publish the release again."
    try:
        manifest = Manifest.model_validate_json(document)
    except ValidationError as refused:
        what = f"The signed manifest of {ref.name} {ref.version} can't be used ({_first(refused)})"
        raise MetadataInvalid(what, mend) from None
    said = (manifest.name, manifest.version, manifest.digest, manifest.size)
    if said != (ref.name, ref.version, ref.digest, size):
        raise MetadataInvalid(f"The signed manifest of {ref.name} {ref.version} is about another model file", mend)


def _first(refused: ValidationError) -> str:
    first = refused.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "the document"
    return f"{where}: {first['msg']}"


def _highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}


def _clock_behind(now: datetime, known: datetime) -> ClockImplausible:
    return ClockImplausible(
        f"The clock says {now:%Y-%m-%d %H:%M} UTC, but it is at least {known:%Y-%m-%d %H:%M}",
        "Set the clock (a time server, or a battery for it); models are not updated until then.",
    )
