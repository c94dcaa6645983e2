"""The pure checks, over whatever a repository may show one after another."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ClockImplausible, MetadataExpired, MetadataInvalid, MetadataRolledBack
from agent.update.trust import (
    Floors,
    SignedRole,
    TrustSettings,
    check_clock,
    check_time,
    check_versions,
    raised,
    read_group_release,
    with_group,
)
from wire.updates import GroupRelease, ModelRef

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SETTINGS = TrustSettings()
REF = ModelRef(name="watch", version="1", digest="sha256:" + "0" * 64, number=1)

versions = st.integers(1, 5)
keys = st.sampled_from(["a", "b"])


def role(name: str, version: int, keys: str = "a", expires: datetime = NOW + timedelta(days=1)) -> SignedRole:
    return SignedRole(name=name, version=version, keys=keys, expires=expires)


def document(sequence: int, minimum: int = 0) -> bytes:
    return (
        GroupRelease(group="g", sequence=sequence, allowed=(REF,), min_release={"watch": minimum})
        .model_dump_json()
        .encode()
    )


@given(st.lists(st.tuples(versions, keys), max_size=12))
def test_what_is_accepted_never_goes_down_under_the_same_keys(shown):
    floors, accepted = Floors(), []
    for version, key in shown:
        try:
            check_versions(floors, [role("timestamp", version, key)])
        except MetadataRolledBack:
            assert accepted[-1][1] == key
            assert version < accepted[-1][0]
            continue
        floors = raised(floors, [role("timestamp", version, key)], NOW, SETTINGS)
        accepted.append((version, key))
    for (before, old), (after, new) in itertools.pairwise(accepted):
        assert new != old or after >= before


@given(versions, versions, keys)
def test_the_floor_of_root_holds_whatever_its_keys(before, after, key):
    floors = raised(Floors(), [role("root", before)], NOW, SETTINGS)
    if after >= before:
        check_versions(floors, [role("root", after, key)])
        return
    with pytest.raises(MetadataRolledBack):
        check_versions(floors, [role("root", after, key)])


@given(st.lists(st.tuples(versions, versions, keys), max_size=12))
def test_the_lowest_release_never_falls(shown):
    floors, highest = Floors(), 0
    for sequence, minimum, key in shown:
        try:
            release = read_group_release(document(sequence, minimum), "g", floors, key)
        except MetadataRolledBack:
            continue
        floors = with_group(floors, release, key)
        highest = max(highest, minimum)
        assert release.min_release["watch"] == floors.min_release["watch"] == highest


@given(st.binary(max_size=300))
def test_a_document_of_noise_is_named(data):
    with pytest.raises(MetadataInvalid):
        read_group_release(data, "g", Floors(), "a")


def test_the_clock_may_go_back_by_the_slack_and_no_further():
    floors = raised(Floors(), [], NOW, SETTINGS)
    check_clock(floors, NOW - timedelta(seconds=SETTINGS.clock_slack_s), SETTINGS)
    with pytest.raises(ClockImplausible):
        check_clock(floors, NOW - timedelta(seconds=SETTINGS.clock_slack_s + 1), SETTINGS)


def test_the_timestamp_shows_how_late_it_is_at_least():
    expires = NOW + timedelta(days=SETTINGS.max_timestamp_days)
    check_time([role("timestamp", 1, expires=expires)], NOW, SETTINGS)
    early = NOW - timedelta(seconds=SETTINGS.clock_slack_s + 1)
    with pytest.raises(ClockImplausible):
        check_time([role("timestamp", 1, expires=expires)], early, SETTINGS)
    later = raised(Floors(), [role("timestamp", 1, expires=expires + timedelta(days=2))], NOW, SETTINGS)
    assert later.latest == NOW + timedelta(days=2)


def test_expired_begins_at_the_very_moment():
    check_time([role("targets", 1, expires=NOW)], NOW - timedelta(microseconds=1), SETTINGS)
    with pytest.raises(MetadataExpired):
        check_time([role("targets", 1, expires=NOW)], NOW, SETTINGS)


def test_floors_survive_being_written_down():
    floors = raised(Floors(), [role("root", 3)], NOW, SETTINGS)
    assert Floors.model_validate_json(floors.model_dump_json()) == floors
