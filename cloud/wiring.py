"""Puts the service together: the one place that knows every part. Nothing here decides anything."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import Addresses, DataDir
from cloud.adapters.metrics import CountingWitness, Exposition, Instruments, TimedDetector
from cloud.adapters.mqtt_link import MqttLink
from cloud.audit.accuracy import AuditedModels
from cloud.audit.service import AuditService
from cloud.brokers import Broking, open_broking, reachable
from cloud.bus import Bus, OffloadWitness
from cloud.command.service import CommandService
from cloud.config import Settings
from cloud.doors import Doors, WebFiles, open_doors, service_hosts
from cloud.fleet.enrolment import Enrolment
from cloud.fleet.revocation import RevocationWatch
from cloud.gates import open_entrance, web_files, web_host, web_hosts
from cloud.identity.renewing import ServiceCertificates
from cloud.infer.default import open_default_detector
from cloud.infer.worker import InferWorker
from cloud.ingest.counters import Counters
from cloud.ingest.service import IngestService
from cloud.ingest.thinning import thin_for_ever
from cloud.neighbours import neighbours
from cloud.offload.pictures import AlertPictures, Decoding
from cloud.offload.service import OffloadService
from cloud.registry.renewing import Renewing
from cloud.registry.service import Registry
from cloud.retention.service import Retention
from cloud.rollout.service import RolloutService
from cloud.store.alerts import AlertStore
from cloud.store.audits import AuditStore
from cloud.store.batches import BatchStore
from cloud.store.blobs import LocalBlobs
from cloud.store.commands import CommandStore, snapshot_key
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.documents import Documents
from cloud.store.figures import FigureStore
from cloud.store.questions import QuestionStore
from cloud.store.retention import RetentionStore
from cloud.store.rollouts import RolloutStore
from cloud.web.api import read_router
from cloud.web.audits import audits_router, estimates_router
from cloud.web.clips import clip_keys, clips_router
from cloud.web.commands import commands_router
from cloud.web.device_door import DeviceDoor
from cloud.web.enrolments import enrolments_router
from cloud.web.events import Feed
from cloud.web.health import health_router
from cloud.web.login import session_router
from cloud.web.metrics import metrics_router
from cloud.web.questions import questions_router
from cloud.web.repository import repository_router
from cloud.web.rollouts import rollouts_router
from cloud.web.server import HttpServer, listening, make_application

_Background = tuple[str, Callable[[], Coroutine[Any, Any, None]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the open service consists of."""

    addresses: Addresses
    servers: tuple[tuple[HttpServer, socket.socket], ...]
    feed: Feed
    background: tuple[_Background, ...]
    link: MqttLink


