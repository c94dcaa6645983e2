"""When the repository's metadata expire, and what is to be signed anew before. Pure: the metadata and the time in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cloud.registry.layout import group_of, lifetime
from cloud.registry.metadata import View

OFFLINE_WARNING: Final = timedelta(days=30)


def half_over(role: str, expires: datetime, now: datetime) -> bool:
    """Whether the role's metadata have lived half their life, and are due."""
    return expires - now < lifetime(role) / 2


def groups_due(view: View, now: datetime) -> list[str]:
    """The groups' roles that are to be signed anew."""
    return [
        role
        for role in _below_snapshot(view)
        if group_of(role) is not None and half_over(role, view.role(role).signed.expires, now)
    ]


def expiring_offline(view: View, now: datetime) -> dict[str, datetime]:
    """The roles that only a person's keys can sign, and that expire soon or have, with the time."""
    times = {role: view.role(role).signed.expires for role in _below_snapshot(view) if group_of(role) is None}
    times["root"] = view.root.signed.expires
    return {role: expires for role, expires in times.items() if expires - now < OFFLINE_WARNING}


def expiries(view: View) -> dict[str, datetime]:
    """When the metadata expire by kind of role, the soonest of each: `root`, `timestamp`, `groups` and so on."""
    found = {
        "root": view.root.signed.expires,
        "snapshot": view.snapshot.signed.expires,
        "timestamp": view.timestamp.signed.expires,
    }
    for role in _below_snapshot(view):
        kind = "groups" if group_of(role) is not None else role.partition("-")[0]
        expires = view.role(role).signed.expires
        found[kind] = min(expires, found.get(kind, expires))
    return found


def _below_snapshot(view: View) -> list[str]:
    """`targets`, and all to whom it gives a part."""
    return [name.removesuffix(".json") for name in view.snapshot.signed.meta]
