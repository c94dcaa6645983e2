"""Runs the service: opens its parts, says when it is ready, and ends them in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable
from typing import Final

from cloud.adapters.data_dir import Addresses, DataDir
from cloud.adapters.mqtt_link import MqttLink
from cloud.config import Settings
from cloud.errors import BrokerFailed
from cloud.wiring import opened

log = logging.getLogger(__name__)

_LINK_WITHIN_S: Final = 20.0
_CANCEL_AGAIN_S: Final = 0.5


async def serve(settings: Settings, *, on_ready: Callable[[Addresses], None], stop: asyncio.Event) -> None:
    """Run the service until `stop` is set; `on_ready` is called once devices and browsers can connect.

    Raises:
        StartRefused: It can't start; nothing is left running.
        StoreError, VisionError: The database or the model can't be opened.
    """
    settings.check_binds()
    data = DataDir(settings.data_dir)
    data.make()
    with data.held():
        async with opened(settings, data) as parts, asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(), name=name) for name, work in parts.background]
            http = [
                group.create_task(server.serve(sockets=[on]), name=f"http-{number}")
                for number, (server, on) in enumerate(parts.servers)
            ]
            await _link_established(parts.link)
            with data.announced(parts.addresses):
                on_ready(parts.addresses)
                log.info("ready", extra={"http": parts.addresses.http, "mqtt": parts.addresses.mqtt})
                await stop.wait()
                log.info("stopping")
                parts.feed.close()
                for server, _ in parts.servers:
                    server.stop()
                await asyncio.wait(http)
            await _end(tasks)


async def serve_until_signalled(settings: Settings, *, on_ready: Callable[[Addresses], None]) -> None:
    """Run the service until SIGTERM or SIGINT; a second one does not wait for what is under way.

    Raises:
        As `serve`.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    ready = asyncio.Event()

    def announce(addresses: Addresses) -> None:
        ready.set()
        on_ready(addresses)

    running = asyncio.create_task(serve(settings, on_ready=announce, stop=stop), name="serve")

    def asked_to_stop() -> None:
        if stop.is_set() or not ready.is_set():
            running.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    try:
        await running
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel them until they are gone: `wait_for` of Python 3.11 can swallow a cancellation that meets a result."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


async def _link_established(link: MqttLink) -> None:
    try:
        async with asyncio.timeout(_LINK_WITHIN_S):
            await link.established()
    except TimeoutError:
        raise BrokerFailed(
            f"the broker took no connection within {_LINK_WITHIN_S:g} s",
            "The log says why: it refused, or does not run.",
        ) from None