@asynccontextmanager
async def opened(settings: Settings, data: DataDir) -> AsyncIterator[Parts]:
    """Every part, in the order in which they need each other; closed in the reverse."""
    clock = SystemClock()
    counters = Counters()
    bus = Bus()
    async with AsyncExitStack() as stack:
        http_socket = stack.enter_context(listening(settings.http_host, settings.http_port))
        database = await stack.enter_async_context(open_database(data.database_url))
        documents = Documents()
        devices, batches = DeviceStore(database, documents), BatchStore(database, documents)
        alerts = AlertStore(database)
        blobs = LocalBlobs(data.blobs)
        enrolment = Enrolment(devices, clock)
        doors = await asyncio.to_thread(open_doors, settings, data, database, enrolment, clock)
        broking = await open_broking(stack, settings, data, doors, database, counters, clock)
        link = MqttLink(broking.link, counters, clock)
        ingest = IngestService(link=link, store=batches, bus=bus, counter=counters, clock=clock)
        registry = Registry(data.registry, clock)
        renewing = Renewing(registry, clock)
        rollouts = RolloutStore(database)
        retention = Retention(
            archive=RetentionStore(database),
            files=blobs,
            keys=lambda command: [snapshot_key(command), *clip_keys(command)],
            settings=settings.retention,
            count=counters.count,
            clock=clock,
        )
        feed = Feed(bus=bus, alerts=alerts, devices=devices, rollouts=rollouts, clock=clock)
        checks = _checks(database, broking, link, ingest) | {"repository": renewing.working}
        routers = [
            read_router(alerts=alerts, devices=devices, pictures=blobs, feed=feed, clock=clock),
            # What happened here is nobody's business but operators'; they find it in the figures.
            health_router(checks, dict if settings.asks_login else counters.snapshot),
            repository_router(registry.folder.repository),
        ]
        instruments = Instruments()
        audits = AuditStore(database, clock)
        rolling = RolloutService(
            store=rollouts, signer=registry, link=link, bus=bus, clock=clock, accuracy=AuditedModels(audits, clock)
        )
        routers.append(estimates_router(audits=audits, clock=clock))
        routers.append(rollouts_router(rollouts=rollouts, clock=clock))
        commands = CommandStore(database)
        routers.append(
            commands_router(commands=commands, pictures=blobs, tokens=enrolment, clock=clock, settings=settings.door)
        )
        routers.append(
            clips_router(commands=commands, blobs=blobs, tokens=enrolment, clock=clock, settings=settings.door)
        )
        if settings.answer_questions:
            routers += await _answering(
                stack,
                settings,
                questions=QuestionStore(database, clock),
                audits=audits,
                blobs=blobs,
                link=link,
                bus=bus,
                enrolment=enrolment,
                clock=clock,
                instruments=instruments,
            )
        exposition = Exposition(
            instruments=instruments,
            counts=counters.snapshot,
            checks=checks,
            store=FigureStore(database),
            repository=registry,
            version=version("vedette"),
            clock=clock,
        )
        web = web_files(settings, doors)
        entrance = await open_entrance(settings, database, feed, counters, clock)
        # The operator's alone: no route of the devices' door leads there.
        shown = [*routers, metrics_router(exposition.text), session_router(entrance.login)]
        application = make_application(shown, allowed_hosts=web_hosts(settings), gate=entrance.gate)
        servers = [(HttpServer(application, web), http_socket)]
        if doors.identities is not None and doors.files is not None:
            door_socket = stack.enter_context(listening(settings.device_host, settings.device_port))
            routers.append(enrolments_router(identities=doors.identities, clock=clock, settings=settings.door))
            door = HttpServer(
                DeviceDoor(
                    make_application(routers, allowed_hosts=frozenset(service_hosts(settings))), doors.identities
                ),
                doors.files,
            )
            servers.append((door, door_socket))
        keeping = _keeping(settings, doors, broking, web, [server for server, _ in servers], clock)
        checks.update({name: kept.working for name, kept in keeping.items()})
        yield Parts(
            addresses=_addresses(servers, broking, settings),
            servers=tuple(servers),
            feed=feed,
            link=link,
            background=(
                *((("broker", broking.background),) if broking.background is not None else ()),
                ("link", link.run),
                ("ingest", ingest.run),
                ("commands", CommandService(store=commands, devices=devices, link=link, bus=bus, clock=clock).run),
                ("rollouts", rolling.run),
                ("revocations", RevocationWatch(devices, broking.door, clock).run),
                ("thinning", lambda: thin_for_ever(batches, clock)),
                ("retention", retention.run),
                ("events", feed.run),
                ("renewing", renewing.run),
                *((("operators", entrance.watch),) if entrance.watch is not None else ()),
                *((name, kept.run) for name, kept in keeping.items()),
                *neighbours(settings, database, blobs, bus, counters, clock),
            ),
        )


