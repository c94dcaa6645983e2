"""Whom the service tells of alerts: Home Assistant, and the receivers of pushes; each only where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from cloud.adapters.home_broker import MqttHomeBroker
from cloud.adapters.http_push import HttpSender
from cloud.bus import Bus
from cloud.config import Settings
from cloud.home.facts import ISSUER
from cloud.home.ports import Blobs, Counter
from cloud.home.service import HomeService
from cloud.ports import Clock
from cloud.push.service import PushService
from cloud.store.alerts import AlertStore
from cloud.store.commands import CommandStore
from cloud.store.database import Database
from cloud.store.home import SNAPSHOTS_FOR, HomeStore
from cloud.store.push import PushStore


def neighbours(
    settings: Settings, database: Database, blobs: Blobs, bus: Bus, counter: Counter, clock: Clock
) -> tuple[tuple[str, Callable[[], Coroutine[Any, Any, None]]], ...]:
    """What runs in the background for them, by name."""
    found: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
    if settings.home_assistant is not None:
        # What the service forgets must not stay on the broker.
        kept = timedelta(days=settings.retention.pictures_days) or SNAPSHOTS_FOR
        home = HomeService(
            settings=settings.home_assistant,
            broker=MqttHomeBroker(settings.home_assistant),
            store=HomeStore(database, ISSUER, min(kept, SNAPSHOTS_FOR)),
            commands=CommandStore(database),
            pictures=AlertStore(database),
            blobs=blobs,
            bus=bus,
            counter=counter,
            clock=clock,
            software=version("vedette"),
        )
        found.append(("home-assistant", home.run))
    if settings.push:
        pushing = PushService(
            pushes=settings.push,
            store=PushStore(database),
            sender=HttpSender(clock),
            bus=bus,
            counter=counter,
            clock=clock,
        )
        found.append(("push", pushing.run))
    return tuple(found)