async def _answering(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    questions: QuestionStore,
    audits: AuditStore,
    blobs: LocalBlobs,
    link: MqttLink,
    bus: Bus,
    enrolment: Enrolment,
    clock: SystemClock,
    instruments: Instruments,
) -> list[APIRouter]:
    """What looks at devices' pictures, with its models, and its routes."""
    detectors = []
    for _ in range(settings.infer.replicas):
        detector = await asyncio.to_thread(open_default_detector, settings.infer)
        stack.callback(detector.close)
        detectors.append(detector)
    timed = [TimedDetector(detector, instruments.infer_seconds) for detector in detectors]
    judge = await stack.enter_async_context(InferWorker(timed, max_waiting=settings.infer.max_waiting))
    instruments.infer_waiting.set_function(lambda: judge.waiting)
    decoding = Decoding()
    service = await stack.enter_async_context(
        OffloadService(
            judge=judge,
            model=detectors[0].name,
            store=questions,
            blobs=blobs,
            link=link,
            witness=CountingWitness(instruments, OffloadWitness(bus)),
            clock=clock,
            decoding=decoding,
            settings=settings.offload,
        )
    )
    auditing = await stack.enter_async_context(
        AuditService(
            judge=judge,
            model=detectors[0].name,
            store=audits,
            blobs=blobs,
            clock=clock,
            decoding=decoding,
            settings=settings.audit,
        )
    )
    return [
        questions_router(
            service=service,
            pictures=AlertPictures(blobs, questions, decoding),
            tokens=enrolment,
            clock=clock,
            settings=settings.door,
        ),
        audits_router(service=auditing, tokens=enrolment, clock=clock, settings=settings.door),
    ]


def _checks(
    database: Database, broking: Broking, link: MqttLink, ingest: IngestService
) -> dict[str, Callable[[], Coroutine[Any, Any, bool]]]:
    def part(holds: Callable[[], bool]) -> Callable[[], Coroutine[Any, Any, bool]]:
        async def ready() -> bool:
            return holds()

        return ready

    async def link_ready() -> bool:
        return link.connected

    async def ingest_ready() -> bool:
        return ingest.working

    return {
        "database": database.answers,
        **{name: part(holds) for name, holds in broking.checks.items()},
        "link": link_ready,
        "ingest": ingest_ready,
    }


def _addresses(
    servers: Sequence[tuple[HttpServer, socket.socket]], broking: Broking, settings: Settings
) -> Addresses:
    http, *door = (f"{_in_url(reachable(on.getsockname()[0]))}:{on.getsockname()[1]}" for _, on in servers)
    if (named := web_host(settings)) is not None:
        http = f"{_in_url(named)}:{http.rpartition(':')[2]}"
    shown = f"{'https' if settings.https else 'http'}://{http}"
    told = service_hosts(settings)[0] if settings.tls else broking.link.host
    scheme = "mqtts" if settings.tls else "mqtt"
    return Addresses(
        http=shown,
        mqtt=f"{scheme}://{_in_url(broking.told_host or told)}:{broking.link.port}",
        dashboard=f"{shown}/",
        pid=os.getpid(),
        devices=f"https://{_in_url(told)}:{door[0].rpartition(':')[2]}" if door else f"http://{http}",
    )


def _keeping(
    settings: Settings,
    doors: Doors,
    broking: Broking,
    web: WebFiles | None,
    servers: Sequence[HttpServer],
    clock: SystemClock,
) -> dict[str, ServiceCertificates]:
    """What renews certificates, or reads those of others again, by the name under which it is ready or not."""
    keeping = {}
    others = web is not None and settings.http_cert_file is not None
    if doors.certify is not None:
        certify = partial(_certify, doors.certify, broking.certify)
        read_again = partial(_read_again, servers[1:] if others else servers, broking)
        keeping["certificates"] = ServiceCertificates(certify, read_again, clock)
    if web is not None and others:
        keeping["http_certificate"] = ServiceCertificates(web.changed, partial(_read_again, servers[:1]), clock)
    return keeping


async def _read_again(servers: Iterable[HttpServer], broking: Broking | None = None) -> None:
    for server in servers:
        server.renew()
    if broking is not None:
        await broking.read_again()


def _certify(own: Callable[[], bool], brokers: Callable[[], bool]) -> bool:
    return own() | brokers()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
